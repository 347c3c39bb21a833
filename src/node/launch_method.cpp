#include "node/launch_method.hpp"

#include <algorithm>
#include <utility>

#include "launch/direct.hpp"
#include "launch/pmi/launch.hpp"
#include "launch/step/commands.hpp"
#include "launch/step/launch.hpp"
#ifdef TRIREME_HAVE_PMIX
#include "launch/dvm/step.hpp"
#include "launch/pmix/launch.hpp"
#endif

namespace trireme {

LaunchMethods built_launch_methods(const LaunchContext& context) {
  LaunchMethods methods;
  methods.push_back(std::make_unique<DirectLaunch>());
#ifdef TRIREME_HAVE_PMIX
  methods.push_back(std::make_unique<pmix::PmixLaunch>(context));
  methods.push_back(std::make_unique<step::StepLaunch>(context, "dvm", &dvm::start_step));
#endif
  methods.push_back(std::make_unique<pmi::PmiLaunch>(context));
  methods.push_back(std::make_unique<step::StepLaunch>(context, "srun", &step::start_by_srun));
  methods.push_back(std::make_unique<step::StepLaunch>(context, "mpiexec", &step::start_by_mpiexec));
  return methods;
}

std::vector<std::string_view> built_launch_method_names() {
#ifdef TRIREME_HAVE_PMIX
  return {"direct", "pmix", "pmi", "dvm", "srun", "mpiexec"};
#else
  return {"direct", "pmi", "srun", "mpiexec"};
#endif
}

Surroundings look_around(const Variables& base, const Variables& launcher, const std::string& dvm_uri) {
  constexpr std::string_view srun = "srun";
  const auto space = launcher.find("PMIX_NAMESPACE");
  Surroundings here;
  here.built = built_launch_method_names();
  here.slurm_job = base.contains("SLURM_JOB_ID");
  here.srun = !find_in_path(base, {&srun, 1}).empty();
  here.mpirun = !find_in_path(base, step::mpiexec_names(MpiKind::openmpi)).empty();
  here.hydra = !find_in_path(base, step::mpiexec_names(MpiKind::mpich)).empty();
  // Slurm's PMIx is no such service: it starts nothing.
  here.spawn_service = !dvm_uri.empty() || (space != launcher.end() && !space->second.starts_with("slurm."));
  return here;
}

Result<ChosenMethod> choose_method(const LaunchMethods& methods, std::string_view launcher, MpiKind kind,
                                   const std::function<ProgramMpi()>& find, const Surroundings& here) {
  const TaskMpi task = mpi_of_task(kind, find);
  auto choice = choose_launch(launcher, task, here);
  if (!choice) return std::move(choice).error();
  const auto method =
      std::find_if(methods.begin(), methods.end(), [&](const auto& one) { return one->name() == choice->method; });
  if (method == methods.end()) {
    return Error{"this build has no launch method " + std::string(choice->method), "",
                 "see `trireme plan` for those it has", ExitCode::usage};
  }
  return ChosenMethod{method->get(), task.kind, std::move(choice->why)};
}

}  // namespace trireme
