#include "launch/choice.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace trireme {
namespace {

constexpr std::string_view direct = "direct";

struct Row {
  MpiKind kind;
  bool site_launcher;
  std::array<std::string_view, 3> methods;  // in the order in which they are tried
};

// Our own servers come first: they cost a task nothing but its own start, and need nothing that is not in this build. Programs that
// need their site's launcher (Cray MPICH, whose PMI talks to Slurm or PALS alone) get that first. `dvm` is for those who ask for it: where
// it can be had, `pmix` can be too.
constexpr std::array table{
    Row{MpiKind::openmpi, false, {"pmix", "srun", "mpiexec"}},
    Row{MpiKind::pmix, false, {"pmix", "srun", "mpiexec"}},
    Row{MpiKind::mpich, false, {"pmi", "srun", "mpiexec"}},
    Row{MpiKind::mpich, true, {"srun", "mpiexec", "pmi"}},
};

std::string words_for_mpi(MpiKind kind) {
  switch (kind) {
    case MpiKind::openmpi:
      return "Open MPI";
    case MpiKind::mpich:
      return "MPICH";
    case MpiKind::pmix:
      return "PMIx";
    default:
      return "no MPI";
  }
}

}  // namespace

TaskMpi mpi_of_task(MpiKind said, const std::function<ProgramMpi()>& find) {
  if (said == MpiKind::none) return {};
  if (said == MpiKind::automatic) {
    ProgramMpi found = find();
    if (found.kind != MpiKind::none) return {found.kind, found.site_launcher, std::move(found.why)};
    return {MpiKind::openmpi, false, "nothing tells which MPI it uses, so Open MPI; `mpi:` can say it"};
  }
  TaskMpi task{said, false, "the task says " + words_for_mpi(said)};
  if (said != MpiKind::mpich) return task;
  // MPICH has relatives, which start in other ways.
  const ProgramMpi found = find();
  if (found.kind == said && found.site_launcher) task = {said, true, task.why + ", and " + found.why};
  return task;
}

std::string why_not(std::string_view method, MpiKind kind, const Surroundings& here) {
  if (std::find(here.built.begin(), here.built.end(), method) == here.built.end()) {
    return "this build does not have it (TRIREME_PMIX)";
  }
  if (method == "dvm" && !here.spawn_service) {
    return "no PMIx runtime that starts processes is there: --dvm-uri names one, and Open MPI's mpirun is one";
  }
  if (method == "srun") {
    if (!here.slurm_job) return "this run is in no Slurm job";
    if (!here.srun) return "srun is not in PATH";
  }
  if (method == "mpiexec" && !(kind == MpiKind::mpich ? here.hydra : here.mpirun)) {
    return "no launcher of the task's MPI is in PATH";
  }
  return "";
}

Result<Choice> choose_launch(std::string_view launcher, const TaskMpi& task, const Surroundings& here) {
  if (task.kind == MpiKind::none) return Choice{direct, ""};
  if (launcher != "auto") {
    if (const std::string trouble = why_not(launcher, task.kind, here); !trouble.empty()) {
      return Error{std::string(launcher) + ": " + trouble, "", "leave --launcher out, or see `trireme plan`",
                   ExitCode::usage};
    }
    return Choice{launcher, std::string(launcher) + ": asked for by --launcher; " + task.why};
  }
  const auto row = std::find_if(table.begin(), table.end(), [&](const Row& one) {
    return one.kind == task.kind && one.site_launcher == task.site_launcher;
  });
  if (row == table.end()) return Error{"no launch method is known for " + task.why, "", "", ExitCode::usage};
  std::string passed_over;
  for (const std::string_view method : row->methods) {
    const std::string trouble = why_not(method, task.kind, here);
    if (trouble.empty()) return Choice{method, std::string(method) + ": " + task.why + passed_over};
    passed_over += "; not " + std::string(method) + ": " + trouble;
  }
  return Error{"nothing here starts " + words_for_mpi(task.kind) + " tasks (" + task.why + passed_over + ")", "",
               "build it where PMIx is installed (TRIREME_PMIX)", ExitCode::usage};
}

}  // namespace trireme
