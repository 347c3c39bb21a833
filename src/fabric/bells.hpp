// The doorbells of a fabric: this rank's own, and how to ring those of the others on its host.
#pragma once

#include <mpi.h>

#include <memory>
#include <optional>
#include <vector>

#include "core/ids.hpp"
#include "fabric/doorbell.hpp"

namespace trireme::fabric {

/// The doorbell of this rank and those of the others, as far as they are on this host.
struct Bells {
  std::unique_ptr<Doorbell> own;
  std::vector<std::optional<BellPull>> of;  ///< by rank
  bool everywhere = false;                  ///< every rank can ring every other
};

/// Collective. Without bells where MPI or the system fails: then ranks look for themselves.
Bells hang_bells(MPI_Comm comm, Rank rank, Rank size);

}  // namespace trireme::fabric
