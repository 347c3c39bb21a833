// The launch method `direct`: the spawner alone.
//
// For everything that needs no wire-up: single processes, and several ranks that only want to know who they are.
#pragma once

#include "node/launch_method.hpp"

namespace trireme {

class DirectLaunch final : public LaunchMethod {
 public:
  std::string_view name() const override { return "direct"; }
  bool fits(const StartTask& part) const override { return part.task.mpi == MpiKind::none; }
  Status prepare(const StartTask& part, std::vector<RankProcess>& processes) override;
};

}  // namespace trireme
