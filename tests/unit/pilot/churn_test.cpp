// Hours of churn in the pure core, against a model: failures, retries, timeouts, cancels, lost nodes, tasks that come after
// others, and tasks that are submitted while the run is on. Whatever happens, each task ends in exactly one final state, the one
// that the model says, no task runs twice at once, and the counts in the log are the pilot's.
//
// TRIREME_CHURN_TASKS says how many tasks (tests/run --full: a million).
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <random>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/backlog.hpp"
#include "core/defaults.hpp"
#include "pilot/pilot.hpp"

using namespace trireme;
using namespace trireme::pilot;

namespace {

constexpr int nodes = 48;
constexpr std::uint32_t cores = 16;
constexpr MonoTime second = 1'000'000'000;

/// What is to become of an attempt that nobody disturbs: drawn from its task and number alone, so the model needs no memory.
Outcome fate(std::uint32_t task, std::uint32_t attempt) {
  std::minstd_rand random(task * 2654435761u + attempt * 40503u + 1);
  random.discard(3);
  const auto draw = random() % 100;
  return draw < 80 ? Outcome::done : draw < 94 ? Outcome::failed : Outcome::timeout;
}

class Churn final : public Output {
 public:
  Churn(std::uint32_t tasks, std::uint32_t backlog)
      : wanted_(tasks), has_backlogs_(backlog > 0), pilot_({.expected_nodes = nodes, .backlog = backlog}, *this) {}

  void run() {
    for (Rank rank = 0; rank < nodes; ++rank) {
      pilot_.on_node_joined(rank, {.host = "n" + std::to_string(rank), .resources = {.cores = cores}}, now_);
    }
    REQUIRE(pilot_.start(now_));
    grow(std::min(wanted_, 2000u));
    while (!heap_.empty() || told_ < wanted_) {
      if (heap_.empty()) {
        grow(500);
        continue;
      }
      step();
    }
    pilot_.close(now_);
    for (Rank rank = 0; rank < nodes; ++rank) {
      if (!lost_.contains(rank)) pilot_.on_agent_done(rank, now_);
    }
    REQUIRE(pilot_.finished());
    check();
  }

 private:
  struct End {
    MonoTime at = 0;
    Rank rank = 0;
    AttemptId id;
    Outcome outcome = Outcome::done;
    std::shared_ptr<ToAgent> order = nullptr;  ///< instead: an order that arrives at the rank
    std::uint64_t number = 0;
    bool operator<(const End& other) const { return at != other.at ? at > other.at : number > other.number; }
  };
  struct Task {
    std::uint32_t retries = 0;
    std::uint32_t losses = 0;   ///< attempts lost with their nodes
    std::uint32_t used = 0;     ///< attempts that used up a retry
    std::int64_t running = -1;  ///< number of the attempt that runs
    Rank rank = -1;             ///< where
    std::int64_t last_attempt = -1;
    bool cancelled = false;  ///< asked for while it had not ended
    bool told_to_end = false;
    std::optional<Outcome> end;  ///< of its last attempt
    std::optional<TaskState> final;
    std::vector<std::uint32_t> after;
  };

  // --- what the pilot says ----------------------------------------------------------------------

  void send(Rank to, ToAgent message) override {
    if (auto* start = std::get_if<StartTask>(&message); start != nullptr && !start->ahead) {
      ++busy_[to];
      return started(to, *start);
    }
    // These take a while to arrive, so that they cross with the ends of tasks.
    if (std::holds_alternative<StartTask>(message) || std::holds_alternative<RecallTasks>(message)) {
      if (const auto* start = std::get_if<StartTask>(&message)) ahead_[to].insert(start->id);
      MonoTime& arrival = arrivals_[to];
      arrival = std::max(arrival, now_ + static_cast<MonoTime>(random_() % (2 * second)));
      push({arrival, to, {}, Outcome::done, std::make_shared<ToAgent>(std::move(message))});
      return;
    }
    if (auto* cancel = std::get_if<CancelTask>(&message)) {
      Task& task = tasks_[cancel->id.task.value];
      CHECK(task.running == cancel->id.attempt);
      task.told_to_end = true;
      push({now_ + 1, to, cancel->id, Outcome::cancelled});
    }
  }

  void push(End end) {
    end.number = ++number_;
    heap_.push(std::move(end));
  }

  void arrived(Rank at, ToAgent& order) {
    if (lost_.contains(at)) return;
    if (auto* start = std::get_if<StartTask>(&order)) {
      CHECK(backlogs_[at].add(*start));
      return;
    }
    auto ids = backlogs_[at].withdraw(std::get<RecallTasks>(order).ids);
    for (const AttemptId id : ids) ahead_[at].erase(id);
    recalled_ += ids.size();
    if (!ids.empty()) pilot_.on_message(at, TasksReturned{std::move(ids)}, now_);
  }

  void started(Rank to, const StartTask& start) {
    Task& task = tasks_[start.id.task.value];
    ++starts_;
    // One attempt at a time, each with the next number, only on living nodes and after all that it comes after.
    if (task.running >= 0) ++twice_at_once_;
    if (task.final) ++after_final_;
    if (start.id.attempt != task.last_attempt + 1) ++wrong_number_;
    if (lost_.contains(to)) ++on_lost_node_;
    for (const std::uint32_t before : task.after) {
      if (tasks_[before].final != TaskState::done) ++too_early_;
    }
    task.running = task.last_attempt = start.id.attempt;
    task.rank = to;
    if (busy_[to] > cores) ++overfull_;
    const MonoTime length = 1 + static_cast<MonoTime>(random_() % (60 * second));
    push({now_ + length, to, start.id, fate(start.id.task.value, start.id.attempt)});
  }

  void record(EventBody event) override {
    if (const auto* submitted = std::get_if<events::TaskSubmitted>(&event))
      CHECK(submitted->task.value == submitted_++);
    const auto* changed = std::get_if<events::TaskChanged>(&event);
    if (changed == nullptr) return;
    Task& task = tasks_[changed->task.value];
    if (task.final) ++after_final_;
    if (!is_final(changed->state)) return;
    task.final = changed->state;
    ++logged_[changed->state];
  }

  void publish(ServiceEndpoint) override {}

  // --- what happens -----------------------------------------------------------------------------

  void step() {
    const End end = heap_.top();
    heap_.pop();
    now_ = std::max(now_, end.at);
    if (end.order) return arrived(end.rank, *end.order);
    Task& task = tasks_[end.id.task.value];
    // An end that something else has forestalled: a cancel, or the loss of the node.
    if (task.running != end.id.attempt || task.rank != end.rank) return;
    task.running = -1;
    task.end = end.outcome;
    if (end.outcome != Outcome::done && end.outcome != Outcome::cancelled) ++task.used;
    const auto next = backlogs_[end.rank].next({.cores = 1});
    if (next) {
      ahead_[end.rank].erase(next->id);
      ++succeeded_;
      started(end.rank, *next);
    } else {
      --busy_[end.rank];
    }
    pilot_.on_message(end.rank,
                      TaskEnded{.id = end.id,
                                .end = {.outcome = end.outcome, .exit_code = 1, .reason = ""},
                                .next = next ? next->id : AttemptId{}},
                      now_);
    // An agent may say the same twice, or too late: it must not count.
    if (random_() % 50 == 0) {
      pilot_.on_message(end.rank, TaskEnded{.id = end.id, .end = {.outcome = Outcome::failed, .reason = ""}}, now_);
    }
    disturb();
  }

  void disturb() {
    const auto draw = random_() % 1000;
    if (draw < 300) grow(1 + random_() % 4);
    if (draw < 20) cancel(random_() % told_);
    if (draw == 999 && lost_.size() < nodes / 4) lose(static_cast<Rank>(random_() % nodes));
  }

  void grow(std::uint32_t count) {
    count = std::min(count, wanted_ - told_);
    if (count == 0) return;
    std::vector<TaskDescription> batch;
    const std::uint32_t first = told_;
    for (std::uint32_t i = 0; i < count; ++i) {
      Task task;
      TaskDescription description;
      description.id = "t" + std::to_string(told_);
      description.name = description.id;
      description.command = {Template::literal("x")};
      task.retries = description.retries = random_() % 3;
      description.priority = static_cast<std::int32_t>(random_() % 3);
      while (told_ > 0 && random_() % 4 == 0 && task.after.size() < 4) {
        const std::uint32_t recent = told_ - 1 - random_() % std::min(told_, 1000u);
        if (std::find(task.after.begin(), task.after.end(), recent) != task.after.end()) break;
        task.after.push_back(recent);
        description.after.push_back("t" + std::to_string(recent));
      }
      tasks_.push_back(std::move(task));
      batch.push_back(std::move(description));
      ++told_;
    }
    const auto submitted = pilot_.submit(std::move(batch), now_);
    REQUIRE_MESSAGE(submitted.ok(), (submitted.ok() ? "" : submitted.error().text()));
    CHECK(submitted->value == first);
  }

  void cancel(std::uint32_t index) {
    Task& task = tasks_[index];
    if (!task.final) task.cancelled = true;
    CHECK(pilot_.cancel({index}, "churn", now_).ok());
  }

  void lose(Rank rank) {
    if (!lost_.insert(rank).second) return;
    for (Task& task : tasks_) {
      if (task.running < 0 || task.rank != rank) continue;
      task.running = -1;
      task.end = Outcome::lost;
      if (++task.losses > defaults::node_losses) ++task.used;
    }
    // Nobody knows whether these have run.
    for (const AttemptId id : std::exchange(ahead_[rank], {})) {
      Task& task = tasks_[id.task.value];
      ++starts_;
      task.last_attempt = id.attempt;
      task.end = Outcome::lost;
      if (++task.losses > defaults::node_losses) ++task.used;
    }
    backlogs_[rank].clear();
    busy_[rank] = 0;
    pilot_.on_node_lost(rank, "churn", now_);
  }

  // --- what must be -----------------------------------------------------------------------------

  /// The state that the model says a task ends in.
  TaskState expected(const Task& task) const {
    if (!task.end) {
      // It never ran: it was cancelled, or something that it needs did not end well.
      const bool broken = std::any_of(task.after.begin(), task.after.end(),
                                      [&](std::uint32_t before) { return tasks_[before].final != TaskState::done; });
      return task.final == TaskState::cancelled && task.cancelled ? TaskState::cancelled
             : broken                                             ? TaskState::skipped
                                                                  : TaskState::waiting;
    }
    if (*task.end == Outcome::done) return TaskState::done;
    if (task.cancelled) return TaskState::cancelled;
    return task.used > task.retries ? TaskState::failed : TaskState::waiting;
  }

  void check() {
    CHECK(told_ == wanted_);
    CHECK(submitted_ == wanted_);
    CHECK(twice_at_once_ == 0);
    CHECK(after_final_ == 0);
    CHECK(wrong_number_ == 0);
    CHECK(on_lost_node_ == 0);
    CHECK(too_early_ == 0);
    CHECK(overfull_ == 0);
    std::uint64_t wrong = 0;
    std::uint64_t attempts = 0;
    for (const Task& task : tasks_) {
      attempts += static_cast<std::uint64_t>(task.last_attempt + 1);
      if (task.final != expected(task)) ++wrong;
    }
    CHECK(wrong == 0);
    CHECK(starts_ == attempts);
    const TaskCounts counts = pilot_.counts();
    CHECK(counts.total == wanted_);
    CHECK(counts.unfinished() == 0);
    CHECK(counts.running == 0);
    CHECK(counts.done == logged_[TaskState::done]);
    CHECK(counts.failed == logged_[TaskState::failed]);
    CHECK(counts.cancelled == logged_[TaskState::cancelled]);
    CHECK(counts.skipped == logged_[TaskState::skipped]);
    // All of it did happen.
    for (const TaskState state : {TaskState::done, TaskState::failed, TaskState::cancelled, TaskState::skipped}) {
      CHECK(logged_[state] > 0);
    }
    CHECK(counts.retried > 0);
    CHECK_FALSE(lost_.empty());
    CHECK((succeeded_ > 0) == has_backlogs_);
    CHECK((recalled_ > 0) == has_backlogs_);
  }

  const std::uint32_t wanted_;
  const bool has_backlogs_;
  std::map<Rank, Backlog> backlogs_;
  std::map<Rank, std::set<AttemptId>> ahead_;  ///< what a node was sent, that has neither started nor come back
  std::map<Rank, MonoTime> arrivals_;          ///< of the last order, so that they keep their order
  std::uint64_t number_ = 0, succeeded_ = 0, recalled_ = 0;
  std::uint32_t told_ = 0;
  std::uint32_t submitted_ = 0;
  MonoTime now_ = second;
  std::mt19937 random_{20260101};
  std::vector<Task> tasks_;
  std::priority_queue<End> heap_;
  std::unordered_map<Rank, std::uint32_t> busy_;
  std::set<Rank> lost_;
  std::map<TaskState, std::uint64_t> logged_;
  std::uint64_t starts_ = 0, twice_at_once_ = 0, after_final_ = 0, wrong_number_ = 0, on_lost_node_ = 0, too_early_ = 0,
                overfull_ = 0;
  Pilot pilot_;
};

}  // namespace

TEST_CASE("churn: failures, retries, cancels, timeouts, lost nodes and growth leave each task in its one final state") {
  const char* asked = std::getenv("TRIREME_CHURN_TASKS");
  const std::uint32_t tasks = asked != nullptr ? static_cast<std::uint32_t>(std::strtoul(asked, nullptr, 10)) : 20'000;
  for (const std::uint32_t backlog : {0u, 6u}) {
    CAPTURE(backlog);
    Churn(tasks, backlog).run();
  }
}
