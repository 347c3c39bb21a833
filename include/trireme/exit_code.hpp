// The exit codes of the program, for all commands (docs/spec/command-line.md).
#pragma once

namespace trireme {

enum class ExitCode : int {
  done = 0,            ///< everything asked for was done
  failed = 1,          ///< a task or a service failed
  usage = 2,           ///< wrong usage, workflow file or run directory
  does_not_fit = 3,    ///< the workflow can never run on this machine
  runtime_failed = 4,  ///< the runtime itself failed: a full disk, a wrong launcher
  drained = 75,        ///< drained on SIGTERM or SIGUSR1: --resume continues the run
  interrupted = 130,   ///< ended by Ctrl-C
};

constexpr int to_int(ExitCode code) {
  return static_cast<int>(code);
}

}  // namespace trireme
