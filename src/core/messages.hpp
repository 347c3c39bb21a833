// What passes between the pilot and the agents of the nodes (docs/spec/messages.md).
//
// Plain values; the fabric carries them, the pure core and its tests use them as they are. All are of the control class.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "core/description.hpp"
#include "core/endpoint.hpp"
#include "core/ids.hpp"
#include "core/latency.hpp"
#include "core/resources.hpp"
#include "core/states.hpp"

namespace trireme {

// --- from the pilot to an agent ---------------------------------------------------------------------------------------

/// The consecutive ranks of an attempt that run on one node.
struct RankBlock {
  Rank node = 0;  ///< the rank of its agent
  std::uint32_t first_rank = 0;
  std::uint32_t local_ranks = 1;
  bool operator==(const RankBlock&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(node, first_rank, local_ranks);
  }
};

/// Start an attempt, or this node's part of one with several ranks. The resources are already counted as taken; which cores
/// and GPUs they are is the agent's choice. One sent ahead has none yet: it waits in the node's backlog (core/backlog.hpp) until
/// an attempt here that asks for the same has ended, and takes its place.
struct StartTask {
  AttemptId id;
  std::uint32_t first_rank = 0;   ///< of the ranks that run here
  std::uint32_t local_ranks = 1;  ///< how many run here
  TaskDescription task;
  std::vector<RankBlock>
      layout;          ///< of an MPI task: where all of its ranks are, this node's too, in the order of ranks
  bool ahead = false;  ///< of its turn
  bool operator==(const StartTask&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(id, first_rank, local_ranks, task, layout, ahead);
  }
};

/// Give back those of these attempts that wait in the backlog still. The answer is TasksReturned, if there are any; the others
/// have taken somebody's place, which that one's TaskEnded tells.
struct RecallTasks {
  std::vector<AttemptId> ids;
  bool operator==(const RecallTasks&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(ids);
  }
};

/// End an attempt: TERM, then KILL after the grace. The answer is its TaskEnded, with the outcome `cancelled` unless it ended
/// by itself before. An unknown attempt is ignored: its TaskEnded is on its way.
struct CancelTask {
  AttemptId id;
  std::string reason;
  bool operator==(const CancelTask&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(id, reason);
  }
};

/// Start a replica, or this node's part of one with several ranks. The part with rank 0 is the replica for its clients: it is
/// probed, and answers requests.
struct StartReplica {
  ReplicaId id;
  std::uint32_t first_rank = 0;   ///< of the ranks that run here
  std::uint32_t local_ranks = 1;  ///< how many run here
  std::vector<RankBlock> layout;  ///< where all of its ranks are, this node's too, in the order of ranks
  ServiceDescription service;
  bool operator==(const StartReplica&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(id, first_rank, local_ranks, layout, service);
  }
};

/// How long a replica that is to end may work on the requests that it has.
enum class Drain : std::uint8_t {
  unlimited,
  limited,  ///< for the service's drain time
  none,
};

/// Take no new requests, wait until those in flight are answered, then end the replica, or this node's part of it. The answer is its
/// ReplicaEnded with the outcome `cancelled`. May be followed by another that gives it less time.
struct StopReplica {
  ReplicaId id;
  Drain drain = Drain::limited;
  bool operator==(const StopReplica&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(id, drain);
  }
};

/// The run is over: end whatever still runs and answer AgentDone.
struct ShutdownAgent {
  bool operator==(const ShutdownAgent&) const = default;
  template <typename Archive>
  void serialize(Archive&) {}
};

using ToAgent = std::variant<StartTask, CancelTask, StartReplica, StopReplica, ShutdownAgent, RecallTasks>;

// --- from an agent to the pilot ---------------------------------------------------------------------------------------

struct NodeJoined {
  std::string host;
  Resources resources;
  std::string proxy_url;
  std::vector<std::string> warnings;  ///< e.g. more ranks than cores
  bool operator==(const NodeJoined&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(host, resources, proxy_url, warnings);
  }
};

struct TaskStarted {
  AttemptId id;
  std::int32_t pid = 0;
  WallTime time = 0;
  std::vector<std::uint32_t> cores;
  std::vector<std::uint32_t> gpus;
  std::string launch;  ///< of an MPI task: the method that was chosen, and why
  bool operator==(const TaskStarted&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(id, pid, time, cores, gpus, launch);
  }
};

/// This node's part of the attempt is over, its processes are gone and its outputs are where they belong.
struct TaskEnded {
  AttemptId id;
  AttemptEnd end;
  AttemptId next{};  ///< the attempt of the backlog that has taken its place and starts; none: what it had is free
  bool operator==(const TaskEnded&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(id, end, next);
  }
};

/// Attempts of the backlog that have not been started and never will be here: recalled, or sent where there was no room.
struct TasksReturned {
  std::vector<AttemptId> ids;
  bool operator==(const TasksReturned&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(ids);
  }
};

/// Rank 0 of the replica runs.
struct ReplicaStarted {
  ReplicaId id;
  std::int32_t pid = 0;
  WallTime time = 0;
  std::string launch;  ///< of an MPI service: the method that was chosen, and why
  bool operator==(const ReplicaStarted&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(id, pid, time, launch);
  }
};

struct ReplicaReady {
  ReplicaEndpoint endpoint;
  WallTime time = 0;
  bool operator==(const ReplicaReady&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(endpoint, time);
  }
};

/// A replica's processes on this node are gone, whether they were asked to end or not.
struct ReplicaEnded {
  ReplicaId id;
  AttemptEnd end;  ///< its reason holds the tail of the replica's log when it was not asked to end
  bool was_ready = false;
  bool operator==(const ReplicaEnded&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(id, end, was_ready);
  }
};

/// Counters of requests that this rank's proxy answered for a service, since the start of the run. Sent about once a second
/// while they change, and once at the end.
struct ServiceSample {
  struct PerReplica {
    std::uint32_t replica = 0;
    std::uint64_t requests = 0;
    std::uint64_t failed = 0;
    template <typename Archive>
    void serialize(Archive& archive) {
      archive(replica, requests, failed);
    }
    bool operator==(const PerReplica&) const = default;
  };
  /// Of a replica on this rank: how busy it is now, and how long its requests took.
  struct Load {
    std::uint32_t replica = 0;
    std::uint32_t active = 0;  ///< requests that it works on
    LatencyHistogram latency;  ///< from a request's way to the replica to the last byte of its answer
    template <typename Archive>
    void serialize(Archive& archive) {
      archive(replica, active, latency);
    }
    bool operator==(const Load&) const = default;
  };
  ServiceIndex service;
  std::uint64_t requests = 0;        ///< that came in at this rank
  std::uint64_t failed = 0;          ///< answered with 5xx by us, cut short, or refused
  std::uint32_t queued = 0;          ///< waiting now, where this rank is the service's home
  std::vector<PerReplica> replicas;  ///< that replicas on this rank answered
  std::vector<Load> loads;           ///< of these replicas
  ResponseTimes response;            ///< of requests that came in at this rank and were answered
  bool operator==(const ServiceSample&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(service, requests, failed, queued, replicas, loads, response);
  }
};

/// The agent has ended everything and sends nothing more.
struct AgentDone {
  bool operator==(const AgentDone&) const = default;
  template <typename Archive>
  void serialize(Archive&) {}
};

using FromAgent = std::variant<NodeJoined, TaskStarted, TaskEnded, ReplicaStarted, ReplicaReady, ReplicaEnded,
                               ServiceSample, AgentDone, TasksReturned>;

}  // namespace trireme
