// How a run ended: summary.json for scripts (docs/spec/summary.md) and a few lines for people.
#pragma once

#include <string>
#include <string_view>

#include "core/run_paths.hpp"
#include "observe/run_view.hpp"

namespace trireme::observe {

/// The content of summary.json, with a newline at its end. Times of a run that has not ended count up to `now`.
std::string summary_json(const RunView& run, const RunPaths& paths, WallTime now);

/// The same for people: several lines without prefix or colour, each with its newline. `state` is a word for the run's
/// state where the caller knows more of it than the log says: "lost".
std::string summary_text(const RunView& run, const RunPaths& paths, WallTime now, std::string_view state = {});

/// How an attempt went wrong, in one line: "exit code 127: not found", "signal 9 (Killed)", "timeout after 2h".
std::string describe_end(const AttemptPart& part);

}  // namespace trireme::observe
