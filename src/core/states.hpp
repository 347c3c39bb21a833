// The states of tasks, attempts, replicas and runs, and their names in logs, JSON and on screens.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/units.hpp"

namespace trireme {

/// waiting -> ready -> running -> done | failed | cancelled; skipped when something it needs did not end well. A failed
/// attempt with retries left puts a task back to ready.
enum class TaskState : std::uint8_t {
  waiting,  ///< for tasks that it comes after, or for services
  ready,    ///< for resources
  running,  ///< an attempt is on a node
  done,
  failed,
  cancelled,
  skipped,
};
std::string_view to_string(TaskState state);
constexpr bool is_final(TaskState state) {
  return state >= TaskState::done;
}

/// starting -> ready -> draining -> ended; failed when it is not restarted any more.
enum class ReplicaState : std::uint8_t { waiting, starting, ready, draining, ended, failed };
std::string_view to_string(ReplicaState state);

/// How one attempt at a task, or one life of a replica, ended.
enum class Outcome : std::uint8_t {
  done,       ///< exit code 0 and all that was promised is there
  failed,     ///< a non-zero exit code, a signal, a missing output, or it could not be started
  timeout,    ///< ended by its timeout
  cancelled,  ///< ended on request
  lost,       ///< its node was lost
};
std::string_view to_string(Outcome outcome);

/// What an attempt used, as wait4 reports it for its main process and what that waited for.
struct Usage {
  std::uint64_t max_rss = 0;  ///< bytes
  Duration user{0};
  Duration system{0};
  bool operator==(const Usage&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(max_rss, user, system);
  }
};

/// The end of an attempt as its node saw it.
struct AttemptEnd {
  Outcome outcome = Outcome::done;
  std::int32_t exit_code = 0;  ///< 127: not found, 126: not executable, 128+n: signal n
  std::int32_t signal = 0;
  std::string reason;  ///< in words where the outcome is not `done`; may hold the tail of a log
  Usage usage;
  WallTime started = 0;
  WallTime ended = 0;
  std::string result;  ///< JSON that a function returned; empty where it is no function
  bool operator==(const AttemptEnd&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(outcome, exit_code, signal, reason, usage, started, ended, result);
  }
};

enum class RunState : std::uint8_t { running, done, failed, interrupted };
std::string_view to_string(RunState state);

}  // namespace trireme
