#include "cli/workflow_file.hpp"

namespace trireme::cli {

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
  return std::move(loaded.workflow);
}

}  // namespace trireme::cli
