// An attempt at a task, as the agent knows it: something that it starts and may cancel, and that tells it once when it is over.
//
// TaskAttempt is the real one. scaling/dispatch puts another in its place, which is over at once, to see what everything else
// costs.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/messages.hpp"

namespace trireme {

struct NodeContext;

class Attempt {
 public:
  /// Called once, as the last thing.
  using Over = std::function<void(AttemptEnd)>;

  virtual ~Attempt() = default;
  virtual void start() = 0;
  virtual void cancel(const std::string& reason) = 0;
};

using AttemptMaker = std::function<std::shared_ptr<Attempt>(NodeContext& node, StartTask part, Attempt::Over over)>;

}  // namespace trireme
