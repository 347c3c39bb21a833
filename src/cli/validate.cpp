// trireme validate FILE: every mistake with its place.
#include <memory>
#include <ostream>

#include "cli/command.hpp"
#include "cli/workflow_file.hpp"

namespace trireme::cli {

void add_validate(CLI::App& app, Context& context) {
  struct Options {
    WorkflowArguments workflow;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("validate", "Check a workflow file");
  add_workflow_arguments(*command, options->workflow);
  command->add_flag("--json", options->json, "machine-readable output");
  command->callback([options, &context] {
    if (options->json) {
      const LoadResult loaded =
          load_workflow(options->workflow.file, options->workflow.settings, options->workflow.time_scale);
      context.out << diagnostics_json(loaded) << '\n';
      if (!loaded.ok()) context.exit_code = ExitCode::usage;
      return;
    }
    auto workflow = load(options->workflow, context);
    if (!workflow) return context.fail(workflow.error());
    const auto count = [](std::uint64_t n, const std::string& what) {
      return std::to_string(n) + " " + what + (n == 1 ? "" : "s");
    };
    context.out << options->workflow.file << ": " << count(workflow->task_count(), "task") << " and "
                << count(workflow->services.size(), "service") << ", no errors\n";
  });
}

}  // namespace trireme::cli
