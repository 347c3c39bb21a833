// The launch method `dvm`: a PMIx runtime starts the ranks (PMIx_Spawn).
//
// That runtime is a PRRTE DVM that --dvm-uri names, or the mpirun that started us, to which the helper trireme-dvm (spawn.cpp) then
// speaks as a second process of our rank. All else is as with other launchers (launch/step): a shim in front of each rank, held by its
// agent, so that how a rank ends is known without the runtime's events.
#pragma once

#include "launch/step/launch.hpp"

namespace trireme::dvm {

Result<step::StepCommand> start_step(const LaunchContext& context, step::StepRequest request);

/// What follows the name of the helper. Ranks are in the order of hosts.
std::vector<std::string> spawn_arguments(const std::string& uri, const step::Placement& placement,
                                         const std::vector<std::string>& rank);

}  // namespace trireme::dvm
