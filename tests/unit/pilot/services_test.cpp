#include <algorithm>

#include "harness.hpp"

using namespace trireme;
using namespace trireme::pilot;
using namespace trireme::pilot::test;

TEST_SUITE("services") {
  TEST_CASE("a service is announced, its replicas are started, and get ready") {
    World w({.expected_nodes = 2});
    w.declare(service("llama", 2));
    CHECK(w.out.take() == Lines{"log: service 0 declared as llama"});
    w.join(0, {.cores = 2});
    CHECK(!w.pilot.all_joined());
    w.join(1, {.cores = 2});
    CHECK(w.pilot.all_joined());
    CHECK(w.out.take() == Lines{"log: node 0 joined", "log: node 1 joined"});
    w.start();
    CHECK(w.out.take() == Lines{"publish: s0 home 0 []", "log: s0.0.0 starting on 0", "to 0: start s0.0.0",
                                "log: s0.1.0 starting on 1", "to 1: start s0.1.0"});
    w.pilot.on_message(1, ReplicaStarted{.id = replica(0, 1), .pid = 9, .time = 1}, 1);
    CHECK(w.out.take() == Lines{"log: s0.1.0 starting on 1 pid 9"});
    w.replica_ready(1, replica(0, 1));
    CHECK(w.out.take() ==
          Lines{"log: s0.1.0 ready on 1 at 127.0.0.1:4711", "publish: s0 home 0 [s0.0.0@0 starting, s0.1.0@1 ready]"});
    // A replica gets ready once, where it was started.
    w.replica_ready(1, replica(0, 1));
    w.replica_ready(1, replica(0, 0));
    w.replica_ready(0, replica(0, 0, 1));
    w.replica_ready(0, replica(7, 0));
    CHECK(w.out.take().empty());
  }

  TEST_CASE("launch and init times are recorded") {
    struct Last final : Recorder {
      std::vector<Duration> took;
      void record(EventBody event) override {
        if (auto* e = std::get_if<events::ReplicaChanged>(&event)) took.push_back(e->took);
      }
    } out;
    Pilot pilot({}, out);
    REQUIRE(pilot.declare(service("s"), 0));
    pilot.on_node_joined(0, {.host = "n", .resources = {.cores = 2}}, 0);
    REQUIRE(pilot.start(100));
    pilot.on_replica_started(0, {.id = replica(0, 0), .pid = 1, .time = 5000}, 130);
    pilot.on_replica_ready(0, {.endpoint = {.id = replica(0, 0)}, .time = 5700}, 999);
    CHECK(out.took == std::vector<Duration>{Duration(0), Duration(30), Duration(700)});
  }

  TEST_CASE("a task that needs services starts once each has a ready replica") {
    World w;
    w.declare(service("a", 2));
    w.declare(service("b"));
    TaskDescription t = task("t");
    t.services = {"a", "b"};
    w.submit(t);
    w.nodes(1, 8);
    w.start();
    CHECK(w.state(0) == TaskState::waiting);
    w.replica_ready(0, replica(0, 1));
    CHECK(w.state(0) == TaskState::waiting);
    w.replica_ready(0, replica(1, 0));
    CHECK(w.state(0) == TaskState::running);
    t.id = "late";
    w.submit(t);
    CHECK(w.state(1) == TaskState::running);
  }

  TEST_CASE("a task that comes while a service has no ready replica waits for the next one") {
    World w;
    w.declare(service("a"));
    w.nodes(1, 8);
    w.start();
    w.replica_ready(0, replica(0, 0));
    w.replica_ended(0, replica(0, 0), "crashed");
    TaskDescription t = task("t");
    t.services = {"a"};
    w.submit(t);
    CHECK(w.state(0) == TaskState::waiting);
    w.pilot.on_time(second);
    w.replica_ready(0, replica(0, 0, 1));
    CHECK(w.state(0) == TaskState::running);
  }

  TEST_CASE("a remote service needs no replica") {
    World w;
    ServiceDescription s;
    s.name = "gpt";
    s.remote = {{.url = "https://example.org"}};
    w.declare(s);
    TaskDescription t = task("t");
    t.services = {"gpt"};
    w.submit(t);
    w.nodes(1, 1);
    w.out.take();
    w.start();
    CHECK(w.out.take() == Lines{"publish: s0 home 0 []", "log: task 0 ready", "log: t0.0 placed on 0 x1",
                                "to 0: start t0.0 ranks 0-0"});
  }

  TEST_CASE("a replica that ends is started again, each time after twice the backoff") {
    World w;
    ServiceDescription s = service("s");
    s.restart_max = 2;
    s.restart_backoff = std::chrono::seconds(1);
    w.declare(s);
    w.nodes(1, 1);
    w.start();
    w.replica_ready(0, replica(0, 0));
    w.out.take();
    w.replica_ended(0, replica(0, 0), "out of memory");
    CHECK(w.out.take() ==
          Lines{"log: s0.0.0 ended on 0: out of memory",
                "log: warning: service s: replica 0 is started again in 1s (restart 1 of 2): out of memory",
                "publish: s0 home 0 []"});
    REQUIRE(w.pilot.next_deadline() == second);
    w.now = second - 1;
    w.pilot.on_time(w.now);
    CHECK(w.out.take().empty());
    w.now = second;
    w.pilot.on_time(w.now);
    CHECK(w.out.take() == Lines{"log: s0.0.1 starting on 0", "to 0: start s0.0.1"});
    CHECK(!w.pilot.next_deadline());
    w.replica_ended(0, replica(0, 0, 1), "again");
    CHECK(w.out.take() == Lines{"log: s0.0.1 ended on 0: again", "publish: s0 home 0 []"});  // told once
    CHECK(w.pilot.next_deadline() == 3 * second);
    w.now = 3 * second;
    w.pilot.on_time(w.now);
    w.out.take();
    w.replica_ended(0, replica(0, 0, 2), "and again");
    CHECK(w.out.take() == Lines{"log: s0.0.2 failed on 0: and again",
                                "log: warning: service s failed, and is not started again: and again",
                                "publish: s0 home 0 dead []"});
    CHECK(!w.pilot.next_deadline());
  }

  TEST_CASE("a replica that was ready for long starts to count anew") {
    World w;
    ServiceDescription s = service("s");
    s.restart_max = 1;
    w.declare(s);
    w.nodes(1, 1);
    w.start();
    for (std::uint32_t life = 0; life < 5; ++life) {
      w.replica_ready(0, replica(0, 0, life));
      w.now += 60 * second;
      w.replica_ended(0, replica(0, 0, life), "crashed");
      REQUIRE(w.pilot.next_deadline() == w.now + second);
      w.now += second;
      w.pilot.on_time(w.now);
    }
    w.replica_ready(0, replica(0, 0, 5));
    w.out.take();
    w.replica_ended(0, replica(0, 0, 5), "at once");
    CHECK(w.out.take() == Lines{"log: s0.0.5 failed on 0: at once",
                                "log: warning: service s failed, and is not started again: at once",
                                "publish: s0 home 0 dead []"});
  }

  TEST_CASE("one failed replica is a warning, the last one fails the service, its tasks and the run") {
    World w;
    ServiceDescription s = service("s", 2);
    s.restart_max = 0;
    w.declare(s);
    TaskDescription t = task("t");
    t.services = {"s"};
    t.after = {"first"};
    w.submit(task("first"));
    w.submit(t);
    w.submit(task("behind", {"t"}));
    w.nodes(1, 4);
    w.start();
    w.out.take();
    w.replica_ended(0, replica(0, 0), "bad model file");
    CHECK(w.out.take() == Lines{"log: s0.0.0 failed on 0: bad model file",
                                "log: warning: service s: replica 0 failed and is not started again (1 of 2 go on): "
                                "bad model file",
                                "publish: s0 home 0 [s0.1.0@0 starting]"});
    w.replica_ended(0, replica(0, 1), "bad model file");
    CHECK(w.out.take() == Lines{"log: s0.1.0 failed on 0: bad model file",
                                "log: warning: service s failed, and is not started again: bad model file",
                                "log: task 1 skipped: it needs service s, which failed: bad model file",
                                "log: task 2 skipped: it comes after t, which was skipped",
                                "publish: s0 home 0 dead []"});
    t.id = "late";
    w.submit(t);
    CHECK(w.state(3) == TaskState::skipped);
    CHECK(w.state(0) == TaskState::running);
    w.pilot.close(0);
    w.end(0, 0);
    w.done(0);
    REQUIRE(w.pilot.finished());
    CHECK(w.pilot.result().code == ExitCode::failed);
    CHECK(w.pilot.result().reason == "service s failed: bad model file");
  }

  TEST_CASE("a service with remote endpoints goes on when its replicas have failed") {
    World w;
    ServiceDescription s = service("s");
    s.restart_max = 0;
    s.remote = {{.url = "https://example.org"}};
    w.declare(s);
    w.nodes(1, 4);
    w.start();
    w.out.take();
    w.replica_ended(0, replica(0, 0), "crashed");
    CHECK(w.out.take() == Lines{"log: s0.0.0 failed on 0: crashed",
                                "log: warning: service s: replica 0 failed and is not started again (its remote "
                                "endpoints go on): crashed",
                                "publish: s0 home 0 []"});
  }

  TEST_CASE("lives of a former run keep their numbers: the next one comes after them") {
    World w;
    w.nodes(1, 2);
    WorkflowDescription workflow;
    workflow.services.push_back(service("web", 2));
    REQUIRE(w.pilot.submit_all(std::move(workflow)));
    w.pilot.continue_lives("web", {3});
    w.pilot.continue_lives("nobody", {1});
    w.out.take();
    w.start();
    const Lines lines = w.out.take();
    CHECK(std::count(lines.begin(), lines.end(), "to 0: start s0.0.3") == 1);
    CHECK(std::count(lines.begin(), lines.end(), "to 0: start s0.1.0") == 1);
  }

  TEST_CASE("replicas and home of a lost node move to another") {
    World w;
    w.declare(service("zero"));
    w.declare(service("one"));
    w.nodes(2, 4);
    w.start();
    w.replica_ready(1, replica(1, 0));
    w.out.take();
    w.pilot.on_node_lost(1, "gone", 0);
    CHECK(w.out.take() == Lines{"log: node 1 lost: gone", "log: s1.0.0 ended on 1: node 1 was lost: gone",
                                "log: s1.0.1 starting on 0", "to 0: start s1.0.1",
                                "publish: s1 home 0 [s1.0.1@0 starting]"});
    w.replica_ended(1, replica(1, 0), "woke up");
    w.replica_ready(1, replica(1, 0));
    CHECK(w.out.take().empty());
  }

  TEST_CASE("a replica that moves waits for room, before any task") {
    World w;
    w.declare(service("s", 1, 2));
    w.nodes(2, 2);
    w.start();
    w.submit(task("a"));
    w.submit(task("b"));
    w.submit(task("c"));
    w.out.take();
    w.pilot.on_node_lost(0, "gone", 0);
    CHECK(w.out.take() == Lines{"log: node 0 lost: gone", "log: s0.0.0 ended on 0: node 0 was lost: gone",
                                "log: task 2 failed: task c can never run beside the services: it needs "
                                "1 core on one node; they leave at most 0 cores on a node",
                                "publish: s0 home 1 []"});
    w.end(1, 0);
    CHECK(w.out.take() == Lines{"log: t0.0 ended on 1 done", "log: task 0 done"});
    w.end(1, 1);
    CHECK(w.out.take() ==
          Lines{"log: t1.0 ended on 1 done", "log: task 1 done", "log: s0.0.1 starting on 1", "to 1: start s0.0.1"});
  }

  TEST_CASE("a replica for which no node has room any more fails") {
    World w;
    w.declare(service("s", 2, 2));
    w.nodes(2, 2);
    w.start();
    w.out.take();
    w.pilot.on_node_lost(0, "gone", 0);
    CHECK(w.out.take() == Lines{"log: node 0 lost: gone", "log: s0.0.0 ended on 0: node 0 was lost: gone",
                                "log: s0.0.0 failed on -1: node 0 was lost: gone; no other node has room for it",
                                "log: warning: service s: replica 0 failed and is not started again (1 of 2 go on): "
                                "node 0 was lost: gone; no other node has room for it",
                                "publish: s0 home 1 [s0.1.0@1 starting]"});
  }

  TEST_CASE("a service declared while the run goes on is started, if there is room for it and the tasks") {
    World w;
    w.nodes(1, 4);
    w.start();
    TaskDescription wide = task("wide");
    wide.per_rank.cores = 3;
    w.submit(wide);
    w.out.take();
    const auto too_large = w.pilot.declare(service("large", 1, 5), 0);
    REQUIRE(!too_large);
    CHECK(too_large.error().code == ExitCode::does_not_fit);
    CHECK(!w.pilot.declare(service("in_the_way", 2), 0));
    CHECK(w.out.take().empty());
    w.declare(service("s"));
    CHECK(w.out.take() == Lines{"log: service 0 declared as s", "publish: s0 home 0 []", "log: s0.0.0 starting on 0",
                                "to 0: start s0.0.0"});
  }

  TEST_CASE("a replica of the first ones that lost its node takes the place of one that only the load had asked for") {
    World w({.expected_nodes = 2});
    w.declare(service("a"));
    ServiceDescription b = service("b");
    b.replicas_max = 3;
    b.concurrency = 1;
    w.declare(b);
    w.nodes(2, 2);
    w.start();
    w.replica_ready(0, replica(0, 0));
    w.replica_ready(1, replica(1, 0));
    ServiceSample busy{.service = {1}, .queued = 5};
    w.pilot.on_message(0, busy, w.now);
    for (int i = 1; i < 3; ++i) {
      w.now += second;
      w.pilot.on_time(w.now);
    }
    w.replica_ready(0, replica(1, 1));
    w.replica_ready(1, replica(1, 2));
    w.out.take();
    w.pilot.on_node_lost(0, "silence", w.now);
    Lines orders;
    for (const std::string& line : w.out.take()) {
      if (line.starts_with("to ")) orders.push_back(line);
    }
    CHECK(orders == Lines{"to 1: stop s1.2.0"});
    w.replica_ended(1, replica(1, 2), "", Outcome::cancelled);
    CHECK(w.out.take().at(2) == "to 1: start s0.0.1");
  }

  TEST_CASE("nothing is started on a node that was lost, also while it may still run what it had") {
    World w({.expected_nodes = 2});
    w.declare(service("s", 2));
    w.nodes(2, 2);
    w.start();
    w.replica_ready(0, replica(0, 0));
    w.replica_ended(1, replica(0, 1), "crashed");
    w.out.take();
    w.pilot.on_node_lost(1, "silence", w.now, 20 * second);
    w.now = 10 * second;
    w.pilot.on_time(w.now);
    CHECK(w.out.take() == Lines{"log: node 1 lost: silence"});
    w.now = 20 * second;
    w.pilot.on_time(w.now);
    CHECK(w.out.take().at(1) == "to 0: start s0.1.1");
  }

  TEST_CASE("an uptime is that of replicas: remote endpoints keep no run up") {
    for (const bool has_replica : {false, true}) {
      CAPTURE(has_replica);
      World w;
      ServiceDescription s;
      if (has_replica) s = service("s");
      s.name = "s";
      s.uptime = std::chrono::hours(1);
      s.restart_max = 0;
      s.remote = {{.url = "https://example.org"}};
      WorkflowDescription flow;
      flow.services = {s};
      flow.tasks = {task("t")};
      REQUIRE(w.pilot.submit_all(flow));
      w.nodes(1, 2);
      w.start();
      w.pilot.close(w.now);
      if (has_replica) w.replica_ended(0, replica(0, 0), "no such model");
      w.end(0, 0);
      w.done(0);
      CHECK(w.pilot.finished());
      CHECK(w.pilot.result().code == ExitCode::done);
    }
  }

  TEST_CASE("several services come into a run that is on in any order, all or none") {
    World w;
    w.nodes(1, 3);
    w.start();
    ServiceDescription front = service("front");
    front.uses = {"back"};
    front.after = {"back"};
    CHECK(w.pilot.declare({front, service("back", 3)}, w.now).error().code == ExitCode::does_not_fit);
    CHECK(!w.pilot.find_service("front"));
    w.out.take();
    REQUIRE(w.pilot.declare({front, service("back", 2)}, w.now).ok());
    const Lines said = w.out.take();
    CHECK(std::count_if(said.begin(), said.end(), [](const auto& line) { return line.starts_with("to 0: start"); }) ==
          2);
    w.replica_ready(0, replica(1, 0));
    CHECK(w.out.take().at(2) == "to 0: start s0.0.0");
  }

  TEST_CASE("a service is refused that would come after one which never got ready and never will") {
    World w;
    ServiceDescription a = service("a");
    a.restart_max = 0;
    w.declare(a);
    w.nodes(1, 4);
    w.start();
    ServiceDescription b = service("b");
    b.after = {"a"};
    w.replica_ended(0, replica(0, 0), "no such model");
    CHECK(!w.pilot.declare(b, w.now).ok());
    CHECK(!w.pilot.restart_service("a", w.now).ok());
  }

  TEST_CASE("a model is in one service at a time") {
    World w;
    ServiceDescription a = service("a");
    a.api = ServiceApi::openai;
    a.models = {{.name = "m"}};
    w.declare(a);
    w.nodes(1, 4);
    w.start();
    ServiceDescription b = a;
    b.name = "b";
    CHECK(w.pilot.declare(b, w.now).error().what == "the model m is in service a already");
    REQUIRE(w.pilot.stop_service("a", w.now));
    CHECK(w.pilot.declare(b, w.now).ok());
  }

  TEST_CASE("wrong services are refused") {
    World w;
    w.declare(service("s"));
    CHECK(!w.pilot.declare(service("s"), 0));
    CHECK(!w.pilot.declare(service("none", 0), 0));
    ServiceDescription uses = service("u");
    uses.uses = {"nobody"};
    CHECK(!w.pilot.declare(uses, 0));
  }

  TEST_CASE("samples of requests are passed on to the log") {
    World w;
    w.nodes(1, 1);
    w.out.take();
    w.pilot.on_message(0, ServiceSample{.service = {0}, .requests = 5, .replicas = {}}, 0);
    CHECK(w.out.take() == Lines{"log: requests 5 at 0"});
  }
}

TEST_CASE("a service is stopped while the run goes on: replicas drain, waiting tasks are skipped, nothing has failed") {
  World world;
  world.nodes(1, 4);
  const ServiceIndex llama = world.declare(service("llama"));
  TaskDescription asks = task("asks");
  asks.services = {"llama"};
  world.submit(asks);
  world.submit(task("other"));
  world.start();
  world.pilot.close(world.now);
  world.out.take();
  REQUIRE(world.pilot.stop_service("llama", world.now));
  CHECK(world.out.take() == Lines{"log: s0.0.0 draining on 0", "to 0: stop s0.0.0",
                                  "log: task 0 skipped: it needs service llama, which is over: it was stopped",
                                  "publish: s0 home 0 dead [s0.0.0@0 draining]"});
  CHECK_FALSE(world.pilot.stop_service("nobody", world.now).ok());
  REQUIRE(world.pilot.stop_service("llama", world.now));
  CHECK(world.out.take().empty());
  world.replica_ended(0, {llama, 0, 0}, "", Outcome::cancelled);
  world.end(0, 1);
  world.done(0);
  CHECK(world.pilot.finished());
  CHECK(world.pilot.result().state == RunState::done);
}
