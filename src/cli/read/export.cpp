// trireme export RUN: a run as an instance in WfCommons' WfFormat 1.5.
#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <ostream>

#include "cli/command.hpp"
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
    if (options->out.empty()) {
      return observe::write_wfformat(run->view, context.out);
    }
    errno = 0;
    std::ofstream file(options->out);
    observe::write_wfformat(run->view, file);
    file.close();
    if (!file) {
      context.fail(
          {"cannot be written: " + std::string(std::strerror(errno)), options->out, "", ExitCode::runtime_failed});
    }
  });
}

}  // namespace trireme::cli
