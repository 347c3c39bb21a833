// The commands of srun and mpiexec, for what is in this node's PATH and in this job.
#include <fstream>

#include "launch/program.hpp"
#include "launch/step/launch.hpp"

namespace trireme::step {

Result<StepCommand> start_by_srun(const LaunchContext& context, StepRequest request) {
  StepCommand command;
  command.variables = context.base;
  // Slurm knows its nodes by their short names.
  for (auto& [host, count] : request.placement.hosts) host = host.substr(0, host.find('.'));
  const auto file = context.tmp_folder / (request.name + ".hosts");
  std::ofstream(file) << host_file(request.placement);
  command.variables.insert_or_assign("SLURM_HOSTFILE", file);
  if (const auto plugin = context.base.find("TRIREME_SRUN_MPI"); plugin != context.base.end()) {
    request.placement.plugin = plugin->second;
  }
  command.argv = srun_command(request.placement, request.rank);
  return command;
}

Result<StepCommand> start_by_mpiexec(const LaunchContext& context, StepRequest request) {
  const std::string mpiexec = find_in_path(context.base, mpiexec_names(request.placement.kind));
  if (mpiexec.empty()) return Error{"mpiexec: no launcher of the task's MPI is in PATH", "", "", ExitCode::usage};
  return StepCommand{mpiexec_command(mpiexec, request.placement, request.rank), context.base};
}

}  // namespace trireme::step
