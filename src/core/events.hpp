// The events of a run: every change of state is one of these, and the event log is a sequence of them.
//
// Progress, status, explain, trace, report and resume read events and nothing else. docs/spec/events.md is the contract: the
// kind numbers below never change their meaning; fields are only added at the end.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/ids.hpp"
#include "core/messages.hpp"
#include "core/resources.hpp"
#include "core/states.hpp"

namespace trireme::events {

struct RunStarted {
  std::string run_id;
  std::string name;
  std::string version;        ///< of the program
  std::string workflow_file;  ///< absolute path, or empty for a run made through the API
  std::uint32_t ranks = 0;
  std::vector<std::string> settings;  ///< NAME=VALUE: parameters of the workflow that were set for this run
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(run_id, name, version, workflow_file, ranks, settings);
  }
};

struct NodeJoined {
  Rank rank = 0;
  std::string host;
  Resources resources;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(rank, host, resources);
  }
};

struct NodeLost {
  Rank rank = 0;
  std::string reason;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(rank, reason);
  }
};

struct TaskSubmitted {
  TaskIndex task;
  std::string id;
  std::string name;
  std::uint32_t ranks = 1;
  Resources per_rank;
  std::int32_t priority = 0;
  std::uint32_t retries = 0;
  std::vector<std::string> after;
  std::vector<std::string> services;
  std::string command;  ///< as a person would type it, shortened
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(task, id, name, ranks, per_rank, priority, retries, after, services, command);
  }
};

/// A change of a task's state that is not told by AttemptStarted: ready, done, failed, cancelled, skipped.
struct TaskChanged {
  TaskIndex task;
  TaskState state = TaskState::waiting;
  std::string reason;  ///< why failed, cancelled or skipped; empty otherwise
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(task, state, reason);
  }
};

/// An attempt was sent to a node (to each node that has a part of it).
struct AttemptPlaced {
  AttemptId attempt;
  Rank rank = 0;
  std::uint32_t local_ranks = 1;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(attempt, rank, local_ranks);
  }
};

struct AttemptStarted {
  AttemptId attempt;
  Rank rank = 0;
  std::int32_t pid = 0;
  WallTime started = 0;
  std::vector<std::uint32_t> cores;
  std::vector<std::uint32_t> gpus;
  std::string launch;  ///< of an MPI task: the launch method, and why it was chosen
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(attempt, rank, pid, started, cores, gpus, launch);
  }
};

struct AttemptEnded {
  AttemptId attempt;
  Rank rank = 0;
  AttemptEnd end;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(attempt, rank, end);
  }
};

struct ServiceDeclared {
  ServiceIndex service;
  std::string name;
  std::uint32_t replicas = 0;
  Resources per_replica;
  std::vector<std::string> models;
  std::uint32_t remotes = 0;
  std::uint32_t ranks = 1;  ///< of each replica; 0 in logs of old means 1
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(service, name, replicas, per_replica, models, remotes, ranks);
  }
};

/// Ranks of a replica on one node.
struct PlacedRanks {
  Rank rank = 0;
  std::uint32_t local_ranks = 1;
  bool operator==(const PlacedRanks&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(rank, local_ranks);
  }
};

struct ReplicaChanged {
  ReplicaId replica;
  ReplicaState state = ReplicaState::waiting;
  Rank rank = -1;        ///< whose node it is on; of several ranks: rank 0's
  std::int32_t pid = 0;  ///< with state `starting`, once its process runs
  std::string endpoint;  ///< with state `ready`: "127.0.0.1:4711" or a socket's path
  std::string reason;    ///< with `ended` and `failed`
  Duration took{0};      ///< with `starting` and a pid: launch time; with `ready`: init time
  std::string launch;    ///< with `starting` and a pid, of an MPI service: the launch method, and why it was chosen
  std::vector<PlacedRanks> parts;  ///< with `starting` and no pid, where it has several ranks: where they are, in order
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(replica, state, rank, pid, endpoint, reason, took, launch, parts);
  }
};

/// An endpoint epoch reached every living rank.
struct EpochPublished {
  std::uint64_t number = 0;
  Duration took{0};              ///< from handing it to the fabric to the last acknowledgement
  std::vector<ReplicaId> ready;  ///< replicas that it made known
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(number, took, ready);
  }
};

struct RequestsCounted {
  Rank rank = 0;
  ServiceSample sample;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(rank, sample);
  }
};

struct Warning {
  std::string text;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(text);
  }
};

/// Asked to come to an end: by a signal, by `trireme stop`, or by a failure with `on_failure: stop`.
struct RunDraining {
  std::string reason;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(reason);
  }
};

struct RunEnded {
  RunState state = RunState::done;
  std::int32_t exit_code = 0;
  std::string reason;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(state, exit_code, reason);
  }
};

/// Tasks or services came in while the run was on: the text of the submission, which --resume reads again.
struct WorkflowGrew {
  std::uint32_t number = 0;  ///< of the submission, from 0
  std::string text;          ///< JSON as `POST /runtime/tasks` or `/runtime/services` takes it, with every id
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(number, text);
  }
};

}  // namespace trireme::events

namespace trireme {

/// Alternatives are in the order of their kind numbers in docs/spec/events.md, from 1; new ones are appended.
using EventBody =
    std::variant<events::RunStarted, events::NodeJoined, events::NodeLost, events::TaskSubmitted, events::TaskChanged,
                 events::AttemptPlaced, events::AttemptStarted, events::AttemptEnded, events::ServiceDeclared,
                 events::ReplicaChanged, events::EpochPublished, events::RequestsCounted, events::Warning,
                 events::RunDraining, events::RunEnded, events::WorkflowGrew>;

struct Event {
  WallTime time = 0;
  EventBody body;
};

/// "run_started", "task_changed", …: the `event` field in JSON and the table of the SQLite export.
std::string_view kind_name(const EventBody& body);

}  // namespace trireme
