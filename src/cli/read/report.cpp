// trireme report RUN: what a run was, as one HTML file.
#include "observe/report/report.hpp"

#include <CLI/CLI.hpp>
#include <memory>

#include "cli/command.hpp"
#include "cli/read/json.hpp"
#include "cli/read/output_file.hpp"
#include "cli/read/rundir.hpp"
#include "observe/report/page.hpp"

namespace trireme::cli {

void add_report(CLI::App& app, Context& context) {
  struct Options {
    std::string run;
    std::string out;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("report", "Write what a run was as one HTML file with charts");
  command->add_option("RUN", options->run, "Run directory, name under ./trireme-runs, or `last`")->required();
  command->add_option("--out,-o", options->out, "the file to write (default: standard output)");
  command->add_flag("--json", options->json, "what the page shows as JSON, instead of the page");
  command->callback([options, &context] {
    observe::report::Notes notes;
    const auto run = load_run(options->run, context, [&](const Event& event) { notes.apply(event); });
    if (!run) return context.fail(run.error());
    const WallTime present = run->present();
    notes.close(present);
    const Json data = report_json(run->view, notes, run->state(), present);
    write_to(options->out, context, [&](std::ostream& out) {
      if (options->json) return print(out, data);
      observe::report::write_page(data, out);
    });
  });
}

}  // namespace trireme::cli
