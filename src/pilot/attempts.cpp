// The attempts of tasks: from a placement to the end of the last part.
#include <algorithm>
#include <utility>
#include <vector>

#include "core/defaults.hpp"
#include "core/prefetch.hpp"
#include "pilot/tasks.hpp"

namespace trireme::pilot {
namespace {

std::string why(const AttemptEnd& end) {
  if (!end.reason.empty()) return end.reason;
  if (end.outcome == Outcome::timeout) return "it was ended by its timeout";
  if (end.signal != 0) return "signal " + std::to_string(end.signal);
  if (end.outcome == Outcome::failed) return "exit code " + std::to_string(end.exit_code);
  return std::string(to_string(end.outcome));
}

}  // namespace

void Tasks::start_ready() {
  while (scheduler_.next(placement_)) start(placement_);
  for (const auto& [task, shape] : scheduler_.take_stranded()) {
    const TaskNeed need{id(task), scheduler_.shape(shape)};
    end_task(task, TaskState::failed, task_does_not_fit(need, scheduler_).what);
  }
  if (backlogs_.wanted()) tend_backlogs();
}

Tasks::Attempt& Tasks::open_attempt(TaskIndex index, std::uint32_t parts) {
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<std::uint32_t>(attempts_.size()));
    attempts_.emplace_back();
  }
  Task& task = tasks_[index.value];
  task.slot = free_slots_.back();
  free_slots_.pop_back();
  task.state = TaskState::running;
  task.ending = Ending::no;
  ++counts_.running;
  if (task.attempt > 0) ++counts_.retried;

  Attempt& attempt = attempts_[task.slot];
  attempt.task = index;
  attempt.open_parts = parts;
  attempt.shape = families_[task.family].shape;
  attempt.hands_on = families_[task.family].may_be_ahead;
  attempt.outcome = Outcome::done;
  attempt.asked = false;
  attempt.words.reset();
  attempt.parts.clear();
  return attempt;
}

void Tasks::start(Placement& placement) {
  Attempt& attempt = open_attempt(placement.task, static_cast<std::uint32_t>(placement.parts.size()));
  const Task& task = tasks_[placement.task.value];
  const AttemptId id{placement.task, task.attempt};
  const TaskFamily& family = families_[task.family].tasks;
  if (attempt.hands_on) backlogs_.began(placement.parts.front().rank, attempt.shape);
  std::vector<RankBlock> layout;
  if (family.shared().mpi != MpiKind::none) {
    for (const Part& part : placement.parts) layout.push_back({part.rank, part.first_rank, part.local_ranks});
  }
  for (Part& part : placement.parts) {
    output_.record(events::AttemptPlaced{.attempt = id, .rank = part.rank, .local_ranks = part.local_ranks});
    output_.start_task(part.rank, {.id = id,
                                   .first_rank = part.first_rank,
                                   .local_ranks = part.local_ranks,
                                   .family = family,
                                   .instance = task.instance,
                                   .layout = layout});
    attempt.parts.push_back({std::move(part), false});
  }
}

Tasks::Words& Tasks::words(Attempt& attempt) {
  if (attempt.words == nullptr) attempt.words = std::make_unique<Words>();
  return *attempt.words;
}

/// The part of an attempt that runs there now; null for what is long over.
Tasks::LivePart* Tasks::live_part(Rank rank, AttemptId id) {
  if (!exists(id.task)) return nullptr;
  const Task& task = tasks_[id.task.value];
  if (task.state != TaskState::running || task.attempt != id.attempt) return nullptr;
  auto& parts = attempts_[task.slot].parts;  // by rank
  const auto part =
      std::lower_bound(parts.begin(), parts.end(), rank, [](const LivePart& p, Rank r) { return p.part.rank < r; });
  return part != parts.end() && part->part.rank == rank && !part->ended ? &*part : nullptr;
}

void Tasks::fetch(std::span<const RunningPart> parts) const {
  for (const RunningPart& part : parts) {
    if (!exists(part.id.task)) continue;
    prefetch(tasks_[part.id.task.value]);
    graph_.fetch(part.id.task);
    scheduler_.fetch(part.rank);
  }
  for (const RunningPart& part : parts) {
    if (exists(part.id.task) && state(part.id.task) == TaskState::running) {
      prefetch(attempts_[tasks_[part.id.task.value].slot]);
    }
  }
}

void Tasks::on_started(Rank rank, const TaskStarted& started) {
  if (live_part(rank, started.id) == nullptr) return;
  output_.record(events::AttemptStarted{.attempt = started.id,
                                        .rank = rank,
                                        .pid = started.pid,
                                        .started = started.time,
                                        .cores = started.cores,
                                        .gpus = started.gpus,
                                        .launch = started.launch});
}

void Tasks::on_ended(Rank rank, const TaskEnded& ended) {
  LivePart* part = live_part(rank, ended.id);
  if (part == nullptr) return;
  if (!waits_at(rank, ended.next)) {
    end_part(attempts_[tasks_[ended.id.task.value].slot], *part, ended.end);
    return;
  }
  Part place = part->part;
  end_part(attempts_[tasks_[ended.id.task.value].slot], *part, ended.end, ended.next);
  succeed(ended.next.task, std::move(place), false);
}

/// Unless `next` has taken its place, what the part had is free.
void Tasks::end_part(Attempt& attempt, LivePart& part, const AttemptEnd& end, AttemptId next) {
  const Task& task = tasks_[attempt.task.value];
  part.ended = true;
  output_.record(events::AttemptEnded{.attempt = {attempt.task, task.attempt}, .rank = part.part.rank, .end = end});
  if (!next.task.valid()) {
    scheduler_.release(attempt.shape, part.part);
    if (attempt.hands_on) backlogs_.ended(part.part.rank, attempt.shape);
  }
  if (end.outcome != Outcome::done && attempt.outcome == Outcome::done) {
    attempt.outcome = end.outcome;
    words(attempt).outcome = why(end);
  }
  if (--attempt.open_parts == 0) {
    end_attempt(attempt);
  } else if (end.outcome != Outcome::done) {
    ask_to_end(attempt, "its part on node " + std::to_string(part.part.rank) + " ended: " + words(attempt).outcome);
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
    end_task(index, TaskState::cancelled, words(attempt).ending, false);
    return;
  }
  if (task.ending == Ending::cancelled) {
    end_task(index, TaskState::cancelled, words(attempt).ending);
    return;
  }
  const bool free_retry = attempt.outcome == Outcome::lost && task.losses < defaults::node_losses;
  if (!free_retry && task.retries == 0) {
    end_task(index, TaskState::failed, words(attempt).outcome);
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
  words(attempt).ending = reason;
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
  // It may have started what it was sent ahead: that counts as an attempt, and is lost as well.
  for (TaskIndex task : backlogs_.forget(rank)) succeed(task, {.rank = rank, .local_ranks = 1, .grant = {}}, true);
  for (Attempt& attempt : attempts_) end_parts(attempt, rank, end);
}

void Tasks::stop_running(const std::string& reason) {
  stopping_ = reason;
  call_back_all();
  for (Attempt& attempt : attempts_) {
    if (attempt.open_parts == 0) continue;
    end_for(attempt, Ending::stopped, reason);
    ask_to_end(attempt, reason);
  }
}

void Tasks::abandon(std::optional<Rank> rank, const std::string& reason) {
  for (TaskIndex task : rank ? backlogs_.forget(*rank) : backlogs_.forget_all()) leave_backlog(task);
  if (counts_.running == 0) return;
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
