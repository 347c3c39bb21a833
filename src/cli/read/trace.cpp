// trireme trace RUN: what ran when and where, for a trace viewer.
#include "observe/trace.hpp"

#include <CLI/CLI.hpp>
#include <memory>

#include "cli/command.hpp"
#include "cli/read/output_file.hpp"
#include "cli/read/rundir.hpp"

namespace trireme::cli {

void add_trace(CLI::App& app, Context& context) {
  struct Options {
    std::string run;
    std::string out;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("trace", "Write what ran when and where as a Chrome trace, for ui.perfetto.dev");
  command->add_option("RUN", options->run, "Run directory, name under ./trireme-runs, or `last`")->required();
  command->add_option("--out,-o", options->out, "the file to write (default: standard output)");
  command->add_flag("--json", options->json, "what is written is JSON anyway");
  command->callback([options, &context] {
    observe::TraceNotes notes;
    const auto run = load_run(options->run, context, [&](const Event& event) { notes.apply(event); });
    if (!run) return context.fail(run.error());
    write_to(options->out, context,
             [&](std::ostream& out) { observe::write_trace(run->view, notes, run->present(), out); });
  });
}

}  // namespace trireme::cli
