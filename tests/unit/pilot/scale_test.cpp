// Large runs in reasonable time. The rates are printed and not asserted: machines differ.
#include <deque>

#include "harness.hpp"

using namespace trireme;
using namespace trireme::pilot;
using namespace trireme::pilot::test;

namespace {

/// Agents that end each task well as soon as it is asked for.
class Instant final : public Output {
 public:
  void send(Rank to, ToAgent message) override {
    if (const auto* start = std::get_if<StartTask>(&message)) {
      started.emplace_back(to, start->id);
      decisions += start->first_rank == 0 ? 1 : 0;
    } else if (std::holds_alternative<ShutdownAgent>(message)) {
      shut_down.push_back(to);
    }
  }
  void record(EventBody) override {}
  void publish(ServiceEndpoint) override {}

  void run(Pilot& pilot) {
    while (!started.empty()) {
      const auto [rank, id] = started.front();
      started.pop_front();
      pilot.on_task_ended(rank, {.id = id, .end = {}}, 0);
    }
    for (Rank rank : shut_down) pilot.on_agent_done(rank, 0);
  }

  std::deque<std::pair<Rank, AttemptId>> started;
  std::vector<Rank> shut_down;
  std::uint64_t decisions = 0;
};

void measure(const std::string& what, std::vector<TaskDescription> tasks, int nodes, std::uint32_t cores) {
  Instant out;
  Pilot pilot({}, out);
  const std::size_t n = tasks.size();
  const MonoTime begin = mono_now();
  WorkflowDescription flow;
  flow.tasks.assign(std::make_move_iterator(tasks.begin()), std::make_move_iterator(tasks.end()));
  REQUIRE(pilot.submit_all(std::move(flow)));
  const MonoTime loaded = mono_now();
  for (Rank rank = 0; rank < nodes; ++rank) {
    pilot.on_node_joined(rank, {.host = "n", .resources = {.cores = cores}}, 0);
  }
  REQUIRE(pilot.start(0));
  pilot.close(0);
  out.run(pilot);
  const MonoTime end = mono_now();
  REQUIRE(pilot.finished());
  CHECK(pilot.counts().done == n);
  CHECK(out.decisions == n);
  const double load = seconds(Duration(loaded - begin));
  const double run = seconds(Duration(end - loaded));
  MESSAGE(what << ": " << n << " tasks on " << nodes << " nodes, loaded in " << load << " s, "
               << static_cast<double>(n) / run << " decisions/s");
}

}  // namespace

TEST_SUITE("scale") {
  TEST_CASE("a hundred thousand tasks at once") {
    std::vector<TaskDescription> tasks;
    for (int i = 0; i < 100'000; ++i) tasks.push_back(task("t" + std::to_string(i)));
    measure("flat", std::move(tasks), 64, 64);
  }

  TEST_CASE("a chain of a hundred thousand tasks, done and skipped") {
    std::vector<TaskDescription> tasks;
    for (int i = 0; i < 100'000; ++i) {
      tasks.push_back(task("t" + std::to_string(i)));
      if (i > 0) tasks.back().after = {"t" + std::to_string(i - 1)};
    }
    Instant out;
    Pilot pilot({}, out);
    WorkflowDescription flow;
    flow.tasks.assign(tasks.begin(), tasks.end());
    REQUIRE(pilot.submit_all(flow));
    pilot.on_node_joined(0, {.host = "n", .resources = {.cores = 1}}, 0);
    REQUIRE(pilot.start(0));
    pilot.on_task_ended(0, {.id = out.started[0].second, .end = {.outcome = Outcome::failed}}, 0);
    CHECK(pilot.counts().skipped == 99'999);
    measure("chain", std::move(tasks), 64, 64);
  }

  TEST_CASE("three hundred tasks after three hundred others, a hundred times, and as many shapes") {
    std::vector<TaskDescription> tasks;
    for (int stage = 0; stage < 100; ++stage) {
      for (int i = 0; i < 300; ++i) {
        TaskDescription t = task("s" + std::to_string(stage) + "[" + std::to_string(i) + "]");
        t.name = "s" + std::to_string(stage);
        t.per_rank.memory = static_cast<std::uint64_t>(stage);
        if (stage > 0) t.after = {"s" + std::to_string(stage - 1)};
        tasks.push_back(std::move(t));
      }
    }
    std::vector<TaskDescription> mixed = tasks;
    for (TaskDescription& t : tasks) t.per_rank.memory = 0;
    measure("stages", std::move(tasks), 64, 4);
    for (TaskDescription& t : mixed) {
      t.after.clear();
      t.per_rank = {.cores = 1 + static_cast<std::uint32_t>(t.per_rank.memory) % 50};
      t.ranks = t.per_rank.cores % 7 == 0 ? 4 : 1;
    }
    measure("fifty shapes", std::move(mixed), 64, 64);
  }
}
