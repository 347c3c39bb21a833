// The command lines by which a site's own launcher starts a task's ranks where the scheduler has put them. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/description.hpp"

namespace trireme::step {

/// A task as its launcher has to know it: how many ranks on which host, in the order of ranks.
struct Placement {
  MpiKind kind = MpiKind::openmpi;
  std::vector<std::pair<std::string, std::uint32_t>> hosts;
  std::string plugin;  ///< of Slurm's, for srun --mpi; empty: by the kind of MPI
  std::uint32_t ranks() const;
  std::size_t different_hosts() const;
};

/// srun takes the host of each rank from a file (SLURM_HOSTFILE): one line each.
std::string host_file(const Placement& placement);
std::vector<std::string> srun_command(const Placement& placement, const std::vector<std::string>& program);

/// Open MPI's mpirun and MPICH's hydra are told in different words.
std::vector<std::string> mpiexec_command(std::string_view mpiexec, const Placement& placement,
                                         const std::vector<std::string>& program);
/// The names that the launcher of a kind of MPI goes by, the surest first.
std::vector<std::string_view> mpiexec_names(MpiKind kind);

}  // namespace trireme::step
