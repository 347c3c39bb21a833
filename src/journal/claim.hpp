// A run directory belongs to one run, and to one pilot at a time: RUN/run.json says to whom.
//
// The file is created with O_EXCL, so of several processes that start in one directory (a program under the wrong launcher is
// as many "rank 0 of 1") exactly one goes on. It tells readers on the same host whether the pilot still lives.
//
// From another host that cannot be asked, so the pilot changes RUN/beat every few seconds, and whoever wants to continue the
// run looks whether it still changes, or the log still grows. No clocks are compared, and nothing is locked: a file that is
// written in place and opened anew for each look shows its content on every parallel file system. A pilot that was frozen and
// taken for dead finds another's claim at its next beat, and gives the run up.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "core/defaults.hpp"
#include "core/result.hpp"
#include "core/units.hpp"

namespace trireme {

struct RunClaim {
  std::string run_id;
  std::string name;  ///< of the workflow
  std::string host;  ///< of the pilot
  std::int64_t pid = 0;
  std::uint64_t pid_start = 0;  ///< clock ticks after boot: tells a pid from its reuse
  std::string pid_namespace;    ///< a pid means nothing in another one
  WallTime started = 0;
  bool operator==(const RunClaim&) const = default;
};

/// The RunClaim of a run that this process begins now.
RunClaim this_process(std::string run_id, std::string name);

/// Makes the directory if need be and claims it; an error where it is claimed.
Status claim_run_dir(const std::filesystem::path& run_dir, const RunClaim& claim);

/// An error while the run that has claimed the directory still goes on. Where its pilot is on another host this takes up to
/// `watch`, unless the run is known to have `ended` by its log.
Status check_abandoned(const std::filesystem::path& run_dir, bool ended, Duration watch = defaults::claim_watch);

/// Claims the directory of an earlier run, to continue it. `claim` carries the run's own run_id. To be called once this process
/// has got the log, which only one can.
Status take_over_run_dir(const std::filesystem::path& run_dir, const RunClaim& claim);

Result<RunClaim> read_claim(const std::filesystem::path& run_dir);

/// Shows other hosts that this run goes on. Belongs to one thread.
class ClaimKeeper {
 public:
  explicit ClaimKeeper(std::filesystem::path run_dir);
  ~ClaimKeeper();
  ClaimKeeper(const ClaimKeeper&) = delete;
  ClaimKeeper& operator=(const ClaimKeeper&) = delete;

  /// To be called every `claim_beat`. An error once another process has taken over the run. A beat that cannot be written is
  /// none: the log tells of a disk that fails.
  Status beat();

 private:
  std::filesystem::path run_dir_;
  std::optional<RunClaim> own_;
  int file_ = -1;
};

enum class PilotLife { alive, gone, unknown /* it is on another host */ };
PilotLife pilot_life(const RunClaim& claim);

}  // namespace trireme
