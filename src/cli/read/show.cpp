#include "cli/read/show.hpp"

#include <CLI/CLI.hpp>
#include <memory>
#include <utility>

namespace trireme::cli {
namespace {

struct ShowOptions {
  std::string run;
  bool json = false;
};

void show(const RunDisplay& display, const ShowOptions& options, Context& context) {
  const auto run = load_run(options.run, context);
  if (!run.ok()) return context.fail(run.error());
  if (options.json) {
    print(context.out, display.to_json(*run));
  } else {
    display.print_text(*run, context.out);
  }
}

}  // namespace

void add_display(CLI::App& app, Context& context, RunDisplay display) {
  auto options = std::make_shared<ShowOptions>();
  CLI::App* command = app.add_subcommand(display.name, display.description);
  command->add_option("RUN", options->run, "Run directory, name under ./trireme-runs, or `last`")->required();
  command->add_flag("--json", options->json, "Print JSON");
  command->callback([options, &context, display = std::move(display)] { show(display, *options, context); });
}

}  // namespace trireme::cli
