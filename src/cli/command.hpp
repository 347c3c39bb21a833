// The commands of the program. Each add_NAME makes one subcommand with its options; when it is the one that was typed, its
// callback does the work during CLI11's parsing and leaves the exit code in the Context.
#pragma once

#include <iosfwd>
#include <string>

#include "core/result.hpp"

namespace CLI {
class App;
}

namespace trireme::cli {

/// Where a command writes: what was asked for to `out`, our words to `err`.
struct Context {
  std::ostream& out;
  std::ostream& err;
  ExitCode exit_code = ExitCode::done;

  /// "trireme: TEXT" on err, one prefix per line.
  void say(const std::string& text);
  /// Says the error and makes its code the program's.
  void fail(const Error& error);
};

// Reading a run (src/cli/read/). RUN is a path, a name under ./trireme-runs, or `last`.
void add_status(CLI::App& app, Context& context);
void add_explain(CLI::App& app, Context& context);
void add_events(CLI::App& app, Context& context);
void add_export(CLI::App& app, Context& context);
void add_logs(CLI::App& app, Context& context);
void add_report(CLI::App& app, Context& context);
void add_services(CLI::App& app, Context& context);
void add_trace(CLI::App& app, Context& context);

// Running.
void add_run(CLI::App& app, Context& context);
void add_validate(CLI::App& app, Context& context);
void add_plan(CLI::App& app, Context& context);
void add_simulate(CLI::App& app, Context& context);
void add_stop(CLI::App& app, Context& context);

// Asking a run that is on.
void add_submit(CLI::App& app, Context& context);
void add_wait(CLI::App& app, Context& context);
void add_cancel(CLI::App& app, Context& context);
void add_restart(CLI::App& app, Context& context);
void add_request(CLI::App& app, Context& context);

}  // namespace trireme::cli
