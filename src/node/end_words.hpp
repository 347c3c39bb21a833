// How a process ended, in words for the user.
#pragma once

#include <string>
#include <string_view>

#include "core/states.hpp"
#include "core/units.hpp"
#include "launch/spawner/protocol.hpp"

namespace trireme {

/// "exit code 3", "killed by signal 11 (SIGSEGV)", "ended after its timeout of 2h".
std::string words_for_end(const spawner::Ended& ended, Duration timeout);
/// The name of a signal, "SIGTERM"; "signal 99" where it has none.
std::string signal_name(int signo);

/// The end of an attempt of which this was a process, but for its times and outputs: `done` for exit code 0.
AttemptEnd end_of(const spawner::Ended& ended, Duration timeout);
/// The end of an attempt that could not be started. The exit code is what a shell would give: 127 for a program that is
/// not there, else 126.
AttemptEnd end_of(const spawner::Failed& failed);

/// What a failed task's reason ends with whose output was thrown away.
inline constexpr std::string_view output_not_kept =
    "its output was not kept: run it with `output: files`, or with --output files, to see it";

Usage usage_of(const spawner::Ended& ended);

}  // namespace trireme
