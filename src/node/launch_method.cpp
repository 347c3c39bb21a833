#include "node/launch_method.hpp"

#include <algorithm>
#include <utility>

#include "launch/direct.hpp"
#include "launch/pmi/launch.hpp"
#include "launch/step/launch.hpp"
#ifdef TRIREME_HAVE_PMIX
#include "launch/pmix/launch.hpp"
#endif

namespace trireme {
namespace {

std::string_view words_for(MpiKind kind) {
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

LaunchMethods built_launch_methods(const LaunchContext& context) {
  LaunchMethods methods;
  methods.push_back(std::make_unique<DirectLaunch>());
#ifdef TRIREME_HAVE_PMIX
  methods.push_back(std::make_unique<pmix::PmixLaunch>(context));
#endif
  methods.push_back(std::make_unique<pmi::PmiLaunch>(context));
  methods.push_back(std::make_unique<step::StepLaunch>(context, step::Launcher::srun));
  methods.push_back(std::make_unique<step::StepLaunch>(context, step::Launcher::mpiexec));
  return methods;
}

std::vector<std::string_view> built_launch_method_names() {
#ifdef TRIREME_HAVE_PMIX
  return {"direct", "pmix", "pmi", "srun", "mpiexec"};
#else
  return {"direct", "pmi", "srun", "mpiexec"};
#endif
}

Result<ChosenMethod> choose_method(const LaunchMethods& methods, std::string_view launcher, MpiKind kind,
                                   const std::function<std::pair<MpiKind, std::string>()>& find_kind) {
  const auto first = [&methods](const auto& fits) -> LaunchMethod* {
    const auto found = std::find_if(methods.begin(), methods.end(), fits);
    return found == methods.end() ? nullptr : found->get();
  };
  if (kind == MpiKind::none) {
    return ChosenMethod{first([](const auto& one) { return one->fits(MpiKind::none); }), kind, ""};
  }
  std::string why = "the task says " + std::string(words_for(kind));
  if (kind == MpiKind::automatic) {
    std::tie(kind, why) = find_kind();
    if (kind == MpiKind::none) {
      kind = MpiKind::openmpi;
      why = "nothing tells which MPI it uses, so Open MPI; `mpi:` can say it";
    }
  }
  if (launcher != "auto") {
    LaunchMethod* method = first([&](const auto& one) { return one->name() == launcher; });
    if (method != nullptr)
      return ChosenMethod{method, kind, std::string(launcher) + ": asked for by --launcher; " + why};
    return Error{"this build has no launch method " + std::string(launcher), "", "see `trireme plan` for those it has",
                 ExitCode::usage};
  }
  LaunchMethod* method = first([kind](const auto& one) { return one->fits(kind); });
  if (method != nullptr) return ChosenMethod{method, kind, std::string(method->name()) + ": " + why};
  return Error{"this build has no launch method for " + std::string(words_for(kind)) + " tasks (" + why + ")", "",
               "build it where PMIx is installed (TRIREME_PMIX)", ExitCode::usage};
}

}  // namespace trireme
