// Identifiers. Inside the runtime things are named by small integers of distinct types; people see their text names.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>

namespace trireme {

/// An index that cannot be confused with an index of another kind.
template <typename Tag>
struct Id {
  static constexpr std::uint32_t none_value = std::numeric_limits<std::uint32_t>::max();
  std::uint32_t value = none_value;

  constexpr bool valid() const { return value != none_value; }
  constexpr auto operator<=>(const Id&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(value);
  }
};

using TaskIndex = Id<struct TaskTag>;        ///< the n-th task submitted in this run
using ServiceIndex = Id<struct ServiceTag>;  ///< the n-th service declared in this run

/// A rank of the runtime's communicator; it stands for a node (rank 0 is the pilot and its own node's agent).
using Rank = std::int32_t;
constexpr Rank pilot_rank = 0;

/// One replica of a service, in one of its lives: a restart keeps `replica` and counts `attempt` up.
struct ReplicaId {
  ServiceIndex service;
  std::uint32_t replica = 0;
  std::uint32_t attempt = 0;
  constexpr auto operator<=>(const ReplicaId&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(service, replica, attempt);
  }
};

/// One attempt at a task; retries count `attempt` up from 0.
struct AttemptId {
  TaskIndex task;
  std::uint32_t attempt = 0;
  constexpr auto operator<=>(const AttemptId&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(task, attempt);
  }
};

/// Processes that are started together and find each other: the ranks of an attempt at a task, or of one life of a replica.
struct LaunchId {
  enum class Kind : std::uint8_t { task, service };
  Kind kind = Kind::task;
  std::uint32_t index = Id<void>::none_value;  ///< of the task or service
  std::uint32_t replica = 0;
  std::uint32_t attempt = 0;

  constexpr LaunchId() = default;
  constexpr LaunchId(AttemptId id)
      : index(id.task.value), attempt(id.attempt) {}  // NOLINT(google-explicit-constructor)
  constexpr LaunchId(ReplicaId id)                    // NOLINT(google-explicit-constructor)
      : kind(Kind::service), index(id.service.value), replica(id.replica), attempt(id.attempt) {}
  /// "12-0", "s3-1-0": for the names of files and of what outlives a process.
  std::string text() const {
    const std::string last = "-" + std::to_string(attempt);
    if (kind == Kind::task) return std::to_string(index) + last;
    return "s" + std::to_string(index) + "-" + std::to_string(replica) + last;
  }
  constexpr auto operator<=>(const LaunchId&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(kind, index, replica, attempt);
  }
};

}  // namespace trireme

template <typename Tag>
struct std::hash<trireme::Id<Tag>> {
  std::size_t operator()(const trireme::Id<Tag>& id) const noexcept { return id.value; }
};
template <>
struct std::hash<trireme::ReplicaId> {
  std::size_t operator()(const trireme::ReplicaId& id) const noexcept {
    return (std::size_t{id.service.value} << 40) ^ (std::size_t{id.replica} << 16) ^ id.attempt;
  }
};
template <>
struct std::hash<trireme::AttemptId> {
  std::size_t operator()(const trireme::AttemptId& id) const noexcept {
    return (std::size_t{id.task.value} << 16) ^ id.attempt;
  }
};
