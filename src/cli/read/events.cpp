// trireme events RUN: the event log as JSON lines, or as an SQLite database.
#include <CLI/CLI.hpp>
#include <memory>
#include <ostream>

#include "cli/command.hpp"
#include "cli/read/rundir.hpp"
#include "journal/export_json.hpp"
#include "journal/export_sqlite.hpp"

namespace trireme::cli {
namespace {

struct EventsOptions {
  std::string run;
  std::string sqlite;
  bool follow = false;
  bool json = false;
};

void tell_problems(const JournalReader& reader, Context& context) {
  for (const LogProblem& problem : reader.problems()) {
    context.say("the event log: " + problem.text());
  }
}

/// Prints events as they come, until the run has ended or its pilot is gone.
void follow(JournalReader& reader, const std::filesystem::path& run_dir, Context& context) {
  constexpr auto look_at_pilot = std::chrono::seconds(2);
  JsonLines lines;
  bool gone = false;
  while (true) {
    while (const auto event = reader.next()) {
      context.out << lines.line(*event) << '\n';
      if (std::holds_alternative<events::RunEnded>(event->body)) gone = true;
    }
    context.out.flush();
    if (gone || !context.out) return;
    if (!reader.wait(look_at_pilot)) {
      const auto claim = read_claim(run_dir);
      // One more look at the log: the pilot may have written to it before it went.
      gone = claim.ok() && pilot_life(*claim) == PilotLife::gone;
    }
  }
}

void show(const EventsOptions& options, Context& context) {
  const auto path = find_run(options.run);
  if (!path.ok()) return context.fail(path.error());
  auto reader = JournalReader::open(RunPaths(*path).events(), {.follow = options.follow});
  if (!reader.ok()) return context.fail(reader.error());

  if (!options.sqlite.empty()) {
    const auto count = export_sqlite(*reader, options.sqlite);
    if (!count.ok()) return context.fail(count.error());
    context.say(std::to_string(*count) + " events written to " + options.sqlite);
  } else if (options.follow) {
    follow(*reader, *path, context);
  } else {
    JsonLines lines;
    while (const auto event = reader->next()) context.out << lines.line(*event) << '\n';
  }
  tell_problems(*reader, context);
}

}  // namespace

void add_events(CLI::App& app, Context& context) {
  auto options = std::make_shared<EventsOptions>();
  CLI::App* command = app.add_subcommand("events", "The event log of a run as JSON lines or SQLite");
  command->add_option("RUN", options->run, "Run directory, name under ./trireme-runs, or `last`")->required();
  auto* sqlite =
      command->add_option("--sqlite", options->sqlite, "Write an SQLite database to FILE")->type_name("FILE");
  command->add_flag("--follow", options->follow, "Go on until the run ends")->excludes(sqlite);
  command->add_flag("--json", options->json, "Print JSON lines, as without it");
  command->callback([options, &context] { show(*options, context); });
}

}  // namespace trireme::cli
