// trireme export RUN: a run as an instance in WfCommons' WfFormat 1.5.
#include <CLI/CLI.hpp>
#include <memory>

#include "cli/command.hpp"
#include "cli/read/output_file.hpp"
#include "cli/read/rundir.hpp"
#include "observe/wfformat.hpp"

namespace trireme::cli {

void add_export(CLI::App& app, Context& context) {
  struct Options {
    std::string run;
    std::string out;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("export", "Write a run as a workflow instance in WfFormat 1.5");
  command->add_option("RUN", options->run, "a path, a name under ./trireme-runs, or `last`")->required();
  command->add_option("--out,-o", options->out, "the file to write (default: standard output)");
  command->add_flag("--json", options->json, "what is written is JSON anyway");
  command->callback([options, &context] {
    const auto run = load_run(options->run, context);
    if (!run) return context.fail(run.error());
    if (run->view.tasks().empty()) {
      return context.fail({"the run has no tasks, and an instance needs one", options->run, "", ExitCode::usage});
    }
    write_to(options->out, context, [&](std::ostream& out) { observe::write_wfformat(run->view, out); });
  });
}

}  // namespace trireme::cli
