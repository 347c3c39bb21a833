#include "pilot/task_queue.hpp"

#include <algorithm>

namespace trireme::pilot {

TaskQueue::Entry TaskQueue::front() const {
  const auto& [priority, level] = *levels_.begin();
  return {priority, level.line_first() ? level.line.front() : level.others.front()};
}

void TaskQueue::push(Entry entry) {
  Level& level = levels_[entry.priority];
  if (level.line.empty() || level.line.back() < entry.task) {
    level.line.push_back(entry.task);
  } else {
    level.others.push_back(entry.task);
    std::push_heap(level.others.begin(), level.others.end(), std::greater<>());
  }
}

void TaskQueue::pop() {
  const auto first = levels_.begin();
  Level& level = first->second;
  if (level.line_first()) {
    level.line.pop_front();
  } else {
    std::pop_heap(level.others.begin(), level.others.end(), std::greater<>());
    level.others.pop_back();
  }
  if (level.line.empty() && level.others.empty()) levels_.erase(first);
}

}  // namespace trireme::pilot
