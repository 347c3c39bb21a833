// Turning a fresh process, with whatever it inherited from the rank, into the spawner that DESIGN describes.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

namespace trireme::spawner {

struct Options {
  int socket = -1;       ///< our end of the socketpair
  pid_t rank = 0;        ///< the process that started us
  std::string log_file;  ///< for our stdout and stderr
  std::string remove;    ///< folder that a dead rank leaves to us to remove, or empty
};

/// The command line, `--socket FD --rank PID --log FILE [--remove FOLDER]`; none, after a word on stderr, if it is wrong.
std::optional<Options> parse_options(int argc, char** argv);

/// Leaves nothing of the rank but its environment and its limits: a session of our own; no descriptor but the socket; stdio to
/// the log file; default dispositions of all signals, and all of them blocked (children so inherit defaults, and nothing
/// but KILL ends us before the rank is gone); every core that the cgroup allows; the current memory of a child subreaper.
/// Best effort: what the system refuses is written to the log.
void become_spawner(const Options& options);

}  // namespace trireme::spawner
