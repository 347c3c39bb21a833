#include "launch/dvm/step.hpp"

#include "node/spawner/locate.hpp"

namespace trireme::dvm {

std::vector<std::string> spawn_arguments(const std::string& uri, const step::Placement& placement,
                                         const std::vector<std::string>& rank) {
  std::vector<std::string> out{"spawn", uri};
  std::string last;
  std::uint32_t count = 0;
  const auto add = [&] {
    if (count > 0) out.push_back(last + ":" + std::to_string(count));
  };
  // Ranks that follow each other on one host are one group, whichever virtual nodes they belong to.
  for (const auto& [host, ranks] : placement.hosts) {
    if (host != last) {
      add();
      last = host;
      count = 0;
    }
    count += ranks;
  }
  add();
  out.emplace_back("--");
  out.insert(out.end(), rank.begin(), rank.end());
  return out;
}

Result<step::StepCommand> start_step(const LaunchContext& context, step::StepRequest request) {
  auto helper = locate_companion("trireme-dvm", "TRIREME_DVM");
  if (!helper) return std::move(helper).error();
  step::StepCommand command;
  command.variables = context.base;
  command.ends_with_ranks = false;
  // As a client of the runtime that started us, the helper is our rank; as a tool of another one it must not seem to be.
  if (context.run.dvm_uri.empty()) {
    for (const auto& [name, value] : context.launcher) {
      if (name.starts_with("PMIX_")) command.variables.insert_or_assign(name, value);
    }
  }
  // The shim has it settle with the runtime for a rank that ended badly.
  request.rank.push_back(*helper);
  command.argv = {*helper};
  const auto arguments = spawn_arguments(context.run.dvm_uri, request.placement, request.rank);
  command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
  return command;
}

}  // namespace trireme::dvm
