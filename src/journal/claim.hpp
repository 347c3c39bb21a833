// A run directory belongs to one run, and to one pilot at a time: RUN/run.json says to whom.
//
// The file is created with O_EXCL, so of several processes that start in one directory (a program under the wrong launcher is
// as many "rank 0 of 1") exactly one goes on. It tells readers on the same host whether the pilot still lives.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

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

/// Claims the directory of an earlier run, to continue it: an error while its pilot lives. `claim` should carry the run's own
/// run_id.
Status reclaim_run_dir(const std::filesystem::path& run_dir, const RunClaim& claim);

Result<RunClaim> read_claim(const std::filesystem::path& run_dir);

enum class PilotLife { alive, gone, unknown /* it is on another host */ };
PilotLife pilot_life(const RunClaim& claim);

}  // namespace trireme
