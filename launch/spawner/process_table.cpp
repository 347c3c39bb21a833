#include "launch/spawner/process_table.hpp"

#include <algorithm>
#include <utility>

namespace trireme::spawner {

Task& ProcessTable::add(Task task) {
  by_pid_[task.pid] = task.id;
  by_attempt_[task.attempt] = task.id;
  Task& added = tasks_[task.id] = std::move(task);
  reschedule(added);
  return added;
}

void ProcessTable::erase(std::uint64_t id) {
  const auto found = tasks_.find(id);
  if (found == tasks_.end()) return;
  const Task& task = found->second;
  // A pid or an attempt may have passed to a later task already.
  if (const auto it = by_pid_.find(task.pid); it != by_pid_.end() && it->second == id) by_pid_.erase(it);
  if (const auto it = by_attempt_.find(task.attempt); it != by_attempt_.end() && it->second == id) {
    by_attempt_.erase(it);
  }
  deadlines_.erase({task.scheduled_at, id});
  tasks_.erase(found);
}

Task* ProcessTable::find(std::uint64_t id) {
  const auto found = tasks_.find(id);
  return found == tasks_.end() ? nullptr : &found->second;
}

Task* ProcessTable::by_pid(pid_t pid) {
  const auto found = by_pid_.find(pid);
  return found == by_pid_.end() ? nullptr : find(found->second);
}

Task* ProcessTable::by_attempt(std::string_view attempt) {
  const auto found = by_attempt_.find(attempt);
  return found == by_attempt_.end() ? nullptr : find(found->second);
}

bool ProcessTable::any_as_old_as(std::uint64_t sequence) const {
  return std::any_of(tasks_.begin(), tasks_.end(),
                     [&](const auto& entry) { return entry.second.sequence <= sequence; });
}

std::vector<std::uint64_t> ProcessTable::ids() const {
  std::vector<std::uint64_t> out;
  out.reserve(tasks_.size());
  for (const auto& [id, task] : tasks_) out.push_back(id);
  return out;
}

void ProcessTable::reschedule(Task& task) {
  deadlines_.erase({task.scheduled_at, task.id});
  task.scheduled_at = task.deadline();
  if (task.scheduled_at != never) deadlines_.emplace(task.scheduled_at, task.id);
}

TimePoint ProcessTable::next_deadline() const {
  return deadlines_.empty() ? never : deadlines_.begin()->first;
}

std::vector<std::uint64_t> ProcessTable::due(TimePoint now) const {
  std::vector<std::uint64_t> out;
  for (const auto& [at, id] : deadlines_) {
    if (at > now) break;
    out.push_back(id);
  }
  return out;
}

}  // namespace trireme::spawner
