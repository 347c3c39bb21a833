// The environment that a task starts from: that of the rank without what the rank's launcher put there.
//
// An MPI library finds its job in the environment, so a task that inherited a rank's would believe itself to be that rank,
// and `mpirun` in a task would refuse to run inside itself. What describes our own job or step is removed. What people and
// sites set stays: which network to use, where things are installed, how the compilers' wrappers work, and the allocation
// (a nested mpirun or srun needs it). Open MPI's mpirun exports its own settings in the same form as a user's
// (OMPI_MCA_name=value); those that it sets by itself or that say how to map our ranks are removed by name, all other parameters
// stay, be they from the shell or from `--mca` on our command line: a site that needs them for the runtime needs them for tasks.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trireme {

/// Whether a variable of this name comes from a launcher and tells a process what its place in our job is.
bool is_launcher_variable(std::string_view name);

/// Entries NAME=value without the launcher's. Where a Slurm step had narrowed SLURM_TASKS_PER_NODE to our one rank per node, the
/// job's cores per node are put back, because a nested mpirun reads its slots from there.
std::vector<std::string> scrub(std::span<const std::string> environment);
/// The same, from a null-terminated vector such as `environ`.
std::vector<std::string> scrub(const char* const* environment);
/// What scrubbing takes away.
std::vector<std::string> launcher_entries(const char* const* environment);

}  // namespace trireme
