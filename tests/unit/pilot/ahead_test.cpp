// What is sent ahead of its turn: it fills the places of its like without a round trip, and is nobody's who should come first.
#include <algorithm>
#include <random>

#include "core/backlog.hpp"
#include "harness.hpp"

using namespace trireme;
using namespace trireme::pilot;
using namespace trireme::pilot::test;

namespace {

/// Nodes of one core each, and so many tasks of one core that wait: "0", "1", …
struct Ahead : World {
  Ahead(int n, std::uint32_t tasks, std::uint32_t backlog) : World({.backlog = backlog}) {
    nodes(n, 1);
    start();
    add(tasks);
    out.take();
  }
  void add(std::uint32_t tasks, std::int32_t priority = 0) {
    std::vector<TaskDescription> all;
    for (std::uint32_t i = 0; i < tasks; ++i) {
      all.push_back(task(std::to_string(pilot.counts().total + i)));
      all.back().priority = priority;
    }
    REQUIRE(pilot.submit(std::move(all), now).ok());
  }
  /// What has been said to nodes since.
  Lines said() {
    Lines lines = out.take();
    std::erase_if(lines, [](const std::string& line) { return !line.starts_with("to "); });
    return lines;
  }
};

}  // namespace

TEST_SUITE("ahead") {
  TEST_CASE("a node is sent so many ahead, in batches, and told nothing when one takes a place") {
    World w({.backlog = 4});
    w.nodes(1, 1);
    w.start();
    std::vector<TaskDescription> all;
    for (int i = 0; i < 9; ++i) all.push_back(task(std::to_string(i)));
    REQUIRE(w.pilot.submit(std::move(all), 0).ok());
    Lines said = w.out.take();
    CHECK(Lines(said.end() - 6, said.end()) == Lines{"log: t0.0 placed on 0 x1", "to 0: start t0.0 ranks 0-0",
                                                     "to 0: ahead t1.0", "to 0: ahead t2.0", "to 0: ahead t3.0",
                                                     "to 0: ahead t4.0"});
    CHECK(w.state(1) == TaskState::ready);
    w.hand_on(0, 0, 1);
    CHECK(w.out.take() == Lines{"log: t0.0 ended on 0 done", "log: task 0 done", "log: t1.0 placed on 0 x1"});
    CHECK(w.state(1) == TaskState::running);
    w.hand_on(0, 1, 2);  // half of the credit is gone
    CHECK(w.out.take() == Lines{"log: t1.0 ended on 0 done", "log: task 1 done", "log: t2.0 placed on 0 x1",
                                "to 0: ahead t5.0", "to 0: ahead t6.0"});
    CHECK(w.pilot.counts().running == 1);
  }

  TEST_CASE("towards the end of the queue little is sent ahead, and nothing that others could start as soon") {
    World w({.backlog = 4});
    w.nodes(2, 1);
    w.start();
    for (int i = 0; i < 2; ++i) w.submit(task("a" + std::to_string(i)));
    w.out.take();
    w.submit(task("b"));  // one for two nodes: whoever ends first gets it
    CHECK(w.out.take() == Lines{"log: task 2 submitted as b", "log: task 2 ready"});
  }

  TEST_CASE("whoever ends without a successor frees its place, though something is on its way there") {
    Ahead w(1, 9, 4);
    w.end(0, 0);  // the agent had nothing yet
    CHECK(w.said() == Lines{"to 0: start t5.0 ranks 0-0"});
    w.hand_on(0, 5, 1);
    CHECK(w.state(1) == TaskState::running);
  }

  TEST_CASE("a place counts as taken until nobody takes it over") {
    Ahead w(1, 3, 8);
    CHECK(w.pilot.sent_ahead() == 2);
    w.hand_on(0, 0, 1);
    w.hand_on(0, 1, 2);
    w.said();
    w.submit(task("x"));
    CHECK(w.said() == Lines{"to 0: ahead t3.0"});
    w.end(0, 2);  // before that came
    CHECK(w.said() == Lines{"to 0: recall t3.0"});
    w.give_back(0, {3});
    CHECK(w.said() == Lines{"to 0: start t3.0 ranks 0-0"});
  }

  TEST_CASE("a cancelled task is called back and is cancelled once it is back") {
    Ahead w(1, 9, 4);
    REQUIRE(w.pilot.cancel({2}, "not needed", 0).ok());
    CHECK(w.out.take() == Lines{"to 0: recall t2.0"});
    REQUIRE(w.pilot.cancel({2}, "again", 0).ok());
    CHECK(w.out.take().empty());
    w.give_back(0, {2});
    CHECK(w.out.take() == Lines{"log: task 2 cancelled: not needed"});
    CHECK(w.state(1) == TaskState::ready);
  }

  TEST_CASE("a cancelled task that has been started meanwhile is asked to end") {
    Ahead w(1, 9, 4);
    REQUIRE(w.pilot.cancel({1}, "not needed", 0).ok());
    w.out.take();
    w.hand_on(0, 0, 1);
    CHECK(w.out.take() == Lines{"log: t0.0 ended on 0 done", "log: task 0 done", "log: t1.0 placed on 0 x1",
                                "to 0: cancel t1.0: not needed"});
    w.end(0, 1, Outcome::cancelled);
    CHECK(w.state(1) == TaskState::cancelled);
  }

  TEST_CASE("a more urgent task overtakes what was sent ahead") {
    Ahead w(1, 9, 2);
    w.add(1, 5);
    CHECK(w.said() == Lines{"to 0: recall t1.0 t2.0"});
    w.give_back(0, {1, 2});
    CHECK(w.said() == Lines{"to 0: ahead t9.0", "to 0: ahead t1.0"});
    w.add(1);  // no more urgent than what is there
    CHECK(w.said().empty());
    w.hand_on(0, 0, 9);
    CHECK(w.state(9) == TaskState::running);
  }

  TEST_CASE("a task of another shape that waits is not kept waiting by what was sent ahead") {
    World w({.backlog = 4});
    w.nodes(1, 2);
    w.start();
    std::vector<TaskDescription> all;
    for (int i = 0; i < 9; ++i) all.push_back(task(std::to_string(i)));
    REQUIRE(w.pilot.submit(std::move(all), 0).ok());
    w.out.take();
    TaskDescription wide = task("wide");
    wide.per_rank.cores = 2;
    wide.priority = 1;
    w.submit(wide);
    CHECK(w.out.take() ==
          Lines{"log: task 9 submitted as wide", "log: task 9 ready", "to 0: recall t5.0 t4.0 t3.0 t2.0"});
    w.give_back(0, {2, 3, 4, 5});
    CHECK(w.out.take().empty());  // and nothing is sent ahead as long as it waits
  }

  TEST_CASE("a replica that waits for its seat is not kept waiting by what was sent ahead") {
    Ahead w(0, 0, 2);
    w.join(0, {.cores = 2});
    w.add(9);
    w.out.take();
    w.declare(service("s"));
    CHECK(w.said() == Lines{"to 0: recall t3.0 t2.0"});
    w.give_back(0, {2, 3});
    CHECK(w.said().empty());
    w.end(0, 0);
    CHECK(w.said() == Lines{"to 0: start s0.0.0", "to 0: ahead t2.0", "to 0: ahead t3.0"});
  }

  TEST_CASE("a node that comes free takes from the one that holds most") {
    Ahead w(2, 8, 3);
    CHECK(w.pilot.sent_ahead() == 6);  // three each
    for (const auto& [before, next] : {std::pair{1, 5}, {5, 6}, {6, 7}}) w.hand_on(1, before, next);
    w.out.take();
    w.end(1, 7);  // node 1 is idle, node 0 still at its first
    CHECK(w.out.take() == Lines{"log: t7.0 ended on 1 done", "log: task 7 done", "to 0: recall t4.0"});
    w.give_back(0, {4});
    CHECK(w.out.take() == Lines{"log: t4.0 placed on 1 x1", "to 1: start t4.0 ranks 0-0"});
    w.end(1, 4);
    CHECK(w.said() == Lines{"to 0: recall t3.0"});
    w.hand_on(0, 0, 2);
    w.hand_on(0, 2, 3);  // too late
    CHECK(w.said().empty());
    CHECK(w.pilot.sent_ahead() == 0);
  }

  TEST_CASE("a node that joins gets its share of what others were sent ahead") {
    Ahead w(1, 4, 8);
    CHECK(w.pilot.sent_ahead() == 3);
    w.join(1, {.cores = 2});
    CHECK(w.said() == Lines{"to 0: recall t3.0 t2.0"});
  }

  TEST_CASE(
      "what a lost node was sent ahead may have run: it is made anew elsewhere, as another attempt, once it cannot "
      "run") {
    Ahead w(2, 6, 2);
    CHECK(w.pilot.sent_ahead() == 4);
    w.pilot.on_node_lost(1, "silence", w.now, 20 * second);
    for (const auto& [before, next] : {std::pair{0, 2}, {2, 3}}) w.hand_on(0, before, next);
    w.end(0, 3);
    CHECK(w.said().empty());  // not yet: tasks 1, 4 and 5 may be running there
    w.now = 20 * second;
    w.pilot.on_time(w.now);
    CHECK(w.said() == Lines{"to 0: start t1.1 ranks 0-0", "to 0: ahead t4.1", "to 0: ahead t5.1"});
    CHECK(w.pilot.counts().retried == 1);
    CHECK(w.state(4) == TaskState::ready);
  }

  TEST_CASE("a draining run calls all back, and waits until it knows that nothing of it runs") {
    Ahead w(1, 9, 2);
    w.pilot.drain("asked", ExitCode::drained, 0);
    CHECK(w.said() == Lines{"to 0: recall t2.0 t1.0"});
    w.hand_on(0, 0, 1);  // it was too late for this one
    w.end(0, 1);
    CHECK(w.said().empty());
    w.give_back(0, {2});
    CHECK(w.said() == Lines{"to 0: shutdown"});
    w.done(0);
    CHECK(w.pilot.finished());
    CHECK(w.state(2) == TaskState::ready);
  }

  TEST_CASE("what takes a place after the run was killed is asked to end") {
    Ahead w(1, 9, 2);
    w.pilot.kill("killed", ExitCode::interrupted, 0);
    CHECK(w.said() == Lines{"to 0: recall t2.0 t1.0", "to 0: cancel t0.0: killed", "to 0: shutdown"});
    w.hand_on(0, 0, 1);
    CHECK(w.said() == Lines{"to 0: cancel t1.0: killed"});
    w.end(0, 1, Outcome::cancelled);
    w.give_back(0, {2});
    w.done(0);
    CHECK(w.pilot.finished());
    CHECK(w.pilot.counts().running == 0);
  }

  TEST_CASE("a node that has none left when more come is sent twice as many, up to a limit, until it is called back") {
    World w({.backlog = 2, .backlog_most = 7});
    w.nodes(1, 1);
    w.start();
    std::vector<TaskDescription> all;
    for (int i = 0; i < 100; ++i) all.push_back(task(std::to_string(i)));
    REQUIRE(w.pilot.submit(std::move(all), 0).ok());
    CHECK(w.pilot.sent_ahead() == 2);
    std::uint32_t running = 0;
    for (const std::uint32_t ahead : {4u, 7u, 7u}) {
      std::vector<FromAgent> all_end;
      for (auto left = w.pilot.sent_ahead(); left > 0; --left, ++running) {
        all_end.emplace_back(TaskEnded{.id = {TaskIndex{running}, 0}, .end = {}, .next = {TaskIndex{running + 1}, 0}});
      }
      all_end.emplace_back(TaskEnded{.id = {TaskIndex{running++}, 0}, .end = {}});
      w.pilot.on_messages(0, all_end, 0);
      CHECK(w.pilot.sent_ahead() == ahead);
    }
    TaskDescription urgent = task("urgent");
    urgent.priority = 1;
    w.submit(urgent);
    std::vector<std::uint32_t> back;
    for (std::uint32_t i = 1; i <= 7; ++i) back.push_back(running + i);
    w.give_back(0, back);
    CHECK(w.pilot.sent_ahead() == 2);
  }

  TEST_CASE("a task whose service fails while it waits at a node is skipped") {
    World w({.backlog = 2});
    w.nodes(1, 2);
    w.start();
    ServiceDescription s = service("s", 1, 1);
    s.restart_max = 0;
    w.declare(s);
    w.replica_ready(0, replica(0, 0));
    std::vector<TaskDescription> all;
    for (int i = 0; i < 3; ++i) {
      all.push_back(task(std::to_string(i)));
      all.back().services = {"s"};
    }
    REQUIRE(w.pilot.submit(std::move(all), 0).ok());
    CHECK(w.pilot.sent_ahead() == 2);
    w.replica_ended(0, replica(0, 0), "crash");
    w.give_back(0, {1, 2});
    CHECK(w.state(1) == TaskState::skipped);
    CHECK(w.state(2) == TaskState::skipped);
  }

  TEST_CASE("words about what a node was never sent change nothing") {
    Ahead w(2, 8, 2);
    w.give_back(1, {2, 7});  // at node 0, and in line
    w.hand_on(1, 1, 2);      // at node 0
    CHECK(w.state(2) == TaskState::ready);
    CHECK(w.said().size() >= 1);  // node 1 has a place that nobody took
    CHECK(w.pilot.counts().running == 2);
  }

  TEST_CASE("neither functions nor tasks that want more than an amount are sent ahead") {
    for (int what = 0; what < 4; ++what) {
      World w({.backlog = 4});
      w.nodes(1, 1);
      w.start();
      std::vector<TaskDescription> all;
      for (int i = 0; i < 9; ++i) {
        all.push_back(task(std::to_string(i)));
        if (what == 0) all.back().function.kind = FunctionCall::Kind::native;
        if (what == 1) all.back().exclusive = true;
        if (what == 2) all.back().colocate = "here";
        if (what == 3) all.back().mpi = MpiKind::automatic;
      }
      REQUIRE(w.pilot.submit(std::move(all), 0).ok());
      CHECK(w.pilot.sent_ahead() == 0);
    }
  }

  TEST_CASE("a backlog takes so many, gives them out by what they ask for, and gives back what is there") {
    Backlog backlog;
    for (std::uint32_t i = 0; i < defaults::node_backlog_most; ++i) {
      StartTask order{.id = {TaskIndex{i}, 0}, .task = task("x")};
      order.task.per_rank.cores = 1 + i % 2;
      REQUIRE(backlog.add(order));
    }
    StartTask more;
    CHECK_FALSE(backlog.add(more));
    CHECK(backlog.next({.cores = 2})->id.task.value == 1);
    CHECK(backlog.next({.cores = 2})->id.task.value == 3);
    CHECK_FALSE(backlog.next({.cores = 3}));
    CHECK(backlog.withdraw({{TaskIndex{3}, 0}, {TaskIndex{2}, 0}}) == std::vector<AttemptId>{{TaskIndex{2}, 0}});
    CHECK(backlog.clear().size() == defaults::node_backlog_most - 3);
    CHECK(backlog.size() == 0);
  }
}
