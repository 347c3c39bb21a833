#include "workflow/tasks.hpp"

#include "workflow/foreach.hpp"
#include "workflow/function.hpp"
#include "workflow/program.hpp"
#include "workflow/ranks.hpp"

namespace trireme::workflow {
namespace {

bool is_url(std::string_view text) {
  return text.find("://") != std::string_view::npos;
}

}  // namespace

void read_output(Fields& fields, OutputMode& out) {
  fields.choice<OutputMode>("output", out,
                            {{"files", OutputMode::files}, {"stream", OutputMode::stream}, {"none", OutputMode::none}});
}

namespace {

enum class Direction { in, out };

class StagingReader {
 public:
  StagingReader(const Reader& reader, Direction direction) : reader_(reader), direction_(direction) {}

  std::optional<Staging> read(const Value& item) const {
    Staging staging;
    bool has_mode = false;
    std::optional<Value> from;
    const std::size_t errors_before = reader_.diagnostics().error_count();
    if (item.node.is_map()) {
      Fields fields(reader_, item.node, item.path);
      if (const auto value = fields.take("from")) from.emplace(*value);
      fields.text("from", staging.from, Template::Mode::strict, need_of_from());
      has_mode = fields.has("mode");
      fields.choice<StagingMode>("mode", staging.mode,
                                 {{"copy", StagingMode::copy},
                                  {"link", StagingMode::link},
                                  {"move", StagingMode::move},
                                  {"transfer", StagingMode::transfer},
                                  {"broadcast", StagingMode::broadcast}});
      fields.text("to", staging.to, Template::Mode::strict, Need::filled);
      fields.finish();
      if (!from) reader_.error(item, "from is missing", "what to take");
      if (fields.has("to") && staging.to.empty() && reader_.diagnostics().error_count() == errors_before) {
        reader_.error(item, "to is empty", "a path, or no to at all");
      }
    } else if (auto text =
                   reader_.parse(item, Template::Mode::strict, "a path, or a map with from and to", need_of_from())) {
      from.emplace(item);
      staging.from = std::move(*text);
    }
    if (reader_.diagnostics().error_count() != errors_before) return std::nullopt;
    if (staging.from.empty()) {
      reader_.error(*from, "the path is empty", "what to take");
      return std::nullopt;
    }
    if (direction_ == Direction::in) {
      complete_input(*from, staging, has_mode);
    } else if (staging.mode == StagingMode::broadcast || staging.mode == StagingMode::transfer) {
      reader_.error(item, "this mode is for inputs", "copy, link or move");
    } else if (staging.to.empty() && has_mode) {
      reader_.error(item, "there is a mode but no to", "where the output goes");
    }
    return staging;
  }

 private:
  /// Where an input comes from decides how it is fetched and what it is called.
  Need need_of_from() const { return direction_ == Direction::in ? Need::plain : Need::filled; }

  void complete_input(const Value& from, Staging& staging, bool has_mode) const {
    const std::string source = staging.from.source();
    const bool url = is_url(source);
    if (url && !has_mode) staging.mode = StagingMode::transfer;
    if (url != (staging.mode == StagingMode::transfer)) {
      reader_.error(from, url ? "a URL can only be transferred" : in_quotes(source) + " is no URL",
                    url ? "mode: transfer" : "a URL for mode: transfer");
      return;
    }
    if (staging.to.empty()) {
      Template path = staging.from;
      if (url) path.cut_at("?#");
      staging.to = path.last_component();
      if (staging.to.empty()) {
        reader_.error(from, "the path has no last part to name the input by", "to beside from");
        return;
      }
    }
    if (!url) reader_.make_absolute(staging.from);
  }

  const Reader& reader_;
  Direction direction_;
};

void read_staging(Fields& fields, const Reader& reader, std::string_view key, Direction direction,
                  std::vector<Staging>& out) {
  const auto value = fields.take(key);
  if (!value) return;
  const StagingReader staging(reader, direction);
  for_each_item(*value, [&](const Value& item) {
    if (auto read = staging.read(item)) out.push_back(std::move(*read));
  });
}

/// One instance of a task, or all of them.
class TaskReader {
 public:
  TaskReader(const Reader& reader, const Value& value, const Value& key)
      : reader_(reader), value_(value), key_(key), fields_(reader, value.node, value.path) {}

  TaskDescription read(TaskOrigin& origin) {
    TaskDescription task;
    fields_.take("foreach");
    origin.task = &value_.node;
    origin.after = node_of(fields_.take("after"));
    fields_.texts("after", task.after);
    if (fields_.has("function") || fields_.has("args")) {
      const auto function = fields_.take("function");
      if (origin.after == nullptr && function) origin.after = &function->node;
      read_function(fields_, reader_, task);
    }
    if (!task.function) read_program(fields_, reader_, key_, fields_.has("function"), task.command, task.script);
    read_resources(task);
    origin.services = node_of(fields_.take("services"));
    fields_.texts("services", task.services);
    origin.environment = node_of(fields_.take("environment"));
    fields_.text("environment", task.environment);
    read_staging(fields_, reader_, "inputs", Direction::in, task.inputs);
    read_staging(fields_, reader_, "outputs", Direction::out, task.outputs);
    fields_.duration("timeout", task.timeout, Zero::allowed);
    fields_.integer("retries", task.retries, 0);
    if (const auto priority = fields_.take("priority")) {
      if (const auto read = reader_.integer(*priority, -highest_priority, highest_priority)) {
        task.priority = static_cast<std::int32_t>(*read);
      }
    }
    fields_.variables("env", task.env);
    fields_.text("cwd", task.cwd, Template::Mode::strict, Need::nothing);
    fields_.text("stdin", task.stdin_from, Template::Mode::strict, Need::nothing);
    fields_.text("stdout", task.stdout_to, Template::Mode::strict, Need::nothing);
    fields_.text("stderr", task.stderr_to, Template::Mode::strict, Need::nothing);
    read_output(fields_, task.output);
    fields_.finish();
    return task;
  }

 private:
  void read_resources(TaskDescription& task) {
    read_ranks(fields_, reader_, {task.ranks, task.mpi, task.per_rank, task.ranks_per_node});
    fields_.boolean("exclusive", task.exclusive);
    fields_.text("colocate", task.colocate);
  }

  const Reader& reader_;
  const Value& value_;
  const Value& key_;
  Fields fields_;
};

class TasksReader {
 public:
  TasksReader(Parameters& parameters, std::string_view workflow_dir, std::size_t most, Diagnostics& diagnostics)
      : parameters_(parameters), workflow_dir_(workflow_dir), most_(most), diagnostics_(diagnostics) {}

  Tasks read(const Value& section) {
    for (const Entry& entry : section.node.entries) read_task(section.path, entry);
    return std::move(tasks_);
  }

 private:
  void read_task(const Path& section, const Entry& entry) {
    const Value value{entry.value, Path(section, entry.key), entry.at()};
    const Value key{entry.value, value.path, entry.key_at};
    const Scope load_scope(parameters_, workflow_dir_, {});
    const Reader reader(load_scope, diagnostics_);
    if (!check_name(reader, key, entry.key)) return;
    if (!expect_map(reader, value, "a map with a command, a script or a function")) return;

    Foreach given;
    std::optional<Value> foreach_value;
    for (const Entry& field : value.node.entries) {
      if (field.key == "foreach") {
        foreach_value.emplace(Value{field.value, Path(value.path, field.key), field.at()});
      }
    }
    if (foreach_value) {
      auto read = Foreach::read(reader, *foreach_value);
      if (!read) return;
      given = std::move(*read);
    }
    TaskDescription named;
    named.name = named.id = entry.key;
    const TaskFamily instances(std::move(named), given.variables, given.zipped);
    if (instances.size() > most_ - count_) {
      reader.error(foreach_value ? *foreach_value : key, "there are too many tasks",
                   std::to_string(most_) + " at most");
      return;
    }
    read_instances({value, key, instances}, std::move(given));
  }

  struct Source {
    const Value& value;
    const Value& key;
    const TaskFamily& instances;  ///< their ids and their variables
  };

  void read_instances(const Source& source, Foreach given) {
    TaskOrigin origin;
    auto first = read_one(source, 0, nullptr, diagnostics_, origin);
    // What is wrong with one instance is mostly wrong with all of them.
    if (!first) return;
    const auto repeated = source.instances.first_repeated();
    if (auto shared = read_all_at_once(source, given)) {
      if (repeated) report_repeated(source, *repeated);
      add(TaskFamily(std::move(*shared), std::move(given.variables), given.zipped), origin);
      return;
    }
    add(std::move(*first), origin);
    for (std::uint32_t i = 1; i < source.instances.size(); ++i) {
      auto task = read_one(source, i, nullptr, diagnostics_, origin);
      if (!task) return;
      if (repeated == i) return report_repeated(source, i);
      add(std::move(*task), origin);
    }
  }

  /// What the instances have in common, if they differ in nothing but texts. The first instance has been read: what there is to say
  /// has been said.
  std::optional<TaskDescription> read_all_at_once(const Source& source, const Foreach& given) {
    if (source.instances.size() == 1) return std::nullopt;
    OpenVariables open;
    for (const FamilyVariable& variable : given.variables) open.met.push_back(met_by(variable.values));
    Diagnostics unheard("");
    TaskOrigin same;
    auto shared = read_one(source, 0, &open, unheard, same);
    if (!shared || open.value_used) return std::nullopt;
    shared->id.clear();
    return shared;
  }

  std::optional<TaskDescription> read_one(const Source& source, std::uint32_t instance, OpenVariables* open,
                                          Diagnostics& diagnostics, TaskOrigin& origin) {
    Variables variables;
    std::vector<std::string> names = source.instances.variable_names();
    std::vector<std::string> values = source.instances.values(instance);
    for (std::size_t i = 0; i < names.size(); ++i) variables.emplace_back(std::move(names[i]), std::move(values[i]));
    const Scope scope(parameters_, workflow_dir_, task_names, &variables, open);
    const Reader reader(scope, diagnostics);
    const std::size_t errors_before = diagnostics.error_count();
    TaskDescription task = TaskReader(reader, source.value, source.key).read(origin);
    if (diagnostics.error_count() != errors_before) return std::nullopt;
    task.name = source.instances.shared().name;
    task.id = source.instances.id(instance);
    return task;
  }

  void report_repeated(const Source& source, std::uint32_t instance) {
    const Scope scope(parameters_, workflow_dir_, {});
    Reader(scope, diagnostics_)
        .error(source.key, "two instances have the id " + in_quotes(source.instances.id(instance)), "",
               "a value is in foreach twice");
  }

  void add(TaskFamily family, const TaskOrigin& origin) {
    count_ += family.size();
    tasks_.all.push_back(std::move(family));
    tasks_.origins.push_back(origin);
  }

  Parameters& parameters_;
  std::string_view workflow_dir_;
  std::size_t most_;
  Diagnostics& diagnostics_;
  std::size_t count_ = 0;
  Tasks tasks_;
};

}  // namespace

Tasks read_tasks(const Value& section, Parameters& parameters, std::string_view workflow_dir, std::size_t most,
                 Diagnostics& diagnostics) {
  return TasksReader(parameters, workflow_dir, most, diagnostics).read(section);
}

}  // namespace trireme::workflow
