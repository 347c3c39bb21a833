// The program: a thin command line over the library. One file per command; only `run` calls MPI.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <iostream>
#include <string>
#include <vector>

#include "cli/command.hpp"
#include "cli/read/rundir.hpp"

namespace {

/// What is wrong with the command line, in words like those of all other errors.
trireme::Error usage_error(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
  using trireme::ExitCode;
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands(nullptr)) names.push_back(command->get_name());
  if (argc > 1 && argv[1][0] != '-' && std::find(names.begin(), names.end(), argv[1]) == names.end()) {
    const std::string near = trireme::cli::did_you_mean(argv[1], names);
    return {std::string("there is no command ") + argv[1], "", near.empty() ? "see `trireme --help`" : near,
            ExitCode::usage};
  }
  const auto parsed = app.get_subcommands();
  const std::string command = parsed.empty() ? "trireme" : "trireme " + parsed.front()->get_name();
  return {error.what(), command, "see `" + command + " --help`", ExitCode::usage};
}

/// What is opened later must not take the place of a standard stream that whoever started us has closed: words for people would go
/// into a log.
void open_standard_streams() {
  for (int fd = ::open("/dev/null", O_RDWR); fd >= 0; fd = ::open("/dev/null", O_RDWR)) {
    if (fd <= STDERR_FILENO) continue;
    ::close(fd);
    return;
  }
}

/// Whether nobody reads our output any more, as in `trireme events last | head`.
bool reader_is_gone() {
  pollfd out{STDOUT_FILENO, POLLOUT, 0};
  return ::poll(&out, 1, 0) > 0 && (out.revents & (POLLERR | POLLHUP)) != 0;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace trireme;
  open_standard_streams();
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
  cli::add_simulate(app, context);
  cli::add_status(app, context);
  cli::add_explain(app, context);
  cli::add_events(app, context);
  cli::add_export(app, context);
  cli::add_trace(app, context);
  cli::add_logs(app, context);
  cli::add_report(app, context);
  cli::add_services(app, context);
  cli::add_stop(app, context);
  cli::add_submit(app, context);
  cli::add_wait(app, context);
  cli::add_cancel(app, context);
  cli::add_restart(app, context);
  cli::add_request(app, context);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error, std::cout, std::cerr);  // --help, --version
    context.fail(usage_error(app, error, argc, argv));
    return to_int(context.exit_code);
  }
  if (!std::cout.flush() && !reader_is_gone()) {
    context.fail({"cannot write to standard output; what it got is not whole", "", "is the disk full?",
                  ExitCode::runtime_failed});
  }
  return to_int(context.exit_code);
}
