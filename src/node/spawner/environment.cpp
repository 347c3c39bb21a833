#include "node/spawner/environment.hpp"

#include <algorithm>
#include <array>

namespace trireme {
namespace {

enum class Fate : bool { keep, drop };

struct Rule {
  std::string_view pattern;  // a name, or a prefix if it ends in '*'
  Fate fate;
};

// The first rule that fits decides, so exceptions stand before what they are excepted from. What no rule fits is kept.
constexpr std::array rules{
    // Open MPI: what people set, then what its mpirun adds (4.1: seen with -x, --mca, --map-by, --bind-to, --tag-output).
    Rule{"OMPI_ALLOW_RUN_AS_ROOT*", Fate::keep},
    Rule{"OMPI_CC", Fate::keep},
    Rule{"OMPI_CXX", Fate::keep},
    Rule{"OMPI_FC", Fate::keep},
    Rule{"OMPI_F77", Fate::keep},
    Rule{"OMPI_CFLAGS", Fate::keep},
    Rule{"OMPI_CXXFLAGS", Fate::keep},
    Rule{"OMPI_CPPFLAGS", Fate::keep},
    Rule{"OMPI_FCFLAGS", Fate::keep},
    Rule{"OMPI_LDFLAGS", Fate::keep},
    Rule{"OMPI_LIBS", Fate::keep},
    Rule{"OMPI_MCA_orte_*", Fate::drop},
    Rule{"OMPI_MCA_ess", Fate::drop},
    Rule{"OMPI_MCA_ess_*", Fate::drop},
    Rule{"OMPI_MCA_pmix", Fate::drop},
    Rule{"OMPI_MCA_rmaps_*", Fate::drop},
    Rule{"OMPI_MCA_hwloc_base_binding_policy", Fate::drop},
    Rule{"OMPI_MCA_hwloc_base_report_bindings", Fate::drop},
    Rule{"OMPI_MCA_initial_wdir", Fate::drop},
    Rule{"OMPI_MCA_mpi_oversubscribe", Fate::drop},
    Rule{"OMPI_MCA_mpi_yield_when_idle", Fate::drop},
    Rule{"OMPI_MCA_shmem_RUNTIME_QUERY_hint", Fate::drop},
    Rule{"OMPI_MCA_*", Fate::keep},
    Rule{"OMPI_*", Fate::drop},
    Rule{"ORTE_*", Fate::drop},
    // PMIx and PRRTE.
    Rule{"PMIX_MCA_mca_base_component_show_load_errors", Fate::drop},
    Rule{"PMIX_MCA_*", Fate::keep},
    Rule{"PMIX_INSTALL_PREFIX", Fate::keep},
    Rule{"PMIX_*", Fate::drop},
    Rule{"PRTE_ALLOW_RUN_AS_ROOT*", Fate::keep},
    Rule{"PRTE_PREFIX", Fate::keep},
    Rule{"PRTE_MCA_prte_*", Fate::drop},
    Rule{"PRTE_MCA_ess*", Fate::drop},
    Rule{"PRTE_MCA_rmaps_*", Fate::drop},
    Rule{"PRTE_MCA_hwloc_*", Fate::drop},
    Rule{"PRTE_MCA_*", Fate::keep},
    Rule{"PRTE_*", Fate::drop},
    // MPICH, its hydra, and its relatives.
    Rule{"PMI_*", Fate::drop},
    Rule{"PMI2_*", Fate::drop},
    Rule{"MPI_LOCALRANKID", Fate::drop},
    Rule{"MPI_LOCALNRANKS", Fate::drop},
    Rule{"MPIR_CVAR_CH3_INTERFACE_HOSTNAME", Fate::drop},
    Rule{"MPIEXEC_*", Fate::drop},
    Rule{"HYDRA_LAUNCHER*", Fate::keep},
    Rule{"HYDRA_BOOTSTRAP*", Fate::keep},
    Rule{"HYDRA_IFACE", Fate::keep},
    Rule{"HYDRA_*", Fate::drop},
    Rule{"HYDI_*", Fate::drop},
    Rule{"MV2_COMM_WORLD_*", Fate::drop},
    // Cray's launchers, and IBM's.
    Rule{"PALS_*", Fate::drop},
    Rule{"ALPS_APP_*", Fate::drop},
    Rule{"JSM_*", Fate::drop},
    // Flux: the way to its broker stays, so that a task may call `flux run`.
    Rule{"FLUX_URI", Fate::keep},
    Rule{"FLUX_EXEC_PATH*", Fate::keep},
    Rule{"FLUX_CONNECTOR_PATH*", Fate::keep},
    Rule{"FLUX_MODULE_PATH*", Fate::keep},
    Rule{"FLUX_*", Fate::drop},
    // Slurm: the step goes, and what it would make a nested srun take for its own options; the job stays.
    Rule{"SLURM_STEP*", Fate::drop},
    Rule{"SLURM_PROCID", Fate::drop},
    Rule{"SLURM_LOCALID", Fate::drop},
    Rule{"SLURM_NODEID", Fate::drop},
    Rule{"SLURM_GTIDS", Fate::drop},
    Rule{"SLURM_TASK_PID", Fate::drop},
    Rule{"SLURM_LAUNCH_NODE_IPADDR", Fate::drop},
    Rule{"SLURM_SRUN_*", Fate::drop},
    Rule{"SLURM_CPU_BIND*", Fate::drop},
    Rule{"SLURM_MEM_BIND*", Fate::drop},
    Rule{"SLURM_DISTRIBUTION", Fate::drop},
    Rule{"SLURM_PMI*", Fate::drop},
    Rule{"SLURM_NTASKS*", Fate::drop},
    Rule{"SLURM_NPROCS", Fate::drop},
    Rule{"SLURM_CPUS_PER_TASK", Fate::drop},
    Rule{"SRUN_CPUS_PER_TASK", Fate::drop},
    // An outer Trireme, of which our rank is a task.
    Rule{"TRIREME_ATTEMPT", Fate::drop},
    Rule{"TRIREME_RUN_ID", Fate::drop},
    Rule{"TRIREME_RANK", Fate::drop},
    Rule{"TRIREME_RANKS", Fate::drop},
};

bool fits(std::string_view name, std::string_view pattern) {
  if (pattern.back() != '*') return name == pattern;
  pattern.remove_suffix(1);
  return name.starts_with(pattern);
}

std::string_view name_of(std::string_view entry) {
  return entry.substr(0, entry.find('='));
}

}  // namespace

bool is_launcher_variable(std::string_view name) {
  const auto rule =
      std::find_if(rules.begin(), rules.end(), [&](const Rule& candidate) { return fits(name, candidate.pattern); });
  return rule != rules.end() && rule->fate == Fate::drop;
}

std::vector<std::string> scrub(std::span<const std::string> environment) {
  constexpr std::string_view slots = "SLURM_TASKS_PER_NODE";
  constexpr std::string_view cores = "SLURM_JOB_CPUS_PER_NODE=";
  std::vector<std::string> out;
  out.reserve(environment.size());
  for (const auto& entry : environment) {
    if (!is_launcher_variable(name_of(entry))) out.push_back(entry);
  }
  const auto job = std::find_if(out.begin(), out.end(), [&](const auto& entry) { return entry.starts_with(cores); });
  const auto step = std::find_if(out.begin(), out.end(), [&](const auto& entry) { return name_of(entry) == slots; });
  if (job != out.end() && step != out.end()) {
    *step = std::string(slots) + "=" + job->substr(cores.size());
  }
  return out;
}

std::vector<std::string> scrub(const char* const* environment) {
  std::vector<std::string> entries;
  for (; *environment != nullptr; ++environment) entries.emplace_back(*environment);
  return scrub(entries);
}

std::vector<std::string> launcher_entries(const char* const* environment) {
  std::vector<std::string> entries;
  for (; *environment != nullptr; ++environment) {
    if (is_launcher_variable(name_of(*environment))) entries.emplace_back(*environment);
  }
  return entries;
}

}  // namespace trireme
