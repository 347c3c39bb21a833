// Who lives: the tasks by id, the pids of their main processes, and the orphans, that is, processes which escaped from a task
// by outliving their parent and which the kernel gave to the spawner, their subreaper. Plain data with indices; the rules
// of life and death are the supervisor's.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "launch/spawner/protocol.hpp"

namespace trireme::spawner {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
constexpr TimePoint never = TimePoint::max();

struct Task {
  std::uint64_t id = 0;
  pid_t pid = 0;               ///< of the main process; its session and group too
  std::uint64_t sequence = 0;  ///< counts starts
  std::string attempt;         ///< the value of attempt_variable in its processes
  std::chrono::milliseconds grace{0};
  TimePoint timeout_at = never;
  TimePoint kill_at = never;     ///< KILL is due: the grace of a stop, or at once when the main process ended by itself
  TimePoint give_up_at = never;  ///< after KILL; for processes stuck in the kernel
  bool main_ended = false;
  Ended end;                       ///< what has been found out about its end
  TimePoint scheduled_at = never;  ///< the table's own note: the deadline by which it has filed the task

  TimePoint deadline() const { return std::min({timeout_at, kill_at, give_up_at}); }
};

struct Orphan {
  pid_t pid = 0;
  std::uint64_t start_ticks = 0;
  std::optional<std::uint64_t> owner;  ///< id of its task
  bool hidden = false;                 ///< no owner could be found: it hid its session and environment
  TimePoint first_seen;
  std::uint64_t newest_suspect = 0;  ///< the sequence of the last task that can have started it
  bool killed = false;
};

class ProcessTable {
 public:
  Task& add(Task task);
  void erase(std::uint64_t id);
  Task* find(std::uint64_t id);
  /// The task whose main process this is or, having ended, was.
  Task* by_pid(pid_t pid);
  Task* by_attempt(std::string_view attempt);
  bool any_as_old_as(std::uint64_t sequence) const;
  std::size_t size() const { return tasks_.size(); }
  std::vector<std::uint64_t> ids() const;

  /// Every change of a task's deadlines is followed by this.
  void reschedule(Task& task);
  TimePoint next_deadline() const;
  /// The tasks whose deadline has come.
  std::vector<std::uint64_t> due(TimePoint now) const;

  std::map<pid_t, Orphan> orphans;

 private:
  std::unordered_map<std::uint64_t, Task> tasks_;
  std::unordered_map<pid_t, std::uint64_t> by_pid_;
  std::map<std::string, std::uint64_t, std::less<>> by_attempt_;
  std::set<std::pair<TimePoint, std::uint64_t>> deadlines_;
};

}  // namespace trireme::spawner
