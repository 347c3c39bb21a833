#include "pilot/pilot.hpp"

#include <algorithm>
#include <utility>
#include <variant>
#include <vector>

namespace trireme::pilot {
namespace {

Error too_late() {
  return {
      .what = "the run is coming to its end and takes nothing more", .where = "", .hint = "", .code = ExitCode::failed};
}

std::string join(const std::set<Rank>& ranks) {
  std::string text;
  for (Rank rank : ranks) text += (text.empty() ? "" : ", ") + std::to_string(rank);
  return text;
}

template <typename... Handlers>
struct Overloaded : Handlers... {
  using Handlers::operator()...;
};

}  // namespace

Pilot::Pilot(Options options, Output& output)
    : options_(options),
      output_(output),
      tasks_(scheduler_, output, options.backlog, options.backlog_most),
      services_(scheduler_, output) {}

// --- what to run ---------------------------------------------------------------------------------

Status Pilot::submit_all(WorkflowDescription workflow) {
  if (phase_ != Phase::loading) return too_late();
  options_.stop_on_failure = options_.stop_on_failure || workflow.stop_on_failure;
  serves_only_ = workflow.tasks.empty() && !workflow.services.empty();
  const std::uint32_t first = services_.size();
  if (Status status = services_.declare(std::move(workflow.services)); !status) return status;
  for (std::uint32_t i = first; i < services_.size(); ++i) record_declared({i});
  return tasks_.submit(std::move(workflow.tasks));
}

Result<TaskIndex> Pilot::submit(TaskDescription task, MonoTime now) {
  std::vector<TaskDescription> tasks;
  tasks.push_back(std::move(task));
  return submit(std::move(tasks), now);
}

Result<TaskIndex> Pilot::submit(std::vector<TaskDescription> tasks, MonoTime now) {
  if (phase_ > Phase::running) return too_late();
  std::vector<TaskFamily> families;
  families.reserve(tasks.size());
  for (TaskDescription& task : tasks) {
    if (phase_ == Phase::running) {
      const Shape shape = tasks_.shape_of(task);
      const ShapeIndex index = scheduler_.shape_index(shape);
      if (!scheduler_.possible(index)) services_.shrink_to_min();
      if (!scheduler_.possible(index)) return task_does_not_fit({task.id, shape}, scheduler_);
    }
    families.emplace_back(std::move(task));
  }
  const TaskIndex first{static_cast<std::uint32_t>(tasks_.counts().total)};
  if (Status status = tasks_.submit(std::move(families)); !status) return status.error();
  settle(now);
  return first;
}

Result<ServiceIndex> Pilot::declare(ServiceDescription service, MonoTime now) {
  std::vector<ServiceDescription> services;
  services.push_back(std::move(service));
  return declare(std::move(services), now);
}

Result<ServiceIndex> Pilot::declare(std::vector<ServiceDescription> services, MonoTime now) {
  if (phase_ > Phase::running) return too_late();
  const std::uint32_t first = services_.size();
  if (Status status = services_.declare(std::move(services)); !status) return status.error();
  const bool running = phase_ == Phase::running;
  if (running) {
    if (auto misfit = seat_from(first)) {
      while (services_.size() > first) services_.withdraw_last();
      return *std::move(misfit);
    }
  }
  for (std::uint32_t i = first; i < services_.size(); ++i) record_declared({i});
  for (const ServiceIndex index : services_.start_order()) {
    if (running && index.value >= first) services_.start(index, now);
  }
  settle(now);
  return ServiceIndex{first};
}

/// Gives the services from `first` on their seats; or why they, or the tasks that there are beside them, do not fit.
std::optional<Error> Pilot::seat_from(std::uint32_t first) {
  for (std::uint32_t i = first; i < services_.size(); ++i) {
    Status seated = services_.take_seats({i});
    if (!seated && services_.shrink_to_min()) seated = services_.take_seats({i});
    if (!seated) return seated.error();
  }
  if (make_room()) return std::nullopt;
  for (const TaskNeed& need : tasks_.needs()) {
    if (!scheduler_.possible(scheduler_.shape_index(need.shape))) return task_does_not_fit(need, scheduler_);
  }
  return std::nullopt;
}

Status Pilot::stop_service(std::string_view name, MonoTime now) {
  if (phase_ != Phase::running) return too_late();
  const auto index = services_.find(name);
  if (!index) {
    return Error{.what = "there is no service " + std::string(name), .where = "", .hint = "", .code = ExitCode::usage};
  }
  services_.stop(*index, "it was stopped");
  settle(now);
  return {};
}

Status Pilot::restart_service(std::string_view name, MonoTime now) {
  if (phase_ != Phase::running) return too_late();
  const auto index = services_.find(name);
  if (!index) {
    return Error{.what = "there is no service " + std::string(name), .where = "", .hint = "", .code = ExitCode::usage};
  }
  Status status = services_.restart(*index);
  settle(now);
  return status;
}

/// Whether each task that is not final fits beside the seats.
bool Pilot::tasks_fit() {
  const std::vector<TaskNeed> needs = tasks_.needs();
  return std::all_of(needs.begin(), needs.end(),
                     [this](const TaskNeed& need) { return scheduler_.possible(scheduler_.shape_index(need.shape)); });
}

/// The same, if need be once replicas that only the load had asked for have given up their seats.
bool Pilot::make_room() {
  return tasks_fit() || (services_.shrink_to_min() && tasks_fit());
}

void Pilot::record_declared(ServiceIndex index) {
  const ServiceDescription& service = services_.description(index);
  events::ServiceDeclared event{.service = index,
                                .name = service.name,
                                .replicas = service.has_replicas() ? service.replicas : 0,
                                .per_replica = service.per_replica(),
                                .models = {},
                                .remotes = static_cast<std::uint32_t>(service.remote.size()),
                                .ranks = service.ranks};
  for (const Model& model : service.models) event.models.push_back(model.name);
  output_.record(std::move(event));
  tasks_.add_service(service.name);
}

bool Pilot::mark_done(std::string_view task_id) {
  return phase_ == Phase::loading && tasks_.mark_done(task_id);
}

void Pilot::close(MonoTime now) {
  closed_ = true;
  settle(now);
}

Status Pilot::cancel(TaskIndex task, const std::string& reason, MonoTime now) {
  if (phase_ == Phase::finished) return too_late();
  Status status = tasks_.cancel(task, reason);
  settle(now);
  return status;
}

// --- the course of the run -----------------------------------------------------------------------

Status Pilot::start(MonoTime now) {
  if (phase_ != Phase::loading) return too_late();
  std::vector<NodeSize> nodes;
  for (std::size_t rank = 0; rank < scheduler_.nodes().size(); ++rank) {
    const Scheduler::Node& node = scheduler_.nodes()[rank];
    if (node.alive) nodes.push_back({static_cast<Rank>(rank), node.total});
  }
  const Result<SeatPolicy> policy = check_fit(nodes, services_.needs(), tasks_.needs());
  Status status = policy ? Status{} : Status{policy.error()};
  if (policy) {
    scheduler_.set_seat_policy(*policy);
    status = services_.take_all_seats();
  }
  if (!status) {
    end_early(RunState::failed, status.error().code, status.error().what);
    enter_shutdown(now);
  } else {
    phase_ = Phase::running;
    for (ServiceIndex service : services_.start_order()) services_.start(service, now);
  }
  settle(now);
  return status;
}

/// What the run will be judged as, unless it turns out to have been complete. The first to end it
/// decides.
void Pilot::end_early(RunState state, ExitCode code, const std::string& reason) {
  if (early_end_) return;
  early_end_ = RunResult{state, code, reason};
  closed_at_early_end_ = closed_;
  services_.freeze();
  if (phase_ == Phase::running) output_.record(events::RunDraining{reason});
}

void Pilot::drain(const std::string& reason, ExitCode code, MonoTime now) {
  if (phase_ > Phase::running) return;
  const bool loading = phase_ == Phase::loading;
  end_early(RunState::interrupted, code, reason);
  if (loading) {
    enter_shutdown(now);
  } else {
    enter_draining(now, false);
  }
  settle(now);
}

void Pilot::kill(const std::string& reason, ExitCode code, MonoTime now) {
  if (phase_ >= Phase::shutting_down) return;
  end_early(RunState::interrupted, code, reason);
  tasks_.stop_running(reason);
  enter_shutdown(now);
  settle(now);
}

void Pilot::enter_draining(MonoTime now, bool at_once) {
  phase_ = Phase::draining;
  deadline_ = now + options_.drain_grace.count();
  tasks_.call_back_all();
  if (at_once) stop_running(early_end_->reason, now);
}

void Pilot::stop_running(const std::string& reason, MonoTime now) {
  stop_asked_ = true;
  tasks_.stop_running(reason);
  deadline_ = now + (Duration(defaults::stop_grace) + options_.patience).count();
}

void Pilot::enter_stopping(MonoTime now) {
  phase_ = Phase::stopping_services;
  deadline_ = now + (services_.longest_drain() + Duration(defaults::stop_grace) + options_.patience).count();
  services_.stop();
}

void Pilot::enter_shutdown(MonoTime now) {
  phase_ = Phase::shutting_down;
  deadline_ = now + (Duration(defaults::stop_grace) + options_.patience).count();
  services_.freeze();
  for (Rank rank : agents_) output_.send(rank, ShutdownAgent{});
}

void Pilot::on_time(MonoTime now) {
  give_up_lost_nodes(now);
  if (phase_ == Phase::running) {
    services_.on_time(now);
    services_.scale([this] { return tasks_fit(); }, now);
  }
  if (deadline_ && *deadline_ <= now) {
    if (phase_ == Phase::draining && !stop_asked_) {
      stop_running(early_end_->reason, now);
    } else if (phase_ == Phase::draining) {
      warn("tasks still running that were asked to end: " + std::to_string(tasks_.counts().running));
      enter_stopping(now);
    } else if (phase_ == Phase::stopping_services) {
      warn("not all services ended when they were asked to");
      enter_shutdown(now);
    } else if (phase_ == Phase::shutting_down) {
      warn("no answer from the agents of nodes " + join(agents_));
      agents_.clear();
    }
  }
  settle(now);
}

std::optional<MonoTime> Pilot::next_deadline() const {
  std::optional<MonoTime> next = phase_ == Phase::running ? services_.next_deadline() : deadline_;
  for (const LostNode& node : lost_nodes_) next = std::min(next.value_or(node.harmless_at), node.harmless_at);
  return next;
}

/// After every change: starts what can start, tells what has changed, and sees whether the run goes
/// on to its next phase.
void Pilot::settle(MonoTime now) {
  if (phase_ == Phase::finished || taking_in_) return;
  for (const Services::Change& change : services_.take_changes()) {
    if (phase_ != Phase::running) break;
    switch (change.kind) {
      case Services::Change::Kind::ready:
        tasks_.on_service_ready(change.service);
        break;
      case Services::Change::Kind::unready:
        tasks_.on_service_unready(change.service);
        break;
      case Services::Change::Kind::over:
      case Services::Change::Kind::stopped:
        tasks_.on_service_over(change.service, change.kind == Services::Change::Kind::stopped, change.reason);
        break;
    }
  }
  if (phase_ == Phase::running && options_.stop_on_failure) {
    const std::string& why = tasks_.first_failure().empty() ? services_.first_failure() : tasks_.first_failure();
    if (!why.empty()) {
      end_early(RunState::failed, ExitCode::failed, why);
      enter_draining(now, true);
    }
  }
  if (phase_ == Phase::running) {
    services_.start_waiting(now);
    tasks_.start_ready();
  }
  advance(now);
}

void Pilot::advance(MonoTime now) {
  const bool is_over = closed_ && tasks_.counts().unfinished() == 0 && !services_.keeps_up(serves_only_);
  if (phase_ == Phase::running && is_over) enter_stopping(now);
  // What comes back from a backlog was not started; until then it may be.
  const bool nothing_runs = tasks_.counts().running == 0 && tasks_.sent_ahead() == 0;
  if (phase_ == Phase::draining && nothing_runs) enter_stopping(now);
  if (phase_ == Phase::stopping_services && services_.all_ended()) enter_shutdown(now);
  services_.publish_changes();
  if (phase_ == Phase::shutting_down && agents_.empty()) finish();
}

void Pilot::finish() {
  tasks_.abandon(std::nullopt, "the run has ended");
  services_.abandon(std::nullopt, "the run has ended");
  result_ = judge();
  output_.record(events::RunEnded{.state = result_.state, .exit_code = to_int(result_.code), .reason = result_.reason});
  phase_ = Phase::finished;
  deadline_.reset();
  lost_nodes_.clear();
}

RunResult Pilot::judge() const {
  const TaskCounts& counts = tasks_.counts();
  const bool complete = counts.unfinished() == 0 && tasks_.stopped() == 0 && closed_at_early_end_;
  if (early_end_ && (early_end_->state == RunState::failed || !complete)) return *early_end_;
  std::string reason = tasks_.first_failure();
  if (counts.failed > 1) reason += " (and " + std::to_string(counts.failed - 1) + " more)";
  if (!services_.first_failure().empty()) {
    reason = services_.first_failure() + (reason.empty() ? "" : "; " + reason);
  }
  if (reason.empty()) reason = tasks_.first_left_out();
  if (!reason.empty()) return {RunState::failed, ExitCode::failed, reason};
  return {RunState::done, ExitCode::done, ""};
}

// --- what agents say -----------------------------------------------------------------------------

void Pilot::on_messages(Rank from, std::span<const FromAgent> messages, MonoTime now) {
  std::vector<RunningPart> expected;
  for (const FromAgent& message : messages) {
    if (const auto* ended = std::get_if<TaskEnded>(&message)) expected.push_back({ended->id, from});
  }
  expect(expected);
  taking_in_ = true;
  for (const FromAgent& message : messages) on_message(from, message, now);
  taking_in_ = false;
  settle(now);
}

void Pilot::on_message(Rank from, const FromAgent& message, MonoTime now) {
  std::visit(Overloaded{[&](const NodeJoined& m) { on_node_joined(from, m, now); },
                        [&](const TaskStarted& m) { on_task_started(from, m, now); },
                        [&](const TaskEnded& m) { on_task_ended(from, m, now); },
                        [&](const ReplicaStarted& m) { on_replica_started(from, m, now); },
                        [&](const ReplicaReady& m) { on_replica_ready(from, m, now); },
                        [&](const ReplicaEnded& m) { on_replica_ended(from, m, now); },
                        [&](const ServiceSample& m) { on_service_sample(from, m, now); },
                        [&](const AgentDone&) { on_agent_done(from, now); },
                        [&](const TasksReturned& m) { on_tasks_returned(from, m, now); }},
             message);
}

void Pilot::on_node_joined(Rank rank, const NodeJoined& node, MonoTime now) {
  if (phase_ == Phase::finished || rank < 0 || !known_.insert(rank).second) return;
  output_.record(events::NodeJoined{.rank = rank, .host = node.host, .resources = node.resources});
  for (const std::string& warning : node.warnings) {
    warn("node " + std::to_string(rank) + " (" + node.host + "): " + warning);
  }
  ++joined_;
  agents_.insert(rank);
  scheduler_.add_node(rank, node.resources);
  if (phase_ == Phase::shutting_down) output_.send(rank, ShutdownAgent{});
  settle(now);
}

void Pilot::on_node_lost(Rank rank, const std::string& reason, MonoTime now, MonoTime harmless_at) {
  if (phase_ == Phase::finished) return;
  known_.insert(rank);
  if (!scheduler_.alive(rank)) return;
  output_.record(events::NodeLost{.rank = rank, .reason = reason});
  scheduler_.remove_node(rank);
  tasks_.on_node_silent(rank);
  services_.on_node_silent(rank, reason);
  agents_.erase(rank);
  if (phase_ == Phase::running) make_room();
  if (agents_.empty() && (phase_ == Phase::running || phase_ == Phase::draining)) {
    early_end_.reset();
    end_early(RunState::failed, ExitCode::runtime_failed, "every node was lost; the last: " + reason);
    if (phase_ == Phase::running) enter_draining(now, false);
  }
  lost_nodes_.push_back({harmless_at, rank, reason});
  give_up_lost_nodes(now);
  settle(now);
}

/// What a lost node had is started anew elsewhere, once it cannot run there any more.
void Pilot::give_up_lost_nodes(MonoTime now) {
  std::erase_if(lost_nodes_, [&](const LostNode& node) {
    if (node.harmless_at > now) return false;
    services_.on_node_lost(node.rank, node.reason);
    tasks_.on_node_lost(node.rank, node.reason);
    return true;
  });
}

void Pilot::on_task_started(Rank rank, const TaskStarted& started, MonoTime) {
  if (phase_ != Phase::finished) tasks_.on_started(rank, started);
}

void Pilot::on_task_ended(Rank rank, const TaskEnded& ended, MonoTime now) {
  if (phase_ == Phase::finished) return;
  tasks_.on_ended(rank, ended);
  settle(now);
}

void Pilot::on_tasks_returned(Rank rank, const TasksReturned& returned, MonoTime now) {
  if (phase_ == Phase::finished) return;
  tasks_.on_returned(rank, returned);
  settle(now);
}

void Pilot::on_replica_started(Rank rank, const ReplicaStarted& started, MonoTime now) {
  if (phase_ != Phase::finished) services_.on_started(rank, started, now);
}

void Pilot::on_replica_ready(Rank rank, const ReplicaReady& ready, MonoTime now) {
  if (phase_ == Phase::finished) return;
  services_.on_ready(rank, ready, now);
  settle(now);
}

void Pilot::on_replica_ended(Rank rank, const ReplicaEnded& ended, MonoTime now) {
  if (phase_ == Phase::finished) return;
  services_.on_ended(rank, ended, now);
  settle(now);
}

void Pilot::on_service_sample(Rank rank, const ServiceSample& sample, MonoTime now) {
  if (phase_ == Phase::finished) return;
  output_.record(events::RequestsCounted{.rank = rank, .sample = sample});
  services_.on_sample(rank, sample);
  if (phase_ != Phase::running) return;
  services_.scale([this] { return tasks_fit(); }, now);
  settle(now);
}

void Pilot::on_agent_done(Rank rank, MonoTime now) {
  if (phase_ == Phase::finished) return;
  if (phase_ != Phase::shutting_down) return on_node_lost(rank, "its agent has ended", now);
  const std::string reason = "its node was shut down";
  tasks_.abandon(rank, reason);
  services_.abandon(rank, reason);
  agents_.erase(rank);
  settle(now);
}

}  // namespace trireme::pilot
