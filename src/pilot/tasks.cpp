#include "pilot/tasks.hpp"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "core/defaults.hpp"

namespace trireme::pilot {
namespace {

Error usage_error(std::string what, const std::string& task, std::string hint = "") {
  return {.what = std::move(what), .where = "task " + task, .hint = std::move(hint), .code = ExitCode::usage};
}

std::string quoted(const std::string& argument) {
  const bool plain = !argument.empty() && argument.find_first_of(" \t\n'\"\\$|&;<>()*?`") == std::string::npos;
  if (plain) return argument;
  std::string out = "'";
  for (char c : argument) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

/// The command as a person would type it, or the script's first line; shortened.
std::string command_line(const TaskDescription& task) {
  std::string text;
  if (task.function) {
    text = task.function.name + task.function.args;
  } else if (task.command.empty()) {
    const std::string script = task.script.source();
    text = script.substr(0, script.find('\n'));
  }
  for (const Template& argument : task.command) {
    if (!text.empty()) text += ' ';
    text += quoted(argument.source());
    if (text.size() > defaults::command_shown) break;
  }
  if (text.size() <= defaults::command_shown) return text;
  std::size_t end = defaults::command_shown;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;  // whole characters
  return text.substr(0, end) + "…";
}

std::string why(const AttemptEnd& end) {
  if (!end.reason.empty()) return end.reason;
  if (end.outcome == Outcome::timeout) return "it was ended by its timeout";
  if (end.signal != 0) return "signal " + std::to_string(end.signal);
  if (end.outcome == Outcome::failed) return "exit code " + std::to_string(end.exit_code);
  return std::string(to_string(end.outcome));
}

}  // namespace

// --- submission ----------------------------------------------------------------------------------

void Tasks::add_service(std::string_view name) {
  const ServiceIndex index{static_cast<std::uint32_t>(services_.size())};
  services_.push_back({.name = std::string(name), .reason = "", .waiting = {}, .users = {}});
  service_by_name_.emplace(name, index);
}

Status Tasks::check(std::span<const TaskDescription> tasks) const {
  const bool together = tasks.size() > 1;  // one task alone cannot mean itself
  std::unordered_set<std::string_view> ids;
  std::unordered_set<std::string_view> names;
  for (const TaskDescription& task : tasks) {
    if (task.id.empty()) return usage_error("a task has no id", task.name);
    if (task.ranks == 0) return usage_error("it has no ranks", task.id, "give it at least one");
    if (graph_.find_task(task.id) || !ids.insert(task.id).second) {
      return usage_error("there is already a task with this id", task.id, "give each task an id of its own");
    }
    names.insert(task.name);
  }
  for (const TaskDescription& task : tasks) {
    for (const std::string& entry : task.after) {
      const bool here = together && (ids.contains(entry) || names.contains(entry));
      if (!here && !graph_.find(entry)) {
        return usage_error("it comes after " + entry + ", but there is no such task", task.id,
                           "name tasks that are in the workflow or were submitted before");
      }
    }
    for (const std::string& service : task.services) {
      if (!service_by_name_.contains(service)) {
        return usage_error("it needs service " + service + ", but there is no such service", task.id);
      }
    }
  }
  return {};
}

Status Tasks::submit(std::vector<TaskDescription> tasks) {
  if (Status status = check(tasks); !status) return status;
  const auto first = static_cast<std::uint32_t>(tasks_.size());
  const auto end = first + static_cast<std::uint32_t>(tasks.size());
  // One task alone means what was there before it; tasks that come together may mean each other.
  const bool alone = tasks.size() == 1;
  std::vector<Graph::Vertex> before;
  if (alone) {
    for (const std::string& entry : tasks[0].after) before.push_back(*graph_.find(entry));
    for (Graph::Vertex vertex : before) graph_.seal(vertex);
  }
  for (TaskDescription& task : tasks) add(std::move(task));

  std::vector<std::pair<TaskIndex, TaskIndex>> broken;
  for (std::uint32_t i = first; i < end; ++i) {
    const std::vector<std::string>& after = descriptions_[i]->after;
    for (std::size_t k = 0; k < after.size(); ++k) {
      const Graph::Vertex vertex = alone ? before[k] : *graph_.find(after[k]);
      if (const auto by = graph_.wait_for({i}, vertex)) broken.emplace_back(TaskIndex{i}, *by);
    }
  }
  if (!alone) {
    if (Status status = graph_.check_acyclic(); !status) return status;
  }
  for (std::uint32_t i = first; i < end; ++i) connect({i});
  for (const auto& [task, by] : broken) {
    if (state(task) == TaskState::waiting) skip(task, broken_text(by, by));
  }
  for (std::uint32_t i = first; i < end; ++i) {
    if (state({i}) == TaskState::waiting) skip_if_service_failed({i});
    if (state({i}) == TaskState::waiting && !graph_.waits({i})) make_ready({i});
  }
  return {};
}

void Tasks::add(TaskDescription task) {
  const ShapeIndex shape = scheduler_.shape_index({task.per_rank, task.ranks});
  tasks_.push_back({.priority = task.priority, .retries = task.retries, .shape = shape});
  descriptions_.push_back(std::make_unique<const TaskDescription>(std::move(task)));
  ++counts_.total;
  graph_.add(descriptions_.back()->id, descriptions_.back()->name);
}

/// Tells the log of a task and makes it wait for its services.
void Tasks::connect(TaskIndex index) {
  const TaskDescription& task = description(index);
  output_.record(events::TaskSubmitted{.task = index,
                                       .id = task.id,
                                       .name = task.name,
                                       .ranks = task.ranks,
                                       .per_rank = task.per_rank,
                                       .priority = task.priority,
                                       .retries = task.retries,
                                       .after = task.after,
                                       .services = task.services,
                                       .command = command_line(task)});
  for (const std::string& name : task.services) {
    Service& service = services_[service_by_name_.find(name)->second.value];
    if (service.failed) continue;
    service.users.push_back(index);
    if (service.ready) continue;
    service.waiting.push_back(index);
    graph_.hold(index);
  }
}

void Tasks::skip_if_service_failed(TaskIndex task) {
  for (const std::string& name : description(task).services) {
    const Service& service = services_[service_by_name_.find(name)->second.value];
    if (service.failed) return skip(task, failed_text(service));
  }
}

bool Tasks::mark_done(std::string_view id) {
  const auto task = find(id);
  if (!task || state(*task) == TaskState::running || is_final(state(*task))) return false;
  if (state(*task) == TaskState::ready) scheduler_.remove(*task, tasks_[task->value].shape);
  end_task(*task, TaskState::done, "a former run has done it");
  return true;
}

void Tasks::continue_attempts(std::string_view id, std::uint32_t made) {
  const auto task = find(id);
  if (task && state(*task) != TaskState::running && !is_final(state(*task))) tasks_[task->value].attempt = made;
}

std::vector<TaskNeed> Tasks::needs() const {
  std::vector<TaskNeed> needs;
  std::vector<bool> seen;
  for (std::uint32_t i = 0; i < tasks_.size(); ++i) {
    const std::uint32_t shape = tasks_[i].shape.value;
    if (is_final(tasks_[i].state)) continue;
    if (seen.size() <= shape) seen.resize(shape + 1);
    if (seen[shape]) continue;
    seen[shape] = true;
    needs.push_back({descriptions_[i]->id, scheduler_.shape(tasks_[i].shape)});
  }
  return needs;
}

// --- waiting, ready, ended -----------------------------------------------------------------------

void Tasks::make_ready(TaskIndex index) {
  Task& task = tasks_[index.value];
  task.state = TaskState::ready;
  output_.record(events::TaskChanged{.task = index, .state = TaskState::ready, .reason = ""});
  scheduler_.enqueue(index, task.shape, task.priority);
}

void Tasks::end_task(TaskIndex index, TaskState state, const std::string& reason, bool tell_others) {
  tasks_[index.value].state = state;
  output_.record(events::TaskChanged{.task = index, .state = state, .reason = reason});
  switch (state) {
    case TaskState::done:
      ++counts_.done;
      break;
    case TaskState::failed:
      ++counts_.failed;
      break;
    case TaskState::cancelled:
      ++counts_.cancelled;
      break;
    default:
      ++counts_.skipped;
      break;
  }
  if (state == TaskState::failed && first_failure_.empty()) {
    first_failure_ = "task " + description(index).id + " failed: " + reason;
  }
  if (!tell_others) return;
  if (state == TaskState::done) {
    std::vector<TaskIndex> released;
    graph_.done(index, released);
    for (TaskIndex next : released) make_ready(next);
    return;
  }
  std::vector<Graph::Broken> broken;
  graph_.broke(index, broken);
  for (const Graph::Broken& b : broken) {
    end_task(b.task, TaskState::skipped, broken_text(b.after, b.root), false);
  }
}

/// A task that has not started will never run.
void Tasks::skip(TaskIndex index, const std::string& reason) {
  const Task& task = tasks_[index.value];
  if (task.state == TaskState::ready) scheduler_.remove(index, task.shape);
  end_task(index, TaskState::skipped, reason);
}

std::string Tasks::failed_text(const Service& service) {
  return "it needs service " + service.name + ", which failed: " + service.reason;
}

std::string Tasks::broken_text(TaskIndex after, TaskIndex root) const {
  const auto how = [&](TaskIndex task) {
    const TaskState s = state(task);
    return description(task).id + (s == TaskState::failed      ? " failed"
                                   : s == TaskState::cancelled ? " was cancelled"
                                                               : " was skipped");
  };
  const std::string& id = description(after).id;
  std::string text = "it comes after " + id + ", which" + how(after).substr(id.size());
  if (after != root) text += " because " + how(root);
  return text;
}

Status Tasks::cancel(TaskIndex index, const std::string& reason) {
  if (!exists(index)) return Error{.what = "there is no such task", .where = "", .hint = "", .code = ExitCode::usage};
  Task& task = tasks_[index.value];
  if (is_final(task.state)) return {};
  if (task.state == TaskState::running) {
    Attempt& attempt = attempts_[task.slot];
    end_for(attempt, Ending::cancelled, reason);
    ask_to_end(attempt, reason);
    return {};
  }
  if (task.state == TaskState::ready) scheduler_.remove(index, task.shape);
  end_task(index, TaskState::cancelled, reason);
  return {};
}

void Tasks::on_service_ready(ServiceIndex index) {
  Service& service = services_[index.value];
  service.ready = true;
  for (TaskIndex task : std::exchange(service.waiting, {})) {
    if (graph_.release(task)) make_ready(task);
  }
}

void Tasks::on_service_unready(ServiceIndex index) {
  services_[index.value].ready = false;
}

void Tasks::on_service_failed(ServiceIndex index, const std::string& reason) {
  Service& service = services_[index.value];
  service.ready = false;
  service.failed = true;
  service.reason = reason;
  const std::string text = failed_text(service);
  for (TaskIndex task : std::exchange(service.users, {})) {
    if (state(task) == TaskState::waiting || state(task) == TaskState::ready) skip(task, text);
  }
}

// --- attempts ------------------------------------------------------------------------------------

void Tasks::start_ready() {
  while (scheduler_.next(placement_)) start(placement_);
  for (const auto& [task, shape] : scheduler_.take_stranded()) {
    const TaskNeed need{description(task).id, scheduler_.shape(shape)};
    end_task(task, TaskState::failed, task_does_not_fit(need, scheduler_).what);
  }
}

void Tasks::start(const Placement& placement) {
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<std::uint32_t>(attempts_.size()));
    attempts_.emplace_back();
  }
  Task& task = tasks_[placement.task.value];
  task.slot = free_slots_.back();
  free_slots_.pop_back();
  task.state = TaskState::running;
  task.ending = Ending::no;
  ++counts_.running;
  if (task.attempt > 0) ++counts_.retried;

  Attempt& attempt = attempts_[task.slot];
  attempt.task = placement.task;
  attempt.open_parts = static_cast<std::uint32_t>(placement.parts.size());
  attempt.outcome = Outcome::done;
  attempt.asked = false;
  attempt.parts.clear();
  const AttemptId id{placement.task, task.attempt};
  for (const Part& part : placement.parts) {
    attempt.parts.push_back({part, false});
    output_.record(events::AttemptPlaced{.attempt = id, .rank = part.rank, .local_ranks = part.local_ranks});
    output_.send(part.rank, StartTask{.id = id,
                                      .first_rank = part.first_rank,
                                      .local_ranks = part.local_ranks,
                                      .task = description(placement.task)});
  }
}

/// The part of an attempt that runs there now; null for what is long over.
Tasks::LivePart* Tasks::live_part(Rank rank, AttemptId id) {
  if (!exists(id.task)) return nullptr;
  const Task& task = tasks_[id.task.value];
  if (task.state != TaskState::running || task.attempt != id.attempt) return nullptr;
  for (LivePart& part : attempts_[task.slot].parts) {
    if (part.part.rank == rank && !part.ended) return &part;
  }
  return nullptr;
}

void Tasks::on_started(Rank rank, const TaskStarted& started) {
  if (live_part(rank, started.id) == nullptr) return;
  output_.record(events::AttemptStarted{.attempt = started.id,
                                        .rank = rank,
                                        .pid = started.pid,
                                        .started = started.time,
                                        .cores = started.cores,
                                        .gpus = started.gpus});
}

void Tasks::on_ended(Rank rank, const TaskEnded& ended) {
  LivePart* part = live_part(rank, ended.id);
  if (part != nullptr) end_part(attempts_[tasks_[ended.id.task.value].slot], *part, ended.end);
}

void Tasks::end_part(Attempt& attempt, LivePart& part, const AttemptEnd& end) {
  const Task& task = tasks_[attempt.task.value];
  part.ended = true;
  output_.record(events::AttemptEnded{.attempt = {attempt.task, task.attempt}, .rank = part.part.rank, .end = end});
  scheduler_.release(task.shape, part.part);
  if (end.outcome != Outcome::done && attempt.outcome == Outcome::done) {
    attempt.outcome = end.outcome;
    attempt.reason = why(end);
  }
  if (--attempt.open_parts == 0) {
    end_attempt(attempt);
  } else if (end.outcome != Outcome::done) {
    ask_to_end(attempt, "its part on node " + std::to_string(part.part.rank) + " ended: " + attempt.reason);
  }
}

void Tasks::end_attempt(Attempt& attempt) {
  const TaskIndex index = attempt.task;
  Task& task = tasks_[index.value];
  free_slots_.push_back(std::exchange(task.slot, none));
  --counts_.running;
  if (attempt.outcome == Outcome::done) {
    end_task(index, TaskState::done, "");
    return;
  }
  if (task.ending == Ending::stopped) {
    ++stopped_;
    end_task(index, TaskState::cancelled, attempt.end_reason, false);
    return;
  }
  if (task.ending == Ending::cancelled) {
    end_task(index, TaskState::cancelled, attempt.end_reason);
    return;
  }
  const bool free_retry = attempt.outcome == Outcome::lost && task.losses < defaults::node_losses;
  if (!free_retry && task.retries == 0) {
    end_task(index, TaskState::failed, attempt.reason);
    return;
  }
  if (free_retry) {
    ++task.losses;
  } else {
    --task.retries;
  }
  ++task.attempt;
  make_ready(index);
}

/// Decides what the task will be once its attempt has ended; the first to decide is the one who is
/// named.
void Tasks::end_for(Attempt& attempt, Ending ending, const std::string& reason) {
  Task& task = tasks_[attempt.task.value];
  if (task.ending != Ending::no) return;
  task.ending = ending;
  attempt.end_reason = reason;
}

void Tasks::ask_to_end(Attempt& attempt, const std::string& reason) {
  if (std::exchange(attempt.asked, true)) return;
  const AttemptId id{attempt.task, tasks_[attempt.task.value].attempt};
  for (const LivePart& part : attempt.parts) {
    if (!part.ended) output_.send(part.part.rank, CancelTask{.id = id, .reason = reason});
  }
}

void Tasks::on_node_lost(Rank rank, const std::string& reason) {
  const AttemptEnd end{
      .outcome = Outcome::lost, .reason = "node " + std::to_string(rank) + " was lost: " + reason, .usage = {}};
  for (Attempt& attempt : attempts_) end_parts(attempt, rank, end);
}

void Tasks::stop_running(const std::string& reason) {
  for (Attempt& attempt : attempts_) {
    if (attempt.open_parts == 0) continue;
    end_for(attempt, Ending::stopped, reason);
    ask_to_end(attempt, reason);
  }
}

void Tasks::abandon(std::optional<Rank> rank, const std::string& reason) {
  const AttemptEnd end{.outcome = Outcome::cancelled, .reason = reason, .usage = {}};
  for (Attempt& attempt : attempts_) {
    if (attempt.open_parts == 0) continue;
    end_for(attempt, Ending::stopped, reason);
    attempt.asked = true;
    end_parts(attempt, rank, end);
  }
}

/// Ends the parts that run on a node, or all of them.
void Tasks::end_parts(Attempt& attempt, std::optional<Rank> rank, const AttemptEnd& end) {
  for (LivePart& part : attempt.parts) {
    if (attempt.open_parts == 0) return;
    if (!part.ended && (!rank || part.part.rank == *rank)) end_part(attempt, part, end);
  }
}

}  // namespace trireme::pilot
