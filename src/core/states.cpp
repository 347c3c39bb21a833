#include "core/states.hpp"

namespace trireme {

std::string_view to_string(TaskState state) {
  switch (state) {
    case TaskState::waiting:
      return "waiting";
    case TaskState::ready:
      return "ready";
    case TaskState::running:
      return "running";
    case TaskState::done:
      return "done";
    case TaskState::failed:
      return "failed";
    case TaskState::cancelled:
      return "cancelled";
    case TaskState::skipped:
      return "skipped";
  }
  return "unknown";
}

std::string_view to_string(ReplicaState state) {
  switch (state) {
    case ReplicaState::waiting:
      return "waiting";
    case ReplicaState::starting:
      return "starting";
    case ReplicaState::ready:
      return "ready";
    case ReplicaState::draining:
      return "draining";
    case ReplicaState::ended:
      return "ended";
    case ReplicaState::failed:
      return "failed";
  }
  return "unknown";
}

std::string_view to_string(Outcome outcome) {
  switch (outcome) {
    case Outcome::done:
      return "done";
    case Outcome::failed:
      return "failed";
    case Outcome::timeout:
      return "timeout";
    case Outcome::cancelled:
      return "cancelled";
    case Outcome::lost:
      return "lost";
  }
  return "unknown";
}

std::string_view to_string(RunState state) {
  switch (state) {
    case RunState::running:
      return "running";
    case RunState::done:
      return "done";
    case RunState::failed:
      return "failed";
    case RunState::interrupted:
      return "interrupted";
  }
  return "unknown";
}

}  // namespace trireme
