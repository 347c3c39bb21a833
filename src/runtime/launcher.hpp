// Notices a wrong launcher: an Open MPI program under MPICH's mpiexec is N times "rank 0 of 1", and each would run the
// workflow. Pure: the environment comes in as a lookup.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.hpp"

namespace trireme {

using EnvironmentLookup = std::function<std::optional<std::string>(std::string_view name)>;

/// The environment of this process.
std::optional<std::string> process_environment(std::string_view name);

/// What the launcher's variables say.
struct LauncherTraces {
  std::string name;                 ///< "Open MPI's mpirun", "a hydra mpiexec (MPICH)", "Slurm's srun"
  unsigned processes = 1;           ///< how many it started
  bool signals_dead_ranks = false;  ///< with SIGUSR1, which is then no walltime warning
  bool kills_soon = false;          ///< when it has sent SIGTERM, a second later
};

/// The launcher that started this process, if its variables are there.
std::optional<LauncherTraces> find_launcher(const EnvironmentLookup& environment);

/// Fails (exit 4) when the launcher says more than one process and MPI says one; the text names both.
Status check_launcher(const EnvironmentLookup& environment, int mpi_size, std::string_view mpi_library);

}  // namespace trireme
