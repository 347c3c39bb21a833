#include "launch/step/commands.hpp"

#include <set>

namespace trireme::step {

std::uint32_t Placement::ranks() const {
  std::uint32_t sum = 0;
  for (const auto& [host, count] : hosts) sum += count;
  return sum;
}

std::size_t Placement::different_hosts() const {
  std::set<std::string_view> names;
  for (const auto& [host, count] : hosts) names.insert(host);
  return names.size();
}

std::string host_file(const Placement& placement) {
  std::string text;
  for (const auto& [host, count] : placement.hosts) {
    for (std::uint32_t i = 0; i < count; ++i) text += host + "\n";
  }
  return text;
}

std::vector<std::string> srun_command(const Placement& placement, const std::vector<std::string>& program) {
  std::vector<std::string> out{
      "srun",
      "--quiet",
      // The runtime is itself a step that has all cores of its nodes.
      "--overlap",
      // The step may use whatever the job has; ranks are bound by the runtime, and counted by its scheduler.
      "--overcommit",
      "--mem=0",
      "--cpu-bind=none",
      "--nodes=" + std::to_string(placement.different_hosts()),
      "--ntasks=" + std::to_string(placement.ranks()),
      "--distribution=arbitrary",
      // Ranks have files of their own, and a failed one is ended with the others by the runtime.
      "--input=none",
      "--kill-on-bad-exit=0",
      "--chdir=/",
      "--export=ALL",
  };
  const std::string usual = placement.kind == MpiKind::mpich ? "pmi2" : "pmix";
  out.push_back("--mpi=" + (placement.plugin.empty() ? usual : placement.plugin));
  out.insert(out.end(), program.begin(), program.end());
  return out;
}

std::vector<std::string_view> mpiexec_names(MpiKind kind) {
  if (kind == MpiKind::mpich) return {"mpiexec.hydra", "mpiexec.mpich", "mpiexec"};
  return {"mpirun.openmpi", "mpirun", "mpiexec"};
}

std::vector<std::string> mpiexec_command(std::string_view mpiexec, const Placement& placement,
                                         const std::vector<std::string>& program) {
  std::string hosts;
  for (const auto& [host, count] : placement.hosts) {
    hosts += (hosts.empty() ? "" : ",") + host + ":" + std::to_string(count);
  }
  std::vector<std::string> out{std::string(mpiexec)};
  const std::string ranks = std::to_string(placement.ranks());
  if (placement.kind == MpiKind::mpich) {
    out.insert(out.end(), {"-hosts", hosts, "-n", ranks, "-bind-to", "none", "-wdir", "/"});
  } else {
    // Slots are filled in the order of hosts, which is the order of ranks.
    out.insert(out.end(), {"--host", hosts, "-n", ranks, "--map-by", "slot", "--bind-to", "none", "--wdir", "/"});
  }
  out.insert(out.end(), program.begin(), program.end());
  return out;
}

}  // namespace trireme::step
