#include "workflow/wfformat.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "core/defaults.hpp"
#include "workflow/json_places.hpp"

namespace trireme {
namespace {

using Json = nlohmann::json;
using workflow::in_quotes;

constexpr std::uint32_t most_cores = 1u << 20;
constexpr double most_seconds = 3.2e9;  ///< a hundred years: a replay that takes longer is one of that length

/// "an object", "a number": what was found, for messages.
const char* type_of(const Json& json) {
  switch (json.type()) {
    case Json::value_t::null:
      return "nothing";
    case Json::value_t::object:
      return "an object";
    case Json::value_t::array:
      return "a list";
    case Json::value_t::string:
      return "a text";
    case Json::value_t::boolean:
      return "a truth value";
    default:
      return "a number";
  }
}

/// Reads one instance; what is wrong is collected with its key.
class InstanceReader {
 public:
  InstanceReader(WfInstance& out, const std::string& file) : out_(out), diagnostics_(file) {}

  void read(std::string_view text) {
    const Json root = Json::parse(text, nullptr, false);
    if (root.is_discarded()) {
      const auto flaw = workflow::find_flaw(text).value_or(workflow::JsonFlaw{});
      return diagnostics_.error(flaw.at, "", "this is no JSON: " + flaw.found, flaw.expected);
    }
    out_.name = text_of(root, "name", "");
    if (out_.name.empty()) out_.name = "instance";
    out_.version = text_of(root, "schemaVersion", "");
    const Json* workflow =
        member(root, "workflow", "", Json::value_t::object, "an object with a specification or tasks");
    if (workflow == nullptr) return;
    if (workflow->contains("specification")) {
      read_15(*workflow);
    } else {
      read_14(*workflow);
    }
    if (diagnostics_.error_count() == 0) link();
    if (diagnostics_.error_count() == 0) check_order();
    out_.untimed = static_cast<std::size_t>(std::count(timed_.begin(), timed_.end(), false));
  }

  std::vector<Diagnostic> take_errors() { return diagnostics_.take_errors(); }

 private:
  /// What a task says of others before all of them are known.
  struct Said {
    std::string path;
    bool has_family = false;    ///< parents or children were told
    bool parents_made = false;  ///< its parents are those that made its files
    std::vector<std::string> parents;
    std::vector<std::string> children;
    std::vector<std::string> inputs;
    std::vector<std::string> outputs;
  };

  void error(const std::string& key, std::string message, std::string expected = "") {
    diagnostics_.error({}, key, std::move(message), std::move(expected));
  }

  std::string text_of(const Json& object, const char* key, const std::string& path) {
    const auto found = object.find(key);
    if (!object.is_object() || found == object.end() || found->is_null()) return "";
    if (found->is_string()) return found->get<std::string>();
    if (found->is_number()) return found->dump();  // as some that write instances leave the ids of their jobs
    error(path.empty() ? key : path + "." + key, "this is no text", "a text");
    return "";
  }

  const Json* member(const Json& object, const char* key, const std::string& path, Json::value_t type,
                     const char* expected) {
    const std::string full = path.empty() ? key : path + "." + key;
    if (!object.is_object() || !object.contains(key)) {
      error(full, "this is missing", expected);
      return nullptr;
    }
    const Json& value = object[key];
    if (value.type() == type) return &value;
    error(full, std::string("this is ") + type_of(value), expected);
    return nullptr;
  }

  /// The first of the keys that is there, as a number of at least 0.
  std::optional<double> number(const Json& object, const std::string& path, std::initializer_list<const char*> keys) {
    for (const char* key : keys) {
      const auto found = object.find(key);
      if (found == object.end() || found->is_null()) continue;
      if (found->is_number() && found->get<double>() >= 0 && std::isfinite(found->get<double>()))
        return found->get<double>();
      error(path + "." + key, found->is_number() ? "this is below 0" : "this is no number", "a number of at least 0");
      return std::nullopt;
    }
    return std::nullopt;
  }

  std::vector<std::string> names(const Json& object, const char* key, const std::string& path) {
    std::vector<std::string> out;
    const auto found = object.find(key);
    if (found == object.end() || found->is_null()) return out;
    if (!found->is_array()) {
      error(path + "." + key, "this is no list", "a list of names");
      return out;
    }
    for (std::size_t i = 0; i < found->size(); ++i) {
      const Json& item = (*found)[i];
      if (item.is_string()) {
        // The schema lets a list name nothing: `[""]` is an empty one.
        if (std::string name = item.get<std::string>(); !name.empty()) out.push_back(std::move(name));
      } else if (item.is_number()) {
        out.push_back(item.dump());
      } else {
        error(path + "." + key + "[" + std::to_string(i) + "]",
              std::string("this is ") + type_of(item) + ", and no name", "a list of names");
      }
    }
    return out;
  }

  /// A task with what both shapes say of it in one place; null where it is none.
  WfTask* add_task(const Json& json, const std::string& path) {
    if (!json.is_object()) {
      error(path, "this is no task", "an object with a name");
      return nullptr;
    }
    WfTask task;
    task.name = text_of(json, "name", path);
    task.id = text_of(json, "id", path);
    if (task.id.empty()) task.id = task.name;
    if (task.name.empty()) task.name = task.id;
    if (task.id.empty()) {
      error(path, "there is neither an id nor a name", "an id");
      return nullptr;
    }
    const auto index = static_cast<std::uint32_t>(out_.tasks.size());
    if (older_ && by_id_.contains(task.id)) task.id += "_" + std::to_string(index);  // names did not have to differ
    const auto [known, fresh] = by_id_.emplace(task.id, index);
    if (!fresh) {
      error(path + ".id", "there is already a task " + in_quotes(task.id), "an id of its own");
      return nullptr;
    }
    if (out_.tasks.size() >= defaults::workflow_tasks) {
      error(path, "there are too many tasks");
      return nullptr;
    }
    Said said{.path = path,
              .has_family = json.contains("parents") || json.contains("children"),
              .parents = names(json, "parents", path),
              .children = names(json, "children", path),
              .inputs = names(json, "inputFiles", path),
              .outputs = names(json, "outputFiles", path)};
    said_.push_back(std::move(said));
    timed_.push_back(false);
    out_.tasks.push_back(std::move(task));
    return &out_.tasks.back();
  }

  void read_usage(const Json& json, const std::string& path, std::size_t index) {
    WfTask& task = out_.tasks[index];
    if (const auto runtime = number(json, path, {"runtimeInSeconds", "runtime"})) {
      task.runtime = *runtime;
      timed_[index] = true;
    }
    const double cores = number(json, path, {"coreCount", "cores"}).value_or(task.cores);
    if (cores > most_cores) {
      error(path, "these are too many cores", std::to_string(most_cores) + " at most");
    } else {
      task.cores = std::max<std::uint32_t>(1, static_cast<std::uint32_t>(std::ceil(cores)));
    }
    task.memory = static_cast<std::uint64_t>(std::min(number(json, path, {"memoryInBytes"}).value_or(0), 1e18));
    // Before 1.3 it was in KiB and had no unit in its name.
    if (task.memory == 0) {
      task.memory = static_cast<std::uint64_t>(std::min(number(json, path, {"memory"}).value_or(0), 1e15)) * 1024;
    }
    const auto machines = json.find("machines");
    const std::size_t count = machines != json.end() && machines->is_array() ? machines->size() : 1;
    task.machines = static_cast<std::uint32_t>(std::clamp<std::size_t>(count, 1, task.cores));
  }

  void read_15(const Json& workflow) {
    const Json* specification =
        member(workflow, "specification", "workflow", Json::value_t::object, "an object with tasks");
    if (specification == nullptr) return;
    const std::string path = "workflow.specification";
    const Json* tasks = member(*specification, "tasks", path, Json::value_t::array, "a list of tasks");
    if (tasks == nullptr) return;
    for (std::size_t i = 0; i < tasks->size(); ++i) add_task((*tasks)[i], path + ".tasks[" + std::to_string(i) + "]");
    if (!workflow.contains("execution") || workflow["execution"].is_null())
      return;  // a workflow that never ran: no runtimes
    const Json* execution = member(workflow, "execution", "workflow", Json::value_t::object, "an object with tasks");
    if (execution == nullptr) return;
    out_.makespan = number(*execution, "workflow.execution", {"makespanInSeconds"}).value_or(0);
    const Json* ran = member(*execution, "tasks", "workflow.execution", Json::value_t::array, "a list of tasks");
    if (ran == nullptr) return;
    for (std::size_t i = 0; i < ran->size(); ++i) {
      const Json& json = (*ran)[i];
      const std::string where = "workflow.execution.tasks[" + std::to_string(i) + "]";
      const std::string id = json.is_object() ? text_of(json, "id", where) : "";
      const auto found = by_id_.find(id);
      if (found == by_id_.end()) {
        error(where + ".id", "the specification has no task " + in_quotes(id));
        continue;
      }
      read_usage(json, where, found->second);
    }
  }

  void read_14(const Json& workflow) {
    older_ = true;
    out_.makespan = number(workflow, "workflow", {"makespanInSeconds", "makespan"}).value_or(0);
    const char* key = workflow.contains("jobs") && !workflow.contains("tasks") ? "jobs" : "tasks";  // before 1.2
    const Json* tasks =
        member(workflow, key, "workflow", Json::value_t::array, "a list of tasks, or a specification beside it");
    if (tasks == nullptr) return;
    for (std::size_t i = 0; i < tasks->size(); ++i) {
      const std::string path = std::string("workflow.") + key + "[" + std::to_string(i) + "]";
      const Json& json = (*tasks)[i];
      WfTask* task = add_task(json, path);
      if (task == nullptr) continue;
      read_usage(json, path, out_.tasks.size() - 1);
      const auto files = json.find("files");
      if (files == json.end() || !files->is_array()) continue;
      for (const Json& file : *files) {
        if (!file.is_object()) continue;
        const std::string name = text_of(file, "path", path + ".files") + text_of(file, "name", path + ".files");
        std::string link = text_of(file, "link", path + ".files");
        std::transform(link.begin(), link.end(), link.begin(), [](unsigned char c) { return std::tolower(c); });
        (link == "input" ? said_.back().inputs : said_.back().outputs).push_back(name);
      }
    }
  }

  /// The task of that id, or, as older instances say it, the first of that name.
  std::optional<std::uint32_t> find(const std::string& id, const std::string& path) {
    if (const auto found = by_id_.find(id); found != by_id_.end()) return found->second;
    if (by_name_.empty()) {
      for (std::uint32_t i = 0; i < out_.tasks.size(); ++i) by_name_.emplace(out_.tasks[i].name, i);
    }
    if (const auto found = by_name_.find(id); found != by_name_.end()) return found->second;
    error(path, "there is no task " + in_quotes(id));
    return std::nullopt;
  }

  void link() {
    std::unordered_map<std::string, std::uint32_t> made_by;
    for (std::uint32_t i = 0; i < said_.size(); ++i) {
      for (const std::string& file : said_[i].outputs) made_by.emplace(file, i);
    }
    for (std::uint32_t i = 0; i < said_.size(); ++i) {
      const Said& said = said_[i];
      for (const std::string& parent : said.parents) {
        if (const auto found = find(parent, said.path + ".parents")) out_.tasks[i].parents.push_back(*found);
      }
      for (const std::string& child : said.children) {
        if (const auto found = find(child, said.path + ".children")) out_.tasks[*found].parents.push_back(i);
      }
    }
    // Who tells no parents follows those that made its files; before 1.5 an empty list tells nothing either.
    for (std::uint32_t i = 0; i < said_.size(); ++i) {
      if (older_ ? !out_.tasks[i].parents.empty() : said_[i].has_family) continue;
      for (const std::string& file : said_[i].inputs) {
        if (const auto maker = made_by.find(file); maker != made_by.end() && maker->second != i) {
          out_.tasks[i].parents.push_back(maker->second);
          said_[i].parents_made = true;
        }
      }
    }
    for (WfTask& task : out_.tasks) {
      std::sort(task.parents.begin(), task.parents.end());
      task.parents.erase(std::unique(task.parents.begin(), task.parents.end()), task.parents.end());
    }
  }

  /// Takes away what waits for nothing, again and again; what is left goes in circles. Files may be written anew later on, so where they
  /// would make a circle they say nothing of the order.
  void check_order() {
    const std::size_t n = out_.tasks.size();
    if (n == 0) return error("workflow", "there are no tasks", "at least one");
    std::vector<std::uint32_t> open(n);
    std::vector<std::vector<std::uint32_t>> children(n);
    std::vector<std::uint32_t> ready;
    for (std::uint32_t i = 0; i < n; ++i) {
      open[i] = static_cast<std::uint32_t>(out_.tasks[i].parents.size());
      if (open[i] == 0) ready.push_back(i);
      for (const std::uint32_t parent : out_.tasks[i].parents) children[parent].push_back(i);
    }
    std::vector<bool> over(n);
    const auto take_away = [&](std::size_t k) {
      for (; k < ready.size(); ++k) {
        over[ready[k]] = true;
        for (const std::uint32_t child : children[ready[k]]) {
          if (open[child] > 0 && --open[child] == 0) ready.push_back(child);
        }
      }
    };
    take_away(0);
    for (std::uint32_t i = 0; i < n && ready.size() < n; ++i) {
      if (open[i] == 0 || !said_[i].parents_made) continue;
      std::erase_if(out_.tasks[i].parents, [&](std::uint32_t parent) { return !over[parent]; });
      open[i] = 0;
      ready.push_back(i);
      take_away(ready.size() - 1);
    }
    if (ready.size() == n) return;
    const auto left = std::find_if(open.begin(), open.end(), [](std::uint32_t count) { return count > 0; });
    const auto at = static_cast<std::size_t>(left - open.begin());
    error(said_[at].path, "tasks wait for each other; " + in_quotes(out_.tasks[at].id) + " is or follows one of them");
  }

  WfInstance& out_;
  workflow::Diagnostics diagnostics_;
  bool older_ = false;  ///< than 1.5
  std::vector<Said> said_;
  std::vector<bool> timed_;  ///< tasks whose runtime was told
  std::unordered_map<std::string, std::uint32_t> by_id_;
  std::unordered_map<std::string, std::uint32_t> by_name_;
};

std::string name_of(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const bool plain =
        (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
    out += plain ? c : '-';
  }
  out.erase(0, std::min(out.find_first_not_of(".-"), out.size()));
  return out.empty() ? "instance" : out;
}

/// The tasks by their upward rank: how long it takes at least from the start of a task to the end of the last that comes after it.
std::vector<std::uint32_t> by_upward_rank(const std::vector<WfTask>& tasks) {
  std::vector<double> ranks(tasks.size(), 0);
  std::vector<std::uint32_t> children(tasks.size(), 0);  // whose ranks are not known yet
  for (const WfTask& task : tasks) {
    for (const std::uint32_t parent : task.parents) ++children[parent];
  }
  std::vector<std::uint32_t> known;
  known.reserve(tasks.size());
  for (std::uint32_t i = 0; i < tasks.size(); ++i) {
    if (children[i] == 0) known.push_back(i);
  }
  for (std::size_t k = 0; k < known.size(); ++k) {
    const WfTask& task = tasks[known[k]];
    double& rank = ranks[known[k]];  // so far that of the longest child
    rank += task.runtime;
    for (const std::uint32_t parent : task.parents) {
      ranks[parent] = std::max(ranks[parent], rank);
      if (--children[parent] == 0) known.push_back(parent);
    }
  }
  std::vector<std::uint32_t> order(tasks.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) { return ranks[a] > ranks[b]; });
  return order;
}

}  // namespace

bool is_wfformat(std::string_view text) {
  return workflow::has_outer_key(text, {"schemaVersion", "workflow"});
}

WfInstance read_wfformat(std::string_view text, const std::string& file) {
  WfInstance out;
  out.file = file;
  InstanceReader reader(out, file);
  reader.read(text);
  out.errors = reader.take_errors();
  workflow::give_places(text, out.errors);
  return out;
}

LoadResult replay_of(const WfInstance& instance, double time_scale, const std::filesystem::path& directory) {
  LoadResult out;
  out.errors = instance.errors;
  if (!instance.ok()) return out;
  if (instance.untimed > 0) {
    const std::string all = std::to_string(instance.tasks.size());
    out.warnings.push_back({instance.file, 0, 0, "",
                            "the runtime of " + std::to_string(instance.untimed) + " of its " + all +
                                " tasks is not told; they take no time",
                            "", ""});
  }
  out.workflow.name = name_of(instance.name);
  out.workflow.directory = directory.string();
  out.workflow.tasks.reserve(instance.tasks.size());
  std::unordered_set<std::string_view> ids;
  for (const WfTask& task : instance.tasks) ids.insert(task.id);
  for (const std::uint32_t i : by_upward_rank(instance.tasks)) {
    const WfTask& task = instance.tasks[i];
    TaskDescription description;
    description.id = task.id;
    // Ids are what parents name: a name that is another task's id would stand for more than that task.
    description.name = ids.contains(task.name) ? task.id : task.name;
    const double scaled = task.runtime * time_scale;
    const double runtime = scaled < most_seconds ? scaled : most_seconds;
    std::array<char, 32> seconds{};
    std::snprintf(seconds.data(), seconds.size(), "%.6f", runtime);
    description.command = {Template::literal("sleep"), Template::literal(seconds.data())};
    description.ranks = task.machines;
    description.per_rank.cores = (task.cores + task.machines - 1) / task.machines;
    for (const std::uint32_t parent : task.parents) description.after.push_back(instance.tasks[parent].id);
    out.workflow.tasks.push_back(std::move(description));
    out.runtimes.emplace_back(static_cast<std::int64_t>(runtime * 1e9));
  }
  return out;
}

}  // namespace trireme
