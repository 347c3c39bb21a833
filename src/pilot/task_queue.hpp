// The tasks of one shape that wait for a node: highest priority first, then in order of submission.
//
// Tasks mostly get ready in that order, so they stand in line and cost four bytes each; those that come out of order (a retry,
// a late release) are kept aside in a heap.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <vector>

#include "core/ids.hpp"

namespace trireme::pilot {

class TaskQueue {
 public:
  struct Entry {
    std::int32_t priority = 0;
    TaskIndex task;
    bool operator==(const Entry&) const = default;
    /// Whether it is to go before the other.
    bool before(const Entry& other) const {
      return priority != other.priority ? priority > other.priority : task < other.task;
    }
  };

  bool empty() const { return levels_.empty(); }
  Entry front() const;
  void push(Entry entry);
  void pop();

 private:
  struct Level {
    std::deque<TaskIndex> line;     ///< in ascending order
    std::vector<TaskIndex> others;  ///< a heap with the lowest in front
    bool line_first() const { return others.empty() || (!line.empty() && line.front() < others.front()); }
  };
  std::map<std::int32_t, Level, std::greater<>> levels_;  ///< by priority; none is empty
};

}  // namespace trireme::pilot
