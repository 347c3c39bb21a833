// The program: a thin command line over the library. One file per command; only `run` calls MPI.
#include <CLI/CLI.hpp>
#include <csignal>
#include <iostream>

#include "cli/command.hpp"

int main(int argc, char** argv) {
  using namespace trireme;
  // A reader that goes away (`trireme events last | head`) is an error of write(), not a death.
  std::signal(SIGPIPE, SIG_IGN);

  cli::Context context{std::cout, std::cerr};
  CLI::App app{"Trireme: tasks, MPI tasks and model services in one workflow, started by one mpirun or srun",
               "trireme"};
  app.set_version_flag("--version", "trireme " TRIREME_VERSION);
  app.require_subcommand(1);
  cli::add_run(app, context);
  cli::add_validate(app, context);
  cli::add_plan(app, context);
  cli::add_status(app, context);
  cli::add_explain(app, context);
  cli::add_events(app, context);
  cli::add_export(app, context);
  cli::add_logs(app, context);
  cli::add_services(app, context);
  cli::add_stop(app, context);
  cli::add_submit(app, context);
  cli::add_wait(app, context);
  cli::add_cancel(app, context);
  cli::add_request(app, context);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error, std::cout, std::cerr);
    return code == 0 ? 0 : to_int(ExitCode::usage);
  }
  std::cout.flush();
  return to_int(context.exit_code);
}
