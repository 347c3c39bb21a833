// The state of a run, folded from its events: what progress, status, explain and the summary look at.
//
// Pure: apply() is all that changes it, and it reads no clock; what depends on the present takes the time as an argument. It
// believes nothing that an event says about another one: events may name tasks that were never submitted, since a log may be
// damaged. A resumed run begins again with RunStarted: tasks keep what they have reached, and what was running was cut off.
// A task is known by its id, so a resumed run may number its tasks anew.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/events.hpp"

namespace trireme::observe {

/// The part of an attempt that one node has; most attempts have one.
struct AttemptPart {
  enum class Phase : std::uint8_t { placed, running, over };
  std::uint32_t incarnation = 1;  ///< of the run; a resumed run may count its attempts anew
  std::uint32_t attempt = 0;
  Rank rank = 0;
  std::uint32_t local_ranks = 1;
  Phase phase = Phase::placed;
  Outcome outcome = Outcome::done;  ///< once over
  std::int32_t pid = 0;
  std::int32_t exit_code = 0;
  std::int32_t signal = 0;
  WallTime ready =
      0;  ///< since when the task was, until then; 0 for all parts but the first, and where the log does not tell
  WallTime placed = 0;
  WallTime started = 0;  ///< 0: it never ran
  WallTime ended = 0;
  Usage usage;
  std::string reason;
  std::vector<std::uint32_t> cores;
  std::vector<std::uint32_t> gpus;
  std::string launch;  ///< of an MPI task: the launch method, and why it was chosen
};

struct TaskRecord {
  std::string id;
  std::string name;
  std::string command;
  std::uint32_t group = 0;  ///< of the tasks of this name
  TaskState state = TaskState::waiting;
  std::string reason;  ///< why it failed, was cancelled or skipped
  std::int32_t priority = 0;
  std::uint32_t ranks = 1;
  std::uint32_t retries = 0;
  Resources per_rank;
  std::vector<std::string> after;
  std::vector<std::string> services;
  WallTime submitted = 0;
  WallTime changed = 0;            ///< when it came into its state
  std::vector<AttemptPart> parts;  ///< of all attempts, in order

  /// How many attempts were made.
  std::uint32_t attempts() const;
  /// Whether a part is of the last attempt.
  bool is_of_last_attempt(const AttemptPart& part) const;
  /// The part that tells most of how the last attempt went: one that failed, else the last; null without attempts.
  const AttemptPart* verdict() const;
};

/// The tasks of one name, counted by their state.
struct TaskGroup {
  std::string name;
  std::array<std::uint64_t, static_cast<std::size_t>(TaskState::skipped) + 1> counts{};
  std::uint64_t count(TaskState state) const { return counts.at(static_cast<std::size_t>(state)); }
};

/// Something that went wrong, for a list of the last such things.
struct Failure {
  enum class Kind : std::uint8_t { attempt, task, replica, node };
  Kind kind = Kind::task;
  WallTime time = 0;
  std::string subject;  ///< the task's id, the service's name, or the node's host
  std::uint32_t replica = 0;
  std::uint32_t attempt = 0;
  Rank rank = -1;
  std::string reason;
};

/// One life of a replica.
struct ReplicaRecord {
  std::uint32_t incarnation = 1;  ///< of the run
  std::uint32_t replica = 0;
  std::uint32_t attempt = 0;
  ReplicaState state = ReplicaState::waiting;
  Rank rank = -1;                          ///< its node; of several ranks: rank 0's
  std::vector<events::PlacedRanks> parts;  ///< of several ranks: where they are
  std::int32_t pid = 0;
  std::string launch_method;  ///< of an MPI service, and why it was chosen
  std::string endpoint;
  std::string reason;
  WallTime starting = 0;
  WallTime ready = 0;
  WallTime ended = 0;
  bool drained = false;  ///< it ended, or is about to, because it was asked to
  std::optional<Duration> launch;
  std::optional<Duration> init;
  std::optional<Duration> publish;
  /// Where it is, as a person would write it: "3", or "0-2,5" of several ranks; empty where it is nowhere.
  std::string nodes() const;
  /// Whether it has its resources.
  bool holds() const {
    return state == ReplicaState::starting || state == ReplicaState::ready || state == ReplicaState::draining;
  }
};

struct RequestCounts {
  std::uint64_t requests = 0;
  std::uint64_t failed = 0;
};

struct ServiceRecord {
  std::string name;
  std::uint32_t replicas = 0;  ///< the most that there were at a time
  std::uint32_t remotes = 0;
  Resources per_replica;
  std::uint32_t ranks = 1;  ///< of each replica
  std::vector<std::string> models;
  std::vector<ReplicaRecord> lives;

  /// How many replicas are ready now.
  std::uint32_t ready() const;
  /// How many there are to be now: `replicas` without those that the load does not ask for any more.
  std::uint32_t wanted() const;
  /// Lives beyond the first of each replica.
  std::uint32_t restarts() const;
  /// The newest life of a replica; null before its first.
  const ReplicaRecord* newest(std::uint32_t replica) const;
  bool is_ready() const { return ready() > 0 || remotes > 0; }
};

struct NodeRecord {
  Rank rank = 0;
  std::string host;
  Resources resources;
  WallTime joined = 0;
  WallTime left = 0;  ///< lost, or the run ended; 0 while it is there
  bool lost = false;
  std::string reason;
};

struct Utilisation {
  double cores = 0;  ///< handed out to tasks and replicas, as a part of all that there were: 0 to 1
  double gpus = 0;
};

class RunView {
 public:
  RunView() = default;
  RunView(RunView&&) = default;
  RunView& operator=(RunView&&) = default;

  void apply(const Event& event);

  const std::string& run_id() const { return run_id_; }
  const std::string& name() const { return name_; }
  const std::string& version() const { return version_; }
  const std::string& workflow_file() const { return workflow_file_; }
  /// NAME=VALUE: parameters of the workflow that were set when it was last begun.
  const std::vector<std::string>& settings() const { return settings_; }
  std::uint32_t ranks() const { return ranks_; }
  WallTime started() const { return started_; }
  /// Of the last event.
  WallTime last_event() const { return last_event_; }
  /// How often the run was begun: 1, and one more with each resume.
  std::uint32_t incarnations() const { return incarnations_; }
  RunState state() const { return state_; }
  bool ended() const { return state_ != RunState::running; }
  int exit_code() const { return exit_code_; }
  const std::string& end_reason() const { return end_reason_; }
  bool draining() const { return draining_; }
  const std::string& drain_reason() const { return drain_reason_; }
  /// Time for which the run was on, its resumes included, up to `now` if it still is.
  Duration active(WallTime now) const;

  const std::deque<TaskRecord>& tasks() const { return tasks_; }
  const TaskRecord* find_task(std::string_view id) const;
  std::uint64_t count(TaskState state) const { return counts_.at(static_cast<std::size_t>(state)); }
  /// Tasks of which more than one attempt was made.
  std::uint64_t retried() const { return retried_; }
  /// By name, in the order in which the names came.
  const std::deque<TaskGroup>& groups() const { return groups_; }
  /// The last ones, oldest first.
  const std::deque<Failure>& failures() const { return failures_; }
  /// With those that are not kept.
  std::uint64_t failure_count() const { return failure_count_; }

  const std::deque<ServiceRecord>& services() const { return services_; }
  const ServiceRecord* find_service(std::string_view name) const;
  RequestCounts requests(const ServiceRecord& service) const;
  /// What each replica of the service said last of its load, by its number; latencies are of this part of the run.
  std::map<std::uint32_t, ServiceSample::Load> replica_loads(const ServiceRecord& service) const;
  /// Requests that each replica of the service answered, by its number.
  std::map<std::uint32_t, RequestCounts> replica_requests(const ServiceRecord& service) const;
  /// Where the time of the service's answered requests went, of this part of the run.
  ResponseTimes response(const ServiceRecord& service) const;
  /// Requests that wait now.
  std::uint64_t queued(const ServiceRecord& service) const;

  /// By rank; only the present or last incarnation's.
  const std::map<Rank, NodeRecord>& nodes() const { return nodes_; }
  /// Where a part of an attempt was, in whichever incarnation; null where the log does not tell.
  const NodeRecord* node_of(const AttemptPart& part) const;
  /// Those of incarnations that are over, oldest first.
  const std::vector<std::map<Rank, NodeRecord>>& former_nodes() const { return former_nodes_; }
  /// Distinct hosts of all incarnations.
  std::size_t hosts() const { return hosts_.size(); }
  /// What each living node has left.
  std::map<Rank, Resources> free_resources() const;
  /// What is handed out on a node.
  Resources in_use(Rank rank) const;
  Utilisation utilisation(WallTime now) const;

  const std::deque<std::string>& warnings() const { return warnings_; }
  std::uint64_t warning_count() const { return warning_count_; }

 private:
  struct Amount {
    double cores = 0;  ///< core-seconds
    double gpus = 0;
    void add(const Resources& resources, WallTime from, WallTime to);
  };

  void on(const events::RunStarted& event, WallTime time);
  void on(const events::NodeJoined& event, WallTime time);
  void on(const events::NodeLost& event, WallTime time);
  void on(const events::TaskSubmitted& event, WallTime time);
  void on(const events::TaskChanged& event, WallTime time);
  void on(const events::AttemptPlaced& event, WallTime time);
  void on(const events::AttemptStarted& event, WallTime time);
  void on(const events::AttemptEnded& event, WallTime time);
  void on(const events::ServiceDeclared& event, WallTime time);
  void on(const events::ReplicaChanged& event, WallTime time);
  void on(const events::EpochPublished& event, WallTime time);
  void on(const events::RequestsCounted& event, WallTime time);
  void on(const events::Warning& event, WallTime time);
  void on(const events::RunDraining& event, WallTime time);
  void on(const events::RunEnded& event, WallTime time);
  void on(const events::WorkflowGrew&, WallTime) {}

  /// Ends all that runs: the run stopped, or stopped being told of.
  void cut_off(WallTime time);
  TaskRecord* task(TaskIndex index);
  ServiceRecord* service(ServiceIndex index);
  ReplicaRecord* life(const ReplicaId& id, bool make);
  AttemptPart& part(TaskRecord& task, std::uint32_t attempt, Rank rank, WallTime time);
  void set_state(TaskRecord& task, TaskState state, WallTime time);
  void set_group(TaskRecord& task, const std::string& name);
  void count_replica(const ServiceRecord& owner, const ReplicaRecord& replica, bool add);
  void give_back(Rank rank, const Resources& resources);
  void note(Failure failure);
  using Samples = std::map<std::pair<const ServiceRecord*, Rank>, ServiceSample>;
  std::pair<Samples::const_iterator, Samples::const_iterator> samples_of(const ServiceRecord& service) const;
  void end_part(const TaskRecord& task, AttemptPart& part, WallTime time);
  void end_life(const ServiceRecord& service, ReplicaRecord& life, WallTime time);

  std::string run_id_;
  std::string name_;
  std::string version_;
  std::string workflow_file_;
  std::vector<std::string> settings_;
  std::uint32_t ranks_ = 0;
  WallTime started_ = 0;
  WallTime begun_ = 0;  ///< of this incarnation
  WallTime last_event_ = 0;
  std::uint32_t incarnations_ = 0;
  Duration active_before_{0};  ///< in incarnations that are over
  RunState state_ = RunState::running;
  int exit_code_ = 0;
  std::string end_reason_;
  bool draining_ = false;
  std::string drain_reason_;

  std::deque<TaskRecord> tasks_;  // a deque: ids are looked up by views into its elements
  std::unordered_map<std::string_view, std::uint32_t> task_by_id_;
  std::unordered_map<TaskIndex, std::uint32_t> task_by_index_;
  std::array<std::uint64_t, static_cast<std::size_t>(TaskState::skipped) + 1> counts_{};
  std::uint64_t retried_ = 0;
  std::deque<TaskGroup> groups_;  // a deque for the same reason
  std::unordered_map<std::string_view, std::uint32_t> group_by_name_;
  std::deque<Failure> failures_;
  std::uint64_t failure_count_ = 0;

  std::deque<ServiceRecord> services_;
  std::unordered_map<ServiceIndex, std::uint32_t> service_by_index_;
  /// Counters of requests start at 0 in each incarnation: what is here is of this one, by service and rank.
  Samples samples_;
  struct Before {
    RequestCounts total;
    std::map<std::uint32_t, RequestCounts> replicas;
  };
  std::map<const ServiceRecord*, Before> requests_before_;

  std::map<Rank, NodeRecord> nodes_;
  std::vector<std::map<Rank, NodeRecord>> former_nodes_;  ///< by incarnation
  std::map<Rank, Resources> in_use_;
  std::set<std::string> hosts_;
  Amount busy_;                       ///< of what is over
  Amount available_;                  ///< of nodes that left
  std::deque<std::string> warnings_;  ///< the last ones
  std::uint64_t warning_count_ = 0;
};

}  // namespace trireme::observe
