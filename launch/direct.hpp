// The launch method `direct`: the spawner alone.
//
// For everything that needs no wire-up: single processes, and several ranks that only want to know who they are.
#pragma once

#include "node/launch_method.hpp"

namespace trireme {

class DirectLaunch final : public LaunchMethod {
 public:
  std::string_view name() const override { return "direct"; }
  void prepare(const LaunchPart& part, MpiKind kind, LaunchEvents events) override;
};

}  // namespace trireme
