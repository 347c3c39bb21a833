// trireme stop RUN: asks a live run, from any host that sees its directory, to come to an end.
#include <CLI/CLI.hpp>
#include <memory>
#include <ostream>

#include "cli/command.hpp"
#include "cli/read/rundir.hpp"
#include "runtime/request_folder.hpp"

namespace trireme::cli {

void add_stop(CLI::App& app, Context& context) {
  struct Options {
    std::string run;
    bool kill = false;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("stop", "End a run: what runs may end, nothing new is started");
  command->add_option("RUN", options->run, "a path, a name under ./trireme-runs, or `last`")->required();
  command->add_flag("--kill", options->kill, "end running tasks at once");
  command->add_flag("--json", options->json, "machine-readable output");
  command->callback([options, &context] {
    auto run_dir = find_run(options->run);
    if (!run_dir) return context.fail(run_dir.error());
    if (auto claim = read_claim(*run_dir); claim && pilot_life(*claim) == PilotLife::gone) {
      return context.fail({"the run is not on any more", run_dir->string(), "", ExitCode::usage});
    }
    const auto kind = options->kill ? RunRequest::Kind::kill : RunRequest::Kind::drain;
    if (auto left = leave_request(*run_dir, {kind, "trireme stop"}); !left) return context.fail(left.error());
    if (options->json) {
      context.out << "{\"asked\": true}\n";
    } else {
      context.say("asked the run in " + run_dir->string() + " to end");
    }
  });
}

}  // namespace trireme::cli
