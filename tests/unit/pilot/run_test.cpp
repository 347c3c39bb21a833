#include "harness.hpp"

using namespace trireme;
using namespace trireme::pilot;
using namespace trireme::pilot::test;

namespace {

/// A run with a service that is ready, one running task, one ready and one waiting.
struct Busy : World {
  explicit Busy(Options options = {}) : World(options) {
    declare(service("s"));
    submit(task("running"));
    submit(task("ready"));
    submit(task("waiting", {"ready"}));
    nodes(1, 2);
    start();
    replica_ready(0, replica(0, 0));
    pilot.close(now);
    out.take();
  }
};

}  // namespace

TEST_SUITE("run") {
  TEST_CASE("a run ends with its services, then its agents, and says so once") {
    World w;
    w.declare(service("s"));
    w.submit(task("t"));
    w.nodes(2, 2);
    w.start();
    w.replica_ready(0, replica(0, 0));
    w.end(1, 0);
    w.out.take();
    CHECK(!w.pilot.finished());
    w.pilot.close(0);
    CHECK(w.out.take() ==
          Lines{"log: s0.0.0 draining on 0", "to 0: stop s0.0.0", "publish: s0 home 0 [s0.0.0@0 draining]"});
    w.replica_ended(0, replica(0, 0), "", Outcome::cancelled);
    CHECK(w.out.take() ==
          Lines{"log: s0.0.0 ended on 0", "to 0: shutdown", "to 1: shutdown", "publish: s0 home 0 dead []"});
    w.done(1);
    CHECK(w.out.take().empty());
    w.done(0);
    CHECK(w.out.take() == Lines{"log: run done 0"});
    CHECK(w.pilot.finished());
    CHECK(w.pilot.result().code == ExitCode::done);
    // Nothing is said after the end, whatever comes.
    w.done(0);
    w.pilot.on_node_lost(0, "late", 1);
    w.pilot.on_time(1'000 * second);
    w.pilot.drain("late", ExitCode::drained, 2);
    w.pilot.kill("late", ExitCode::interrupted, 2);
    w.pilot.close(3);
    CHECK(!w.pilot.submit(task("late"), 3));
    CHECK(!w.pilot.declare(service("late"), 3));
    CHECK(w.out.take().empty());
    CHECK(!w.pilot.next_deadline());
  }

  TEST_CASE("an empty workflow is done") {
    World w;
    w.nodes(1, 1);
    w.start();
    w.pilot.close(0);
    w.done(0);
    CHECK(w.pilot.finished());
    CHECK(w.pilot.result().state == RunState::done);
  }

  TEST_CASE("running tasks may submit tasks after the run was closed") {
    World w;
    w.submit(task("a"));
    w.nodes(1, 2);
    w.start();
    w.pilot.close(0);
    w.submit(task("b", {"a"}));
    w.end(0, 0);
    CHECK(w.state(1) == TaskState::running);
    w.end(0, 1);
    CHECK(!w.pilot.submit(task("c"), 0));
  }

  TEST_CASE("a failed task fails the run, and the others go on") {
    World w;
    w.submit(task("a"));
    w.submit(task("b"));
    w.nodes(1, 1);
    w.start();
    w.pilot.close(0);
    w.fail(0, 0);
    CHECK(w.state(1) == TaskState::running);
    w.end(0, 1);
    w.out.take();
    w.done(0);
    CHECK(w.out.take() == Lines{"log: run failed 1: task a failed: exit code 3"});
  }

  TEST_CASE("what does not fit is said before anything starts, and the agents are shut down") {
    World w;
    w.declare(service("s"));
    TaskDescription t = task("train");
    t.per_rank.cores = 64;
    w.submit(t);
    w.nodes(1, 8);
    w.out.take();
    const Status status = w.pilot.start(0);
    REQUIRE(!status);
    CHECK(status.error().code == ExitCode::does_not_fit);
    CHECK(w.out.take() == Lines{"to 0: shutdown"});
    w.done(0);
    CHECK(w.out.take() ==
          Lines{"log: run failed 3: task train needs 64 cores on one node; the largest node has 8 cores"});
    CHECK(w.pilot.finished());
  }

  TEST_CASE("a task submitted later that does not fit is refused") {
    World w;
    w.nodes(1, 2);
    w.start();
    TaskDescription t = task("train");
    t.per_rank.cores = 3;
    const auto result = w.pilot.submit(t, 0);
    REQUIRE(!result);
    CHECK(result.error().code == ExitCode::does_not_fit);
    CHECK(w.pilot.counts().total == 0);
  }

  TEST_CASE("draining lets running tasks end and starts no others") {
    Busy w;
    w.pilot.drain("SIGTERM", ExitCode::drained, 0);
    CHECK(w.out.take() == Lines{"log: draining: SIGTERM"});
    w.end(0, 0);
    CHECK(w.out.take() == Lines{"log: t0.0 ended on 0 done", "log: task 0 done", "log: s0.0.0 draining on 0",
                                "to 0: stop s0.0.0", "publish: s0 home 0 [s0.0.0@0 draining]"});
    CHECK(!w.pilot.submit(task("late"), 0));
    w.replica_ended(0, replica(0, 0), "", Outcome::cancelled);
    w.out.take();
    w.done(0);
    CHECK(w.out.take() == Lines{"log: run interrupted 75: SIGTERM"});
    CHECK(w.state(1) == TaskState::ready);
    CHECK(w.state(2) == TaskState::waiting);
  }

  TEST_CASE("a task that is not done when the grace is over is cancelled, and its dependents stay unfinished") {
    Busy w({.drain_grace = std::chrono::seconds(10)});
    w.submit(task("after", {"running"}));
    w.out.take();
    w.pilot.drain("SIGINT", ExitCode::interrupted, second);
    REQUIRE(w.pilot.next_deadline() == 11 * second);
    w.out.take();
    w.pilot.on_time(11 * second);
    CHECK(w.out.take() == Lines{"to 0: cancel t0.0: SIGINT"});
    w.end(0, 0, Outcome::cancelled);
    CHECK(w.state(0) == TaskState::cancelled);
    CHECK(w.state(3) == TaskState::waiting);
    w.replica_ended(0, replica(0, 0), "", Outcome::cancelled);
    w.done(0);
    CHECK(w.pilot.result().code == ExitCode::interrupted);
    CHECK(w.pilot.result().state == RunState::interrupted);
  }

  TEST_CASE("a run that was complete in spite of being drained is done") {
    World w;
    w.submit(task("a"));
    w.nodes(1, 1);
    w.start();
    w.pilot.close(0);
    w.pilot.drain("SIGTERM", ExitCode::drained, 0);
    w.end(0, 0);
    w.done(0);
    REQUIRE(w.pilot.finished());
    CHECK(w.pilot.result().code == ExitCode::done);
  }

  TEST_CASE("draining before the start ends the run") {
    World w;
    w.submit(task("a"));
    w.nodes(1, 1);
    w.out.take();
    w.pilot.drain("SIGTERM", ExitCode::drained, 0);
    CHECK(w.out.take() == Lines{"to 0: shutdown"});
    CHECK(!w.pilot.start(0));
    w.done(0);
    CHECK(w.pilot.result().code == ExitCode::drained);
  }

  TEST_CASE("killing ends everything at once") {
    Busy w;
    w.pilot.drain("SIGINT", ExitCode::interrupted, 0);
    w.out.take();
    w.pilot.kill("SIGINT again", ExitCode::interrupted, 0);
    CHECK(w.out.take() == Lines{"to 0: cancel t0.0: SIGINT again", "to 0: shutdown"});
    w.replica_ended(0, replica(0, 0), "", Outcome::cancelled);
    w.out.take();
    w.done(0);
    CHECK(w.out.take() == Lines{"log: t0.0 ended on 0 cancelled", "log: task 0 cancelled: SIGINT again",
                                "log: run interrupted 130: SIGINT"});
  }

  TEST_CASE("with on_failure: stop the first failure cancels what runs and ends the run") {
    World w({.stop_on_failure = true});
    w.submit(task("bad"));
    w.submit(task("long"));
    w.submit(task("never"));
    w.nodes(1, 2);
    w.start();
    w.pilot.close(0);
    w.out.take();
    w.fail(0, 0);
    CHECK(w.out.take() == Lines{"log: t0.0 ended on 0 failed", "log: task 0 failed: exit code 3",
                                "log: draining: task bad failed: exit code 3",
                                "to 0: cancel t1.0: task bad failed: exit code 3"});
    w.end(0, 1, Outcome::cancelled);
    w.done(0);
    CHECK(w.pilot.result().code == ExitCode::failed);
    CHECK(w.pilot.result().state == RunState::failed);
    CHECK(w.state(2) == TaskState::ready);
  }

  TEST_CASE("agents that do not answer do not hold the run for ever") {
    Busy w;
    w.pilot.drain("SIGTERM", ExitCode::drained, 0);
    w.out.take();
    std::vector<std::string> said;
    for (int steps = 0; !w.pilot.finished(); ++steps) {
      REQUIRE(steps < 10);
      REQUIRE(w.pilot.next_deadline());
      w.pilot.on_time(*w.pilot.next_deadline());
      for (const std::string& line : w.out.take()) said.push_back(line);
    }
    CHECK(said == Lines{"to 0: cancel t0.0: SIGTERM", "log: warning: tasks still running that were asked to end: 1",
                        "log: s0.0.0 draining on 0", "to 0: stop s0.0.0", "publish: s0 home 0 [s0.0.0@0 draining]",
                        "log: warning: not all services ended when they were asked to", "to 0: shutdown",
                        "log: warning: no answer from the agents of nodes 0", "log: t0.0 ended on 0 cancelled",
                        "log: task 0 cancelled: SIGTERM", "log: s0.0.0 ended on 0: the run has ended",
                        "log: run interrupted 75: SIGTERM"});
  }

  TEST_CASE("a run that has lost every node has failed, and can be resumed") {
    World w;
    w.declare(service("s"));
    w.submit(task("a"));
    w.nodes(1, 2);
    w.start();
    w.out.take();
    w.pilot.on_node_lost(0, "gone", 0);
    REQUIRE(w.pilot.finished());
    CHECK(w.pilot.result().code == ExitCode::runtime_failed);
    CHECK(w.state(0) == TaskState::ready);
  }

  TEST_CASE("nodes that are lost at the end are not waited for") {
    World w;
    w.declare(service("s"));
    w.nodes(2, 2);
    w.start();
    w.pilot.close(0);
    w.pilot.on_node_lost(0, "gone", 0);
    w.out.take();
    w.done(1);
    CHECK(w.pilot.finished());
    CHECK(w.pilot.result().code == ExitCode::done);
  }

  TEST_CASE("a node that joins late is used, and one that joins too late is sent home") {
    World w;
    w.submit(task("a"));
    w.submit(task("b"));
    w.nodes(1, 1);
    w.start();
    w.out.take();
    w.join(1, {.cores = 1});
    CHECK(w.out.take() == Lines{"log: node 1 joined", "log: t1.0 placed on 1 x1", "to 1: start t1.0 ranks 0-0"});
    w.join(1, {.cores = 1});
    CHECK(w.out.take().empty());
    w.end(0, 0);
    w.end(1, 1);
    w.pilot.close(0);
    w.out.take();
    w.join(2, {.cores = 1});
    CHECK(w.out.take() == Lines{"log: node 2 joined", "to 2: shutdown"});
  }

  TEST_CASE("warnings of a node are passed on") {
    World w;
    w.pilot.on_node_joined(3, {.host = "n3", .resources = {.cores = 1}, .warnings = {"more ranks than cores"}}, 0);
    CHECK(w.out.take() == Lines{"log: node 3 joined", "log: warning: node 3 (n3): more ranks than cores"});
  }

  TEST_CASE("the end of an agent in the middle of the run is the loss of its node") {
    World w;
    w.submit(task("a"));
    w.nodes(2, 1);
    w.start();
    w.out.take();
    w.done(0);
    CHECK(w.out.take() == Lines{"log: node 0 lost: its agent has ended", "log: t0.0 ended on 0 lost",
                                "log: task 0 ready", "log: t0.1 placed on 1 x1", "to 1: start t0.1 ranks 0-0"});
  }
}

TEST_CASE("tasks that come together while the run is on may name each other, and are taken whole or not at all") {
  World world;
  world.nodes(1, 2);
  world.start();
  const auto first = world.pilot.submit(std::vector<TaskDescription>{task("second", {"first"}), task("first")}, world.now);
  REQUIRE(first.ok());
  CHECK(world.state(0) == TaskState::waiting);
  CHECK(world.state(1) == TaskState::running);
  TaskDescription wide = task("wide");
  wide.per_rank.cores = 3;
  CHECK_FALSE(world.pilot.submit(std::vector<TaskDescription>{task("small"), wide}, world.now).ok());
  CHECK_FALSE(world.pilot.find_task("small"));
}

TEST_CASE("tasks that come while the run is on and wait for each other are found, by name and by group") {
  for (const bool by_group : {false, true}) {
    World world;
    world.nodes(1, 2);
    world.start();
    world.submit(task("before"));
    TaskDescription member = task("member", {"last"});
    if (by_group) member.name = "group";
    const auto submitted = world.pilot.submit(
        std::vector<TaskDescription>{task("fine", {"before"}), member, task("last", {by_group ? "group" : "member"})},
        world.now);
    REQUIRE_FALSE(submitted.ok());
    CHECK(submitted.error().what.find("wait for each other") != std::string::npos);
  }
}
