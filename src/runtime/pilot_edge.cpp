#include "runtime/pilot_edge.hpp"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "core/defaults.hpp"
#include "core/run_paths.hpp"
#include "core/worker_thread.hpp"
#include "fabric/serialize.hpp"
#include "journal/files.hpp"
#include "observe/summary.hpp"
#include "runtime/request_folder.hpp"

namespace trireme {
namespace {

constexpr Duration look_every = std::chrono::milliseconds(500);
constexpr Duration longest_wait = std::chrono::hours(24 * 365 * 100);  ///< the clock's type has no room for much more

Error run_over() {
  return {"the run is over", "", "", ExitCode::failed};
}

Error overflow() {
  return {"the pilot did not take in what it was told for too long", "",
          "rank 0 or the file system of the run directory is overloaded; continue the run with --resume",
          ExitCode::runtime_failed};
}

/// On a thread of its own: the file system may hang.
Status write_summary(const std::filesystem::path& path, const std::string& json) {
  const auto written = std::make_shared<Status>();
  WorkerThread writer([written, path, json] { *written = write_file_atomically(path, json); });
  if (writer.join(defaults::journal_wait)) return *written;
  return Error{"the summary could not be written in time", path.string(), "the file system hangs",
               ExitCode::runtime_failed};
}

}  // namespace

PilotEdge::PilotEdge(const RunConfig& config, const RunInfo& info, Rank ranks, std::unique_ptr<JournalWriter> journal,
                     std::function<void(PilotBatch)> deliver, InboxLimits limits)
    : config_(config),
      info_(info),
      ranks_(ranks),
      journal_(std::move(journal)),
      deliver_(std::move(deliver)),
      inbox_wait_(limits.wait),
      inbox_(limits.capacity),
      progress_(config.progress, std::make_unique<observe::StderrSink>(), std::getenv("NO_COLOR") != nullptr),
      pilot_(pilot::Options{.expected_nodes = expected_nodes(),
                            .stop_on_failure = config.stop_on_failure,
                            .backlog = defaults::node_backlog,
                            .backlog_most = defaults::node_backlog_most},
             *this),
      steering_(
          pilot_, view_, results_, info_, [this](Rank to, RuntimeAnswer reply) { answer(to, std::move(reply)); },
          [this](EventBody event) { record(std::move(event)); }),
      orders_(static_cast<std::size_t>(ranks)),
      keeper_(info.run_dir) {
  if (config_.dashboard) {
    dashboard_.emplace(info_.run_dir, [this](const std::string& text) {
      progress_.clear();
      if (config_.say) config_.say(text);
    });
  }
  if (config_.resume) {
    // What was asked of the run's earlier part, too late for it, is not meant for this one.
    std::vector<std::string> rejected;
    static_cast<void>(take_requests(info_.run_dir, rejected));
  }
  record(events::RunStarted{info_.run_id, info_.name, TRIREME_VERSION, config_.workflow_file,
                            static_cast<std::uint32_t>(ranks_), config_.settings});
  // Whatever becomes of this process, the log says whose run it is; a failure shows in the journal's status.
  static_cast<void>(journal_->flush(defaults::journal_wait));
  thread_ = std::thread([this] { main(); });
}

PilotEdge::~PilotEdge() {
  if (!thread_.joinable()) return;
  // The run never began, since this rank could not: there is nobody to end it in order.
  push([this] { abandoned_ = true; });
  thread_.join();
}

std::uint32_t PilotEdge::expected_nodes() const {
  return static_cast<std::uint32_t>(ranks_) - (config_.dedicated_pilot ? 1 : 0);
}

// --- inputs ----------------------------------------------------------------------------------------------------------

/// Once a message was dropped the run has failed; the event loop is not held up again for it.
Duration PilotEdge::patience() const {
  return overflowed_ ? Duration::zero() : inbox_wait_;
}

void PilotEdge::push(Input input) {
  // After the run is over there is nobody to tell.
  if (inbox_.push(std::move(input), patience()) == Pushed::full) overflowed_ = true;
}

void PilotEdge::on_reports(Rank from, std::string reports) {
  push(Reports{from, std::move(reports)});
}

void PilotEdge::on_rank_lost(Rank rank, std::string reason, MonoTime harmless_at) {
  push(Lost{rank, std::move(reason), harmless_at});
}

void PilotEdge::on_epoch_acknowledged(std::uint64_t number, Duration took, std::vector<ReplicaId> ready) {
  push([this, number, took, ready = std::move(ready)] { record(events::EpochPublished{number, took, ready}); });
}

void PilotEdge::on_runtime_request(Rank from, RuntimeRequest request) {
  push([this, from, request = std::move(request)] { steering_.on_request(from, request, mono_now()); });
}

void PilotEdge::on_runtime_drop(Rank from, std::uint64_t number) {
  push([this, from, number] { steering_.on_drop(from, number); });
}

void PilotEdge::on_dashboard_key(DashboardPlace place, std::string key) {
  push([this, place = std::move(place), key = std::move(key)] {
    if (!dashboard_) return;
    if (auto told = dashboard_->on_key(place, key); !told) record(events::Warning{told.error().text()});
  });
}

void PilotEdge::on_dashboard_viewers(std::size_t viewers, bool fresh) {
  push([this, viewers, fresh] {
    if (dashboard_) dashboard_->on_viewers(viewers, fresh, mono_now());
  });
}

/// Waits for what the pilot's thread promised; it drops its promises when it ends.
template <typename T>
T PilotEdge::await(std::future<T> future) {
  try {
    return future.get();
  } catch (const std::future_error&) {
    return run_over();
  }
}

template <typename T>
Result<T> PilotEdge::ask(std::function<Result<T>()> question) {
  auto promise = std::make_shared<std::promise<Result<T>>>();
  auto future = promise->get_future();
  push([promise = std::move(promise), question = std::move(question)] { promise->set_value(question()); });
  return await(std::move(future));
}

Status PilotEdge::wait_for_nodes() {
  auto promise = std::make_shared<std::promise<Status>>();
  auto future = promise->get_future();
  push([this, promise = std::move(promise)] {
    if (pilot_.all_joined()) {
      promise->set_value({});
    } else if (never_joined_) {
      promise->set_value(*never_joined_);
    } else {
      node_waiters_.push_back(promise);
    }
  });
  return await(std::move(future));
}

Status PilotEdge::submit(WorkflowDescription workflow, FormerRun former) {
  return ask<void>([this, workflow = std::move(workflow), former = std::move(former)]() mutable -> Status {
    if (auto submitted = pilot_.submit_all(std::move(workflow)); !submitted) return submitted;
    for (const std::string& text : former.submissions) {
      if (auto replayed = steering_.replay(text, mono_now()); !replayed) return replayed;
    }
    for (const FormerService& service : former.services) pilot_.continue_lives(service.name, service.lives);
    for (const FormerTask& task : former.tasks) {
      if (task.done) {
        pilot_.mark_done(task.id);
        if (const auto index = pilot_.find_task(task.id)) results_.keep(*index, task.result);
      } else {
        pilot_.continue_attempts(task.id, task.attempts);
      }
    }
    return pilot_.start(mono_now());
  });
}

Status PilotEdge::start() {
  return ask<void>([this] { return pilot_.start(mono_now()); });
}

Result<TaskIndex> PilotEdge::submit(TaskDescription task) {
  return ask<TaskIndex>([this, task = std::move(task)] { return pilot_.submit(task, mono_now()); });
}

Status PilotEdge::declare(ServiceDescription service) {
  return ask<void>([this, service = std::move(service)]() -> Status {
    auto index = pilot_.declare(service, mono_now());
    return index ? Status{} : Status{index.error()};
  });
}

Status PilotEdge::cancel(TaskIndex task) {
  return ask<void>(
      [this, task] { return pilot_.cancel(task, "cancelled by the program that submitted it", mono_now()); });
}

Result<TaskResult> PilotEdge::wait(TaskIndex task, Duration deadline) {
  auto promise = std::make_shared<std::promise<Result<TaskResult>>>();
  auto future = promise->get_future();
  const std::weak_ptr own = promise;
  // Held by the pilot's thread alone: if that drops it, the wait is over.
  push([this, task, promise = std::move(promise)] {
    waiters_.emplace(task.value, promise);
    newly_final_.push_back(task.value);  // it may be final already
  });
  if (future.wait_for(std::min(deadline, longest_wait)) == std::future_status::timeout) {
    // Nobody waits any more: who looks again and again would leave one behind each time.
    push([this, task, own] {
      const auto waiter = own.lock();
      const auto [first, last] = waiters_.equal_range(task.value);
      const auto mine = std::find_if(first, last, [&](const auto& entry) { return entry.second == waiter; });
      if (mine != last) waiters_.erase(mine);
    });
    return TaskResult{.state = TaskResult::State::unfinished};
  }
  return await(std::move(future));
}

void PilotEdge::close(std::optional<Error> error) {
  push([this, error = std::move(error)] {
    if (error) fail(*error);
    pilot_.close(mono_now());
  });
}

void PilotEdge::interrupt(ExitCode code, std::string reason, bool at_once) {
  push([this, code, at_once, reason = std::move(reason)] {
    if (std::exchange(interrupted_, true) || at_once) {
      pilot_.kill(reason, code, mono_now());
    } else {
      pilot_.drain(reason, code, mono_now());
    }
  });
}

// --- the pilot's output ----------------------------------------------------------------------------------------------

/// False if an argument is not there: then the attempt has failed, as if its node had said so.
bool PilotEdge::fill_in_results(Rank to, StartTask& order) {
  auto filled = results_.fill(order.task.function.args, [this](std::string_view id) { return pilot_.find_task(id); });
  if (filled) {
    order.task.function.args = std::move(*filled);
    return true;
  }
  AttemptEnd end;
  end.outcome = Outcome::failed;
  end.reason = filled.error().text();
  end.started = end.ended = wall_now();
  // Not at once: the core is in the middle of placing the attempt. The inbox is never full of what its own thread puts in.
  push(Reports{to, encode(FromAgent(TaskEnded{order.id, std::move(end)}))});
  return false;
}

void PilotEdge::send(Rank to, ToAgent message) {
  if (auto* start = std::get_if<StartTask>(&message); start != nullptr && start->task.function.uses_results) {
    if (!fill_in_results(to, *start)) return;
  }
  OrderWriter& orders = orders_to(to);
  orders.add(message);
  send_if_full(to, orders);
}

void PilotEdge::start_task(Rank to, const StartOrder& order) {
  if (order.family.shared().function.uses_results) return send(to, order.message());
  OrderWriter& orders = orders_to(to);
  orders.add(order);
  send_if_full(to, orders);
}

OrderWriter& PilotEdge::orders_to(Rank to) {
  OrderWriter& orders = orders_[static_cast<std::size_t>(to)];
  if (orders.empty()) written_to_.push_back(to);
  return orders;
}

void PilotEdge::send_if_full(Rank to, OrderWriter& orders) {
  if (orders.size() < defaults::message_batch) return;
  batch_.orders.emplace_back(to, orders.take());
  std::erase(written_to_, to);
}

void PilotEdge::publish(ServiceEndpoint service) {
  batch_.endpoints.push_back(std::move(service));
}

void PilotEdge::answer(Rank to, RuntimeAnswer reply) {
  if (to >= 0) {
    batch_.answers.emplace_back(to, std::move(reply));
    return;
  }
  const auto place = folder_answers_.extract(reply.number);
  // Nobody can be told of an answer that cannot be written; whoever waits for it has a deadline.
  if (place) static_cast<void>(leave_answer(info_.run_dir, place.mapped(), {reply.status, std::move(reply.body)}));
}

void PilotEdge::record(EventBody body) {
  if (const auto* warning = std::get_if<events::Warning>(&body)) progress_.warn(warning->text);
  const Event event{time_of_report_ ? *time_of_report_ : wall_now(), std::move(body)};
  // A log that fails ends the run; it says so once, in status().
  static_cast<void>(journal_->record(event.body, event.time));
  view_.apply(event);
  if (const auto* changed = std::get_if<events::TaskChanged>(&event.body);
      changed != nullptr && is_final(changed->state)) {
    newly_final_.push_back(changed->task.value);
  }
}

// --- the pilot's thread ----------------------------------------------------------------------------------------------

void PilotEdge::main() {
  while (!pilot_.finished() && !abandoned_) {
    const MonoTime now = mono_now();
    const MonoTime next = std::min({pilot_.next_deadline().value_or(next_look_), next_look_,
                                    steering_.next_deadline().value_or(next_look_), progress_.next_deadline(now),
                                    dashboard_ ? dashboard_->next_deadline() : next_look_});
    for (Input& input : inbox_.take_all(Duration(std::max<MonoTime>(0, next - now)))) handle(std::move(input));
    pilot_.on_time(mono_now());
    steering_.on_time(mono_now());
    look_around();
    settle_waiters();
    flush_batch();
  }
  if (auto closed = journal_->close(); !closed) fail(closed.error());
  settle_waiters();
  steering_.close();
  if (dashboard_) batch_.dashboard = dashboard_->finish(mono_now(), view_);
  dashboard_.reset();
  batch_.over = true;
  flush_batch();
  inbox_.close();
  node_waiters_.clear();
  waiters_.clear();
}

void PilotEdge::handle(Input input) {
  const MonoTime now = mono_now();
  if (auto* command = std::get_if<Command>(&input)) {
    (*command)();
  } else if (auto* lost = std::get_if<Lost>(&input)) {
    if (!pilot_.all_joined()) {
      never_joined_ =
          Error{"rank " + std::to_string(lost->rank) + " was lost before all nodes had joined: " + lost->reason, "", "",
                ExitCode::runtime_failed};
      for (auto& waiter : std::exchange(node_waiters_, {})) waiter->set_value(*never_joined_);
    }
    steering_.on_rank_lost(lost->rank);
    pilot_.on_node_lost(lost->rank, lost->reason, now, lost->harmless_at);
  } else {
    take_in(std::get<Reports>(input), now);
    if (pilot_.all_joined()) {
      for (auto& waiter : std::exchange(node_waiters_, {})) waiter->set_value({});
    }
  }
}

void PilotEdge::take_in(const Reports& reports, MonoTime now) {
  time_of_report_ = wall_now();
  reports_.clear();
  const Status read =
      decode_each<FromAgent>(reports.bytes, [this](FromAgent report) { reports_.push_back(std::move(report)); });
  for (const FromAgent& report : reports_) {
    const auto* ended = std::get_if<TaskEnded>(&report);
    if (ended != nullptr && !ended->end.result.empty()) results_.keep(ended->id.task, ended->end.result);
  }
  pilot_.on_messages(reports.from, reports_, now);
  time_of_report_.reset();
  if (!read) record(events::Warning{"what node " + std::to_string(reports.from) + " reports: " + read.error().text()});
}

void PilotEdge::flush_batch() {
  for (const Rank to : std::exchange(written_to_, {})) {
    batch_.orders.emplace_back(to, orders_[static_cast<std::size_t>(to)].take());
  }
  const bool empty = batch_.orders.empty() && batch_.endpoints.empty() && batch_.answers.empty();
  if (empty && !batch_.dashboard && !batch_.over) return;
  deliver_(std::exchange(batch_, {}));
}

/// What has no event of its own: requests in the run directory, a log that failed, the progress display.
void PilotEdge::look_around() {
  const MonoTime now = mono_now();
  if (auto log = journal_->status(); !log) fail(log.error());
  if (overflowed_) fail(overflow());
  progress_.on_time(now, view_);
  if (dashboard_) {
    if (auto news = dashboard_->on_time(now, view_)) batch_.dashboard = std::move(news);
  }
  if (now < next_look_) return;
  next_look_ = now + look_every.count();
  show_life(now);
  take_requests_in_folder(now);
}

void PilotEdge::take_requests_in_folder(MonoTime now) {
  std::vector<std::string> rejected;
  for (RunRequest& request : take_requests(info_.run_dir, rejected)) {
    if (request.kind == RunRequest::Kind::call) {
      if (request.expires < wall_now()) continue;  // whoever asked has given up
      const std::uint64_t number = ++folder_requests_;
      folder_answers_.emplace(number, std::move(request.answer));
      steering_.on_request(-1, {number, std::move(request.method), std::move(request.target), std::move(request.body)},
                           now);
      continue;
    }
    interrupted_ = true;
    if (request.kind == RunRequest::Kind::drain) {
      pilot_.drain(request.reason, ExitCode::interrupted, now);
    } else {
      pilot_.kill(request.reason, ExitCode::interrupted, now);
    }
  }
  for (const std::string& file : rejected) record(events::Warning{"requests/" + file + " is no request: removed"});
}

/// So that --resume on another host sees that this run goes on; and this one sees when it was taken for dead.
void PilotEdge::show_life(MonoTime now) {
  if (now < next_beat_) return;
  next_beat_ = now + Duration(defaults::claim_beat).count();
  if (auto kept = keeper_.beat(); !kept) fail(kept.error());
}

void PilotEdge::fail(const Error& error) {
  if (error_) return;
  error_ = error;
  pilot_.kill(error.what, error.code, mono_now());
}

void PilotEdge::settle_waiters() {
  for (std::uint32_t number : std::exchange(newly_final_, {})) {
    const TaskIndex task{number};
    if (pilot_.has_task(task) && is_final(pilot_.task_state(task))) steering_.on_final(task);
    const auto [first, last] = waiters_.equal_range(number);
    if (first == last) continue;
    if (pilot_.has_task(task) && !is_final(pilot_.task_state(task))) continue;
    for (auto waiter = first; waiter != last; ++waiter) {
      if (pilot_.has_task(task)) {
        waiter->second->set_value(result_of(task));
      } else {
        waiter->second->set_value(Error{"there is no such task", "", "", ExitCode::usage});
      }
    }
    waiters_.erase(first, last);
  }
}

TaskResult PilotEdge::result_of(TaskIndex task) const {
  TaskResult result;
  const std::string id = pilot_.task_id(task);
  switch (pilot_.task_state(task)) {
    case TaskState::failed:
      result.state = TaskResult::State::failed;
      break;
    case TaskState::cancelled:
      result.state = TaskResult::State::cancelled;
      break;
    case TaskState::skipped:
      result.state = TaskResult::State::skipped;
      break;
    default:
      result.state = TaskResult::State::done;
      break;
  }
  const observe::TaskRecord* record = view_.find_task(id);
  if (record == nullptr) return result;
  result.attempts = record->attempts();
  result.reason = record->reason;
  if (const observe::AttemptPart* part = record->verdict()) {
    result.exit_code = part->exit_code;
    result.folder = RunPaths(info_.run_dir).attempt(id, part->attempt);
  }
  return result;
}

PilotEnd PilotEdge::finish() {
  thread_.join();
  if (overflowed_ && !error_) error_ = overflow();
  const RunPaths paths(info_.run_dir);
  progress_.finish(mono_now(), view_);
  PilotEnd end{pilot_.result().code, error_};
  // The runtime may fail when the run has been judged already: its log could not be closed, say.
  if (error_ && (end.code == ExitCode::done || error_->code == ExitCode::runtime_failed)) end.code = error_->code;
  end.text = observe::summary_text(view_, paths, wall_now());
  end.json = observe::summary_json(view_, paths, wall_now());
  if (auto written = write_summary(paths.summary(), end.json); !written && !end.error) {
    end.error = written.error();
    end.code = ExitCode::runtime_failed;
  }
  return end;
}

}  // namespace trireme
