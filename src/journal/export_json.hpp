// Events as JSON, one object per line: what `trireme events` prints (docs/spec/events.md).
#pragma once

#include <string>

#include "core/events.hpp"
#include "journal/names.hpp"

namespace trireme {

class JsonLines {
 public:
  /// One line without its end: {"time": 1700000000.25, "event": "task_changed", "task": "train[seed=1]", …}. To be given
  /// every event in order, since tasks and services are named from earlier ones.
  std::string line(const Event& event);

 private:
  EventNames names_;
};

}  // namespace trireme
