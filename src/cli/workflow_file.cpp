#include "cli/workflow_file.hpp"

#include <filesystem>
#include <span>

namespace trireme::cli {
namespace {

namespace fs = std::filesystem;

/// Arguments stay as they are written, and programs run in folders of their own. Whoever names a script or a model as it lies beside
/// the workflow file most likely means that one.
class MisplacedFiles {
 public:
  MisplacedFiles(fs::path directory, Context& context) : directory_(std::move(directory)), context_(context) {}

  void look(const std::string& owner, std::span<const Template> arguments) {
    for (const Template& argument : arguments) {
      if (said_ == most || !argument.open_names().empty()) continue;
      const fs::path path = argument.source();
      std::error_code none;
      if (!path.has_extension() || path.is_absolute() || !fs::is_regular_file(directory_ / path, none)) continue;
      context_.say("warning: " + owner + " names " + path.string() +
                   ", which lies beside the workflow file, but runs in a folder of "
                   "its own; write \"{workflow_dir}/" +
                   path.string() + "\"");
      ++said_;
    }
  }

 private:
  static constexpr int most = 10;
  fs::path directory_;
  Context& context_;
  int said_ = 0;
};

void warn_of_misplaced_files(const WorkflowDescription& workflow, Context& context) {
  MisplacedFiles files(workflow.directory, context);
  for (const ServiceDescription& service : workflow.services) {
    if (service.cwd.empty() && service.command.size() > 1) {
      files.look("service " + service.name, std::span(service.command).subspan(1));
    }
  }
  // Of a task only the first argument, an interpreter's script: others may name what is to be written.
  for (const TaskFamily& family : workflow.tasks) {
    const TaskDescription& task = family.shared();
    if (task.cwd.empty() && task.inputs.empty() && task.command.size() > 1) {
      files.look("task " + task.name, std::span(task.command).subspan(1, 1));
    }
  }
}

}  // namespace

void add_workflow_arguments(CLI::App& command, WorkflowArguments& arguments) {
  command.add_option("FILE", arguments.file, "workflow file, or an instance in WfFormat")->required();
  command.add_option("--set", arguments.settings, "NAME=VALUE: sets a parameter of the workflow; may be repeated")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false);
  command
      .add_option("--time-scale", arguments.time_scale,
                  "replay an instance in WfFormat so many times as long: 0.01 is a hundred times as fast")
      ->check(CLI::Range(0.0, 1e6));
}

std::vector<std::string> launcher_names() {
  return {"auto", "direct", "pmix", "pmi", "dvm", "srun", "mpiexec"};
}

Error as_error(const std::string& file, const std::vector<Diagnostic>& errors) {
  std::string text;
  for (const Diagnostic& error : errors) text += error.text() + "\n";
  text += file + " has " + (errors.size() == 1 ? "an error" : std::to_string(errors.size()) + " errors");
  return Error{text, "", "", ExitCode::usage};
}

Result<WorkflowDescription> load(const WorkflowArguments& arguments, Context& context,
                                 std::vector<Duration>* runtimes) {
  LoadResult loaded = load_workflow(arguments.file, arguments.settings, arguments.time_scale);
  for (const Diagnostic& warning : loaded.warnings) context.say("warning: " + warning.text());
  if (!loaded.ok()) return as_error(arguments.file, loaded.errors);
  if (runtimes != nullptr) *runtimes = std::move(loaded.runtimes);
  warn_of_misplaced_files(loaded.workflow, context);
  return std::move(loaded.workflow);
}

}  // namespace trireme::cli
