// What must hold before a run may begin. A program that embeds the runtime gets these wrong in ways that MPI would answer with an
// abort, or not at all.
#pragma once

#include <mpi.h>

#include "core/result.hpp"
#include "runtime/config.hpp"

namespace trireme {

/// What must hold for this rank to take part in anything collective over `comm`. Where it does not, nobody else hears of it.
Status check_mpi(MPI_Comm comm);

/// What must hold of each rank; find_place() tells all of the first that fails.
Status check_rank(const RunConfig& config);

}  // namespace trireme
