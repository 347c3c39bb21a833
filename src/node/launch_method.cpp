#include "node/launch_method.hpp"

#include "launch/direct.hpp"

namespace trireme {

LaunchMethods built_launch_methods() {
  LaunchMethods methods;
  methods.push_back(std::make_unique<DirectLaunch>());
  return methods;
}

Result<LaunchMethod*> choose_method(const LaunchMethods& methods, const StartTask& part) {
  for (const auto& method : methods) {
    if (method->fits(part)) return method.get();
  }
  return Error{"the launch method for MPI tasks is not built", "",
               "leave out `mpi`, or let the task call mpirun itself on one node", ExitCode::usage};
}

}  // namespace trireme
