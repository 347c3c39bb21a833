#include "runtime/launcher.hpp"

#include <array>
#include <charconv>
#include <cstdlib>

namespace trireme {
namespace {

struct Trace {
  std::string_view variable;
  std::string_view launcher;
  bool signals_dead_ranks = false;
  bool kills_soon = false;
};

// The number of processes, as each launcher tells them. An outer srun's variables are seen inside an mpirun too, so mpirun's
// and hydra's own come first.
constexpr std::array<Trace, 6> traces{{{"OMPI_COMM_WORLD_SIZE", "Open MPI's mpirun", false, true},
                                       {"PMI_SIZE", "a hydra mpiexec (MPICH)", true},
                                       {"MPI_LOCALNRANKS", "a hydra mpiexec (MPICH)", true},
                                       {"PALS_NRANKS", "Cray PALS' mpiexec"},
                                       {"FLUX_JOB_SIZE", "flux run"},
                                       {"SLURM_STEP_NUM_TASKS", "Slurm's srun"}}};

}  // namespace

std::optional<std::string> process_environment(std::string_view name) {
  const char* value = std::getenv(std::string(name).c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

std::optional<LauncherTraces> find_launcher(const EnvironmentLookup& environment) {
  for (const Trace& trace : traces) {
    const auto value = environment(trace.variable);
    if (!value) continue;
    unsigned processes = 0;
    const auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), processes);
    if (error == std::errc{} && end == value->data() + value->size()) {
      return LauncherTraces{std::string(trace.launcher), processes, trace.signals_dead_ranks, trace.kills_soon};
    }
  }
  return std::nullopt;
}

Status check_launcher(const EnvironmentLookup& environment, int mpi_size, std::string_view mpi_library) {
  const auto launcher = find_launcher(environment);
  if (!launcher || launcher->processes <= 1 || mpi_size > 1) return {};
  return Error{launcher->name + " started " + std::to_string(launcher->processes) +
                   " processes, but each of them is alone: this program is built with " + std::string(mpi_library),
               "", "start it with the launcher of that MPI, or build it with the launcher's MPI",
               ExitCode::runtime_failed};
}

}  // namespace trireme
