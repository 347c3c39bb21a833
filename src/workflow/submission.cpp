#include "workflow/submission.hpp"

#include <algorithm>
#include <unordered_map>

#include "core/defaults.hpp"
#include "core/task_names.hpp"
#include "workflow/json_document.hpp"
#include "workflow/reader.hpp"
#include "workflow/services.hpp"
#include "workflow/tasks.hpp"

namespace trireme {
namespace workflow {
namespace {

constexpr std::string_view unnamed_task = "task";
constexpr std::size_t longest_id = 512;

Entry* find(Node& map, std::string_view key) {
  const auto found = std::find_if(map.entries.begin(), map.entries.end(), [&](const Entry& e) { return e.key == key; });
  return found == map.entries.end() ? nullptr : &*found;
}

void set_text(Node& map, std::string_view key, std::string text) {
  Entry* entry = find(map, key);
  if (entry == nullptr) entry = &map.entries.emplace_back(Entry{std::string(key), {}, {}});
  entry->value = {.kind = Node::Kind::scalar, .quoted = true, .at = {}, .text = std::move(text)};
}

bool is_id(std::string_view id) {
  return !id.empty() && id.size() <= longest_id &&
         std::all_of(id.begin(), id.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; });
}

/// The list form as the map form: each entry under its name, its own id remembered.
class Lister {
 public:
  Lister(Diagnostics& diagnostics, std::uint64_t next_number) : diagnostics_(diagnostics), next_(next_number) {}

  Node read(Node& list) {
    Node section;
    section.kind = Node::Kind::map;
    section.entries.reserve(list.items.size());
    ids_.reserve(list.items.size());
    for (std::size_t i = 0; i < list.items.size(); ++i) add(list.items[i], i, section);
    return section;
  }
  std::uint64_t numbered() const { return numbered_; }

  /// Gives the tasks that were read from `section` the ids that the list said.
  void apply(const Node& section, Tasks& tasks) {
    std::unordered_map<const Node*, std::size_t> entry_of;
    for (std::size_t i = 0; i < section.entries.size(); ++i) entry_of.emplace(&section.entries[i].value, i);
    for (std::size_t i = 0; i < tasks.all.size(); ++i) {
      const std::string& id = ids_[entry_of.at(tasks.origins[i].task)];
      if (id.empty()) continue;
      TaskDescription task = std::move(tasks.all[i]).release();
      task.id = id;
      tasks.all[i] = std::move(task);
    }
  }

 private:
  void error(std::size_t i, std::string_view key, std::string message, std::string expected = {}) {
    diagnostics_.error({}, "tasks[" + std::to_string(i) + "]" + (key.empty() ? "" : "." + std::string(key)),
                       std::move(message), std::move(expected));
  }

  void add(Node& item, std::size_t i, Node& section) {
    if (!item.is_map()) return error(i, "", "this is " + describe(item), "a map with a command or a script");
    std::string name(unnamed_task);
    std::string id;
    const bool many = find(item, "foreach") != nullptr;
    if (const Entry* entry = find(item, "name")) {
      if (!entry->value.is_scalar()) return error(i, "name", "this is " + describe(entry->value), "a name");
      name = entry->value.text;
    }
    if (const Entry* entry = find(item, "id")) {
      if (many) return error(i, "id", "the instances of a foreach have ids of their own", "no id");
      if (!entry->value.is_scalar() || !is_id(entry->value.text)) {
        return error(i, "id", "this is no id", "a text of at most 512 bytes without control characters");
      }
      id = entry->value.text;
    } else if (find(item, "name") == nullptr) {
      if (many) return error(i, "name", "a foreach needs a name for its instances", "a name");
      // Written back, so that the text says what the task is called whenever it is read again.
      id = std::string(unnamed_task) + "[" + std::to_string(next_++) + "]";
      ++numbered_;
      set_text(item, "id", id);
    }
    Entry out{.key = std::move(name), .key_at = {}, .value = item};
    std::erase_if(out.value.entries, [](const Entry& e) { return e.key == "name" || e.key == "id"; });
    section.entries.push_back(std::move(out));
    ids_.push_back(std::move(id));
  }

  Diagnostics& diagnostics_;
  std::uint64_t next_;
  std::uint64_t numbered_ = 0;
  std::vector<std::string> ids_;  ///< by entry; empty where the name says it
};

void check_ids(const Tasks& tasks, Diagnostics& diagnostics) {
  TaskNames names;
  for (const TaskFamily& family : tasks.all) {
    if (const auto id = names.clash(family)) {
      diagnostics.error({}, "tasks." + family.shared().name, "two tasks have the id " + in_quotes(*id),
                        "an id of its own");
    }
    names.add(family, {});
  }
}

/// A run that is on is told of each task by itself.
std::vector<TaskDescription> written_out(std::vector<TaskFamily> families) {
  std::vector<TaskDescription> out;
  out.reserve(families.size());
  for (TaskFamily& family : families) {
    if (family.single()) {
      out.push_back(std::move(family).release());
      continue;
    }
    for (std::uint32_t i = 0; i < family.size(); ++i) out.push_back(family.instance(i));
  }
  return out;
}

void load(Node& root, std::string_view workflow_dir, const Beyond& beyond, std::uint64_t next_number,
          Diagnostics& diagnostics, Submission& out) {
  Parameters parameters;
  const Scope scope(parameters, workflow_dir, {});
  const Reader reader(scope, diagnostics);
  if (!expect_map(reader, {root, Path(), root.at}, "a map with tasks or services")) return;

  Lister lister(diagnostics, next_number);
  const Entry* listed = find(root, "tasks");
  const bool is_list = listed != nullptr && listed->value.is_list();
  const Node section = is_list ? lister.read(find(root, "tasks")->value) : Node{};

  const Path path;
  Fields fields(reader, root, path);
  const auto tasks_value = fields.take("tasks");
  const auto services_value = fields.take("services");
  fields.finish();
  Names names;
  names.beyond = beyond;
  Services services;
  if (services_value && expect_map(reader, *services_value, "a map of names and services")) {
    for (const Entry& entry : services_value->node.entries) names.services.push_back(entry.key);
    services = read_services(*services_value, parameters, workflow_dir, diagnostics);
  }
  Tasks tasks;
  if (tasks_value && (is_list || expect_map(reader, *tasks_value, "a list of tasks, or a map of names and tasks"))) {
    const Value value{is_list ? section : tasks_value->node, tasks_value->path, tasks_value->at};
    for (const Entry& entry : value.node.entries) names.tasks.push_back(entry.key);
    tasks = read_tasks(value, parameters, workflow_dir, defaults::workflow_tasks, diagnostics);
    if (is_list) lister.apply(section, tasks);
  }
  if (diagnostics.error_count() == 0 && tasks.all.empty() && services.all.empty()) {
    diagnostics.error({}, "", "there is nothing to do", "tasks or services");
  }
  check_ids(tasks, diagnostics);
  check_references(names, tasks, services, diagnostics);
  out.tasks = written_out(std::move(tasks.all));
  out.services = std::move(services.all);
  out.unnamed = lister.numbered();
}

}  // namespace
}  // namespace workflow

Submission load_submission(std::string_view json, std::string_view workflow_dir, const workflow::Beyond& beyond,
                           std::uint64_t next_number) {
  workflow::Diagnostics diagnostics("submission");
  Submission out;
  if (auto root = workflow::read_json(json, diagnostics)) {
    workflow::load(*root, workflow_dir, beyond, next_number, diagnostics, out);
    out.text = out.unnamed > 0 ? workflow::to_json(*root) : std::string(json);
  }
  out.errors = diagnostics.take_errors();
  return out;
}

JsonText json_of_document(std::string_view text, const std::string& file) {
  workflow::Diagnostics diagnostics(file);
  JsonText out;
  const auto root = workflow::read_document(text, diagnostics);
  out.errors = diagnostics.take_errors();
  if (root && out.errors.empty()) out.json = workflow::to_json(*root);
  return out;
}

}  // namespace trireme
