#include "launch/direct.hpp"

namespace trireme {

Status DirectLaunch::prepare(const StartTask& part, std::vector<RankProcess>& processes) {
  for (RankProcess& process : processes) {
    process.variables.insert_or_assign("TRIREME_RANK", std::to_string(process.rank));
    process.variables.insert_or_assign("TRIREME_RANKS", std::to_string(part.task.ranks));
  }
  return {};
}

}  // namespace trireme
