// Which launch method starts a task: by its kind of MPI, and by what there is where it runs. Pure.
//
// One table (choice.cpp, and docs/spec/launch.md) holds the methods of each kind in the order in which they are tried. The first
// that can start a task here is taken; what was passed over is told with its reason.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/description.hpp"
#include "core/result.hpp"
#include "launch/program.hpp"

namespace trireme {

/// What there is where a task is to run.
struct Surroundings {
  std::vector<std::string_view> built;  ///< the methods that this build has
  bool slurm_job = false;
  bool srun = false;    ///< in PATH
  bool mpirun = false;  ///< one for Open MPI's programs, in PATH
  bool hydra = false;   ///< one for MPICH's programs, in PATH
  bool spawn_service =
      false;  ///< a PMIx runtime that starts processes when asked: --dvm-uri, or the mpirun that started us
};

/// What a task uses, and how that is known.
struct TaskMpi {
  MpiKind kind = MpiKind::none;  ///< never automatic
  bool site_launcher = false;    ///< it starts well only under its site's launcher
  std::string why;               ///< "./train is linked to libmpi.so.40"
};

/// `said` is what the workflow says; `find` looks at the program, where that matters.
TaskMpi mpi_of_task(MpiKind said, const std::function<ProgramMpi()>& find);

/// Why a method cannot start tasks of that kind here; empty: it can.
std::string why_not(std::string_view method, MpiKind kind, const Surroundings& here);

struct Choice {
  std::string_view method;
  std::string why;  ///< "pmix: ./train is linked to libmpi.so.40"; empty where there was nothing to choose
};
/// `launcher` is a method's name, which is then meant for all MPI tasks, or `auto`.
Result<Choice> choose_launch(std::string_view launcher, const TaskMpi& task, const Surroundings& here);

}  // namespace trireme
