// Finding and loading a run for the commands that read one.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/command.hpp"
#include "core/result.hpp"
#include "core/run_paths.hpp"
#include "journal/claim.hpp"
#include "journal/reader.hpp"
#include "observe/run_view.hpp"

namespace trireme::cli {

/// The directory of the run that `name` means: `last` is the one that was started last under ./trireme-runs, then a path,
/// then a name under ./trireme-runs.
Result<std::filesystem::path> find_run(const std::string& name);

/// The same in another folder than ./trireme-runs.
Result<std::filesystem::path> find_run(const std::string& name, const std::filesystem::path& runs);

/// Candidates that are near to what was typed, as a hint: "did you mean train[seed=1]?"; else empty.
std::string did_you_mean(const std::string& typed, const std::vector<std::string>& candidates);

/// A run as its log tells it now.
struct LoadedRun {
  RunPaths paths;
  observe::RunView view;
  std::optional<RunClaim> claim;
  PilotLife pilot = PilotLife::unknown;
  std::vector<LogProblem> problems;

  /// The log has no end and the pilot is gone: it was killed, or its host was.
  bool is_lost() const { return !view.ended() && pilot == PilotLife::gone; }
  /// done, failed, interrupted, running, draining or lost.
  std::string state() const;
  /// The time up to which the run is told: now while it is on, its last event once it is not.
  WallTime present() const;
};

/// Finds and loads. Damage in the log is told on context.err and kept. `also` is shown each event: what a view does not keep.
Result<LoadedRun> load_run(const std::string& name, Context& context,
                           const std::function<void(const Event& event)>& also = {});

/// The task with that id; the error says which ids are near.
Result<const observe::TaskRecord*> find_task(const LoadedRun& run, const std::string& id);

}  // namespace trireme::cli
