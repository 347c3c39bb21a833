// The pilot: it decides everything in a run, and does nothing itself.
//
// It is a state machine without threads, clock or I/O, owned by one thread (the pilot thread of rank 0). What happens is
// told by calls; what shall happen leaves through Output before the call returns. Times are passed in, and `next_deadline`
// says when `on_time` wants to be called. So a run can be replayed, simulated and tested without starting a process.
//
//   loading --start--> running --(all ended, closed)--> stopping services --> shutting down --> finished
//      |                  |                                     ^                  ^
//      |                  +--drain--> draining -----------------+                  |
//      +--(start failed, drain)--------------------------------------- kill -------+
//
// * loading: tasks and services are taken, nodes join. Nothing is started.
// * running: services first, then tasks as they get ready and fit. Tasks may still be submitted, also by tasks that run,
//   after `close`, which says that nobody else will: then the run ends once all tasks have ended.
// * draining: nothing new is started. What runs may go on for a while, then it is asked to end. Tasks that have not
//   started stay as they are, for `--resume`.
// * stopping services: the replicas are asked to end.
// * shutting down: the agents are asked to end.
// * finished: RunEnded has been recorded; nothing leaves any more.
//
// Each step after `running` has a deadline beyond that of the agents; if it passes there is a warning and the run goes on
// to the next. The parts are Tasks (states, retries, who waits for whom), Services (replicas) and Scheduler (what runs
// where).
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/defaults.hpp"
#include "core/description.hpp"
#include "core/exit_code.hpp"
#include "core/messages.hpp"
#include "core/result.hpp"
#include "core/units.hpp"
#include "core/workflow_description.hpp"
#include "pilot/output.hpp"
#include "pilot/scheduler.hpp"
#include "pilot/services.hpp"
#include "pilot/tasks.hpp"

namespace trireme::pilot {

struct Options {
  std::uint32_t expected_nodes = 1;
  bool stop_on_failure = false;  ///< `on_failure: stop`; the workflow may also say so
  Duration drain_grace = defaults::drain_grace;
  Duration patience = defaults::patience;  ///< beyond an agent's own deadline
  std::uint32_t backlog = 0;               ///< attempts that a node is sent ahead of their turn, …
  std::uint32_t backlog_most = 0;          ///< … and at most, if it runs out of them; less than `backlog`: no more
};

/// How the run went; final once the pilot is finished.
struct RunResult {
  RunState state = RunState::running;
  ExitCode code = ExitCode::done;
  std::string reason;  ///< in words, where the state is not `done`
};

class Pilot {
 public:
  Pilot(Options options, Output& output);
  Pilot(const Pilot&) = delete;
  Pilot& operator=(const Pilot&) = delete;

  // --- what to run -----------------------------------------------------------------------------

  /// Takes a whole workflow; its parts may name each other in any order. Only while loading, and
  /// after an error the pilot is of no use any more.
  Status submit_all(WorkflowDescription workflow);
  /// A task that names only what has been submitted and declared before. While running it must also
  /// fit the machine.
  Result<TaskIndex> submit(TaskDescription task, MonoTime now);
  /// Several that may name each other in any order: all or none. The index of the first; the others follow it.
  Result<TaskIndex> submit(std::vector<TaskDescription> tasks, MonoTime now);
  Result<ServiceIndex> declare(ServiceDescription service, MonoTime now);
  /// Several that may name each other in any order: all or none. The index of the first; the others follow it.
  Result<ServiceIndex> declare(std::vector<ServiceDescription> services, MonoTime now);
  /// Ends a service before the run does: its replicas drain, and tasks that need it and have not started are skipped.
  Status stop_service(std::string_view name, MonoTime now);
  /// Starts the replicas of a service anew, one after the other.
  Status restart_service(std::string_view name, MonoTime now);
  /// Before `start`: a former run has done this task. False if there is no such task.
  bool mark_done(std::string_view task_id);
  /// Before `start`: a former run has made that many attempts at a task that is not done.
  void continue_attempts(std::string_view task_id, std::uint32_t made) { tasks_.continue_attempts(task_id, made); }
  /// Before `start`: former runs have made that many lives of each replica of a service.
  void continue_lives(std::string_view service, std::vector<std::uint32_t> made) {
    services_.continue_lives(service, std::move(made));
  }
  /// Nobody but running tasks will submit any more.
  void close(MonoTime now);
  /// What has not started never will; what runs is asked to end. Tasks that come after it are
  /// skipped.
  Status cancel(TaskIndex task, const std::string& reason, MonoTime now);

  // --- the course of the run -------------------------------------------------------------------

  bool all_joined() const { return joined_ >= options_.expected_nodes; }
  /// Starts, if everything fits the nodes that have joined. If not, the run ends with
  /// ExitCode::does_not_fit: the agents are shut down, so go on calling until `finished`.
  Status start(MonoTime now);
  /// Brings the run to an early end. `code` is the exit code if anything is left unfinished by it.
  void drain(const std::string& reason, ExitCode code, MonoTime now);
  /// Ends everything at once. A run that was draining keeps its exit code.
  void kill(const std::string& reason, ExitCode code, MonoTime now);
  void on_time(MonoTime now);
  std::optional<MonoTime> next_deadline() const;
  bool finished() const { return phase_ == Phase::finished; }
  const RunResult& result() const { return result_; }

  // --- what agents say -------------------------------------------------------------------------

  /// Takes in all that an agent said at one time, and then decides what follows from it.
  void on_messages(Rank from, std::span<const FromAgent> messages, MonoTime now);
  /// Any message of an agent: calls one of those below.
  void on_message(Rank from, const FromAgent& message, MonoTime now);
  void on_node_joined(Rank rank, const NodeJoined& node, MonoTime now);
  /// Nothing is placed on the node any more. What it had is started anew only from `harmless_at` on, when the lease that it
  /// held is over and it has ended whatever it may still have run.
  void on_node_lost(Rank rank, const std::string& reason, MonoTime now, MonoTime harmless_at = 0);
  /// These will be heard of next. It changes nothing, but what is known of them is fetched from memory for all of them together
  /// (core/prefetch.hpp).
  void expect(std::span<const RunningPart> parts) const { tasks_.fetch(parts); }
  void on_task_started(Rank rank, const TaskStarted& started, MonoTime now);
  void on_task_ended(Rank rank, const TaskEnded& ended, MonoTime now);
  void on_tasks_returned(Rank rank, const TasksReturned& returned, MonoTime now);
  void on_replica_started(Rank rank, const ReplicaStarted& started, MonoTime now);
  void on_replica_ready(Rank rank, const ReplicaReady& ready, MonoTime now);
  void on_replica_ended(Rank rank, const ReplicaEnded& ended, MonoTime now);
  void on_service_sample(Rank rank, const ServiceSample& sample, MonoTime now);
  void on_agent_done(Rank rank, MonoTime now);

  // --- what there is ---------------------------------------------------------------------------

  const TaskCounts& counts() const { return tasks_.counts(); }
  /// Tasks that wait in the backlogs of nodes.
  std::size_t sent_ahead() const { return tasks_.sent_ahead(); }
  std::optional<TaskIndex> find_task(std::string_view id) const { return tasks_.find(id); }
  bool knows_task(std::string_view id_or_name) const { return tasks_.knows(id_or_name); }
  std::optional<ServiceIndex> find_service(std::string_view name) const { return services_.find(name); }
  /// It was stopped, or has failed for good.
  bool service_is_over(ServiceIndex service) const { return services_.is_dead(service); }
  bool has_task(TaskIndex task) const { return tasks_.exists(task); }
  TaskState task_state(TaskIndex task) const { return tasks_.state(task); }
  std::string task_id(TaskIndex task) const { return tasks_.id(task); }
  TaskDescription task(TaskIndex task) const { return tasks_.description(task); }
  const ServiceDescription& service(ServiceIndex service) const { return services_.description(service); }
  const Scheduler& scheduler() const { return scheduler_; }

 private:
  enum class Phase : std::uint8_t { loading, running, draining, stopping_services, shutting_down, finished };

  void settle(MonoTime now);
  bool tasks_fit();
  bool make_room();
  std::optional<Error> seat_from(std::uint32_t first);
  void give_up_lost_nodes(MonoTime now);
  void advance(MonoTime now);
  void record_declared(ServiceIndex service);
  void end_early(RunState state, ExitCode code, const std::string& reason);
  void stop_running(const std::string& reason, MonoTime now);
  void enter_draining(MonoTime now, bool at_once);
  void enter_stopping(MonoTime now);
  void enter_shutdown(MonoTime now);
  void finish();
  RunResult judge() const;
  void warn(std::string text) { output_.record(events::Warning{std::move(text)}); }

  Options options_;
  Output& output_;
  Scheduler scheduler_;
  Tasks tasks_;
  Services services_;
  Phase phase_ = Phase::loading;
  bool closed_ = false;
  bool serves_only_ = false;  ///< a workflow of services alone: it stays up until it is told to end
  bool stop_asked_ = false;   ///< running tasks have been asked to end
  bool taking_in_ = false;    ///< what follows is decided later
  std::uint32_t joined_ = 0;
  std::set<Rank> known_;   ///< ranks that ever joined or were lost
  std::set<Rank> agents_;  ///< that live and have not said AgentDone
  struct LostNode {
    MonoTime harmless_at;
    Rank rank;
    std::string reason;
  };
  std::vector<LostNode> lost_nodes_;    ///< that may still run what they had
  std::optional<MonoTime> deadline_;    ///< of the phase
  std::optional<RunResult> early_end_;  ///< why the run is not to run its course
  bool closed_at_early_end_ = false;
  RunResult result_;
};

}  // namespace trireme::pilot
