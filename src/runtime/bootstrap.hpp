// The collective beginning of a run: rank 0 makes it, everyone learns of it. The only place where the runtime blocks in MPI.
#pragma once

#include <mpi.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/ids.hpp"
#include "core/result.hpp"
#include "core/run_info.hpp"
#include "runtime/config.hpp"

namespace trireme {

/// A rank's place among the ranks, and among those of its host.
struct Place {
  Rank rank = 0;
  Rank size = 1;
  unsigned local_index = 0;
  unsigned local_count = 1;
  std::vector<std::uint32_t> host_of;   ///< of each rank, numbered in the order of their first ranks
  std::vector<std::string> host_names;  ///< what each of them calls itself
};

/// Collective. `fit` says whether this rank can take part; the error of the first that cannot is every rank's.
Result<Place> find_place(MPI_Comm comm, const Status& fit);

/// Broadcasts what `make` gives on rank 0, whether a RunInfo or an Error; `make` is called there alone.
Result<RunInfo> share_run_info(MPI_Comm comm, Rank rank, const std::function<Result<RunInfo>()>& make);

/// What this host calls itself.
std::string host_name();

/// A new run id: time and randomness, in letters that are safe in file names.
std::string make_run_id();
/// 128 random bits in hex.
std::string make_token();

}  // namespace trireme
