#include "pilot/autoscaler.hpp"

#include <algorithm>
#include <deque>
#include <random>
#include <vector>

#include "harness.hpp"

using namespace trireme;
using namespace trireme::pilot;
using namespace trireme::pilot::test;

namespace {

constexpr ScalingLimits limits{.min = 1, .max = 8, .concurrency = 4, .cooldown = std::chrono::seconds(10)};

ServiceDescription scaled(std::string name, std::uint32_t min, std::uint32_t max, std::int32_t priority = 0) {
  ServiceDescription s = service(std::move(name), min);
  s.replicas_max = max;
  s.concurrency = 1;
  s.cooldown = std::chrono::seconds(10);
  s.priority = priority;
  return s;
}

/// So many requests wait for a service, and so many are worked on by each of its replicas.
void load(World& w, std::uint32_t service, std::uint32_t queued, const std::vector<std::uint32_t>& active = {0}) {
  ServiceSample sample{.service = {service}, .queued = queued};
  for (std::uint32_t i = 0; i < active.size(); ++i) sample.loads.push_back({.replica = i, .active = active[i]});
  w.pilot.on_message(0, sample, w.now);
}

/// Time goes on; what was said meanwhile.
Lines wait(World& w, MonoTime time) {
  w.out.take();
  w.now += time;
  w.pilot.on_time(w.now);
  return w.out.take();
}

}  // namespace

TEST_SUITE("autoscaler") {
  TEST_CASE("replicas are added once requests have waited, to what is needed, at most twice as many") {
    ScalingHistory history;
    ServiceLoad load{.queued = 40, .active = 4, .ready = 1, .replicas = 1};
    const ScalingDecision first = decide_scale(limits, load, history, 0);
    CHECK(first.replicas == 1);
    CHECK(first.again == second);
    CHECK(decide_scale(limits, load, history, second - 1).replicas == 1);
    CHECK(decide_scale(limits, load, history, second).replicas == 2);
    load.replicas = 2;
    CHECK(decide_scale(limits, load, history, 2 * second - 1).replicas == 2);
    CHECK(decide_scale(limits, load, history, 2 * second).replicas == 4);
    load = {.queued = 1, .active = 16, .ready = 4, .replicas = 4};
    decide_scale(limits, load, history, 3 * second);
    CHECK(decide_scale(limits, load, history, 4 * second).replicas == 5);
    load.queued = 1000;
    load.replicas = 8;
    CHECK(decide_scale(limits, load, history, 99 * second).replicas == 8);
  }

  TEST_CASE("a burst that is over within a second adds nothing, nor does a service that was never ready") {
    ScalingHistory history;
    decide_scale(limits, {.queued = 40, .ready = 1, .replicas = 1}, history, 0);
    decide_scale(limits, {.queued = 0, .ready = 1, .replicas = 1}, history, second / 2);
    CHECK(decide_scale(limits, {.queued = 40, .ready = 1, .replicas = 1}, history, second).replicas == 1);
    ScalingHistory other;
    for (int i = 0; i < 5; ++i) {
      CHECK(decide_scale(limits, {.queued = 40, .ready = 0, .replicas = 1}, other, i * second).replicas == 1);
    }
  }

  TEST_CASE("replicas are ended after a whole cool-down, down to the most that was needed within it") {
    ScalingHistory history;
    CHECK(decide_scale(limits, {.active = 2, .ready = 6, .replicas = 6}, history, 0).again == 10 * second);
    decide_scale(limits, {.active = 12, .ready = 6, .replicas = 6}, history, 5 * second);
    const ScalingDecision down = decide_scale(limits, {.ready = 6, .replicas = 6}, history, 10 * second);
    CHECK(down.replicas == 3);
    CHECK(down.again == 20 * second);
    CHECK(decide_scale(limits, {.ready = 3, .replicas = 3}, history, 20 * second).replicas == 1);
    // What is needed in between begins the cool-down anew.
    decide_scale(limits, {.active = 12, .ready = 3, .replicas = 3}, history, 30 * second);
    CHECK(decide_scale(limits, {.ready = 3, .replicas = 3}, history, 35 * second).again == 45 * second);
    decide_scale(limits, {.active = 12, .ready = 3, .replicas = 3}, history, 40 * second);
    CHECK(decide_scale(limits, {.ready = 3, .replicas = 3}, history, 46 * second).replicas == 3);
  }

  TEST_CASE("a load that falls in steps is followed one cool-down after each step") {
    ScalingHistory history;
    ServiceLoad load{.ready = 6, .replicas = 6};
    const auto at = [&](MonoTime time, std::uint64_t active) {
      load.active = active;
      load.replicas = load.ready = decide_scale(limits, load, history, time).replicas;
      return load.replicas;
    };
    CHECK(at(0, 24) == 6);
    CHECK(at(2 * second, 16) == 6);  // four are needed, …
    CHECK(at(4 * second, 8) == 6);   // … two, …
    CHECK(at(6 * second, 0) == 6);   // … none
    CHECK(at(12 * second - 1, 0) == 6);
    CHECK(at(12 * second, 0) == 4);
    CHECK(at(14 * second, 0) == 2);
    CHECK(at(16 * second - 1, 0) == 2);
    CHECK(at(16 * second, 0) == 1);
  }

  TEST_CASE("what was needed just before a load has fallen for good keeps no replica for a second cool-down") {
    ScalingHistory history;
    // Four replicas of which three or four are needed, then one.
    for (MonoTime time = 0; time < 20; ++time) {
      decide_scale(limits, {.active = time % 3 == 0 ? 14U : 10U, .ready = 4, .replicas = 4}, history, time * second);
    }
    for (MonoTime time = 20; time < 28; ++time) {
      CHECK(decide_scale(limits, {.active = 1, .ready = 4, .replicas = 4}, history, time * second).replicas == 4);
    }
    const ScalingDecision first = decide_scale(limits, {.active = 1, .ready = 4, .replicas = 4}, history, 29 * second);
    CHECK(first.replicas == 3);
    CHECK(first.again == 30 * second);
    CHECK(decide_scale(limits, {.active = 1, .ready = 3, .replicas = 3}, history, 30 * second).replicas == 1);
  }

  TEST_CASE("a load that goes over the edge of some replicas now and then soon keeps the one more that it needs") {
    ScalingHistory history;
    ServiceLoad load{.ready = 3, .replicas = 3};
    int added = 0;
    const auto at = [&](MonoTime time, std::uint64_t demand) {
      const std::uint64_t room = std::uint64_t{load.replicas} * limits.concurrency;
      load.active = std::min(demand, room);
      load.queued = demand - load.active;
      const std::uint32_t now = decide_scale(limits, load, history, time).replicas;
      if (now > load.replicas) ++added;
      load.replicas = load.ready = now;
    };
    // Three are enough for 13 seconds, then four are needed for two; the cool-down is 10 seconds.
    MonoTime time = 0;
    for (; time < 15 * 40; ++time) at(time * second, time % 15 >= 13 ? 14 : 10);
    CHECK(added == 2);
    CHECK(load.replicas == 4);
    // It falls for good: one cool-down later as many are ended as ever.
    for (const MonoTime fall = time; time < fall + 10; ++time) at(time * second, 1);
    CHECK(load.replicas == 4);
    at(time * second, 1);
    CHECK(load.replicas == 1);
  }

  TEST_CASE(
      "whatever the load does, no replica is ended that was needed within the cool-down, and a fall is followed") {
    std::mt19937 random(7);
    for (int run = 0; run < 300; ++run) {
      const auto below = [&random](std::uint32_t most) { return static_cast<std::uint32_t>(random() % most); };
      const ScalingLimits some{.min = 1 + below(3),
                               .max = 3 + below(8),
                               .concurrency = 1 + below(8),
                               .cooldown = std::chrono::seconds(random() % 12)};
      ScalingHistory history;
      ServiceLoad load{.ready = some.min, .replicas = some.min};
      std::deque<std::uint32_t> needs;  // one a second, of the last cool-down
      MonoTime time = 0;
      std::uint64_t demand = 0;
      for (; time < 400; ++time) {
        if (random() % 4 == 0) demand = random() % (std::uint64_t{some.max} * some.concurrency + 5);
        if (time > 350) demand = 0;
        load.active = std::min(demand, std::uint64_t{load.replicas} * some.concurrency);
        load.queued = demand - load.active;
        const std::uint64_t need = (demand + some.concurrency - 1) / some.concurrency;
        needs.push_back(static_cast<std::uint32_t>(std::clamp<std::uint64_t>(need, some.min, some.max)));
        const auto window = static_cast<std::size_t>(some.cooldown / std::chrono::seconds(1));
        while (needs.size() > std::max<std::size_t>(window, 1)) needs.pop_front();
        const std::uint32_t now = decide_scale(some, load, history, time * second).replicas;
        REQUIRE(now >= some.min);
        REQUIRE(now <= some.max);
        REQUIRE(history.needs.size() <= some.max + 1);
        if (now < load.replicas) REQUIRE(now >= *std::max_element(needs.begin(), needs.end()));
        load.replicas = load.ready = now;
      }
      // Nothing was asked of it for 49 seconds.
      REQUIRE(load.replicas == some.min);
    }
  }

  TEST_CASE("the replica that is least busy is drained") {
    World w;
    w.declare(scaled("s", 1, 3));
    w.nodes(1, 4);
    w.start();
    w.replica_ready(0, replica(0, 0));
    load(w, 0, 5, {1});
    wait(w, second);
    w.replica_ready(0, replica(0, 1));
    load(w, 0, 5, {1, 1});
    wait(w, second);
    w.replica_ready(0, replica(0, 2));
    load(w, 0, 0, {1, 0, 1});
    const Lines lines = wait(w, 10 * second);
    REQUIRE(!lines.empty());
    CHECK(lines.front() == "log: s0.1.0 draining on 0");
  }

  TEST_CASE("a service fails with its last replica, though one that is not needed any more still drains") {
    World w;
    ServiceDescription s = scaled("s", 1, 2);
    s.restart_max = 0;
    w.declare(s);
    TaskDescription t = task("t", {"first"});
    t.services = {"s"};
    w.submit(task("first"));
    w.submit(t);
    w.nodes(1, 4);
    w.start();
    w.replica_ready(0, replica(0, 0));
    load(w, 0, 5, {1});
    wait(w, second);
    w.replica_ready(0, replica(0, 1));
    load(w, 0, 0, {1, 0});
    REQUIRE(wait(w, 10 * second).front() == "log: s0.1.0 draining on 0");
    w.replica_ended(0, replica(0, 0), "crashed");
    CHECK(w.state(1) == TaskState::skipped);
    w.replica_ended(0, replica(0, 1), "", Outcome::cancelled);
    w.pilot.close(w.now);
    w.end(0, 0);
    w.done(0);
    REQUIRE(w.pilot.finished());
    CHECK(w.pilot.result().reason == "service s failed: crashed");
  }

  TEST_CASE("what a node says of a replica that it has no more does not count") {
    World w({.expected_nodes = 2});
    w.declare(scaled("s", 1, 2));
    w.nodes(2, 4);
    w.start();
    w.replica_ready(0, replica(0, 0));
    load(w, 0, 5, {1});
    REQUIRE(wait(w, second).front() == "log: s0.1.0 starting on 1");
    w.replica_ready(1, replica(0, 1));
    w.pilot.on_message(1, ServiceSample{.service = {0}, .loads = {{.replica = 1, .active = 1}}}, w.now);
    load(w, 0, 0, {1, 0});
    CHECK(wait(w, 30 * second).empty());
  }

  TEST_CASE("a queue adds a replica, its end drains one, and the number is used again") {
    World w;
    w.declare(scaled("s", 1, 2));
    w.nodes(1, 4);
    w.start();
    w.replica_ready(0, replica(0, 0));
    load(w, 0, 5, {1});
    CHECK(wait(w, second) == Lines{"log: s0.1.0 starting on 0", "to 0: start s0.1.0"});
    w.replica_ready(0, replica(0, 1));
    load(w, 0, 0, {0});
    CHECK(wait(w, 10 * second) == Lines{"log: s0.1.0 draining on 0", "to 0: stop s0.1.0 unhurried",
                                        "publish: s0 home 0 [s0.0.0@0 ready, s0.1.0@0 draining]"});
    w.replica_ended(0, replica(0, 1), "", Outcome::cancelled);
    CHECK(w.out.take() == Lines{"log: s0.1.0 ended on 0", "publish: s0 home 0 [s0.0.0@0 ready]"});
    load(w, 0, 5, {1});
    CHECK(wait(w, second).front() == "log: s0.1.1 starting on 0");
  }

  TEST_CASE("a replica is not added while a task of higher priority waits, and before one of lower priority") {
    for (const std::int32_t priority : {-1, 0, 1}) {
      CAPTURE(priority);
      World w;
      w.declare(scaled("s", 1, 2, priority));
      for (const char* id : {"a", "b"}) w.submit(task(id));
      w.nodes(1, 2);
      w.start();
      w.replica_ready(0, replica(0, 0));
      load(w, 0, 5, {1});
      wait(w, second);
      REQUIRE(w.state(0) == TaskState::running);
      REQUIRE(w.state(1) == TaskState::ready);
      w.end(0, 0);
      // One core is left for tasks in any case: no second seat leaves them one on this node.
      CHECK(w.state(1) == TaskState::running);
    }
    for (const std::int32_t priority : {-1, 1}) {
      CAPTURE(priority);
      World w;
      w.declare(scaled("s", 1, 2, priority));
      for (const char* id : {"a", "b", "c"}) w.submit(task(id));
      w.nodes(1, 3);
      w.start();
      w.replica_ready(0, replica(0, 0));
      load(w, 0, 5, {1});
      wait(w, second);
      w.out.take();
      w.end(0, 0);
      CHECK(w.state(2) == (priority < 0 ? TaskState::running : TaskState::ready));
      CHECK(w.out.take().back() == std::string(priority < 0 ? "to 0: start t2.0 ranks 0-0" : "to 0: start s0.1.0"));
    }
  }

  TEST_CASE("a task that fits only beside the first replicas makes the others drain") {
    World w;
    w.declare(scaled("s", 1, 3));
    w.nodes(1, 3);
    w.start();
    w.replica_ready(0, replica(0, 0));
    load(w, 0, 5, {1});
    wait(w, second);
    w.replica_ready(0, replica(0, 1));
    load(w, 0, 5, {2});
    wait(w, second);
    w.replica_ready(0, replica(0, 2));
    w.out.take();
    TaskDescription large = task("large");
    large.per_rank.cores = 2;
    w.submit(large);
    CHECK(w.state(0) == TaskState::ready);
    w.replica_ended(0, replica(0, 1), "", Outcome::cancelled);
    w.replica_ended(0, replica(0, 2), "", Outcome::cancelled);
    CHECK(w.state(0) == TaskState::running);
  }

  TEST_CASE("a lost node takes what the load had asked for, and no service fails by that") {
    World w({.expected_nodes = 2});
    w.declare(scaled("s", 1, 2));
    w.nodes(2, 1);
    w.start();
    w.replica_ready(0, replica(0, 0));
    load(w, 0, 5, {1});
    CHECK(wait(w, second).front() == "log: s0.1.0 starting on 1");
    w.replica_ready(1, replica(0, 1));
    w.pilot.on_node_lost(1, "gone", w.now);
    w.pilot.close(w.now);
    w.replica_ended(0, replica(0, 0), "", Outcome::cancelled);
    w.done(0);
    CHECK(w.pilot.finished());
    CHECK(w.pilot.result().code == ExitCode::done);
  }
}

TEST_SUITE("lives of services") {
  TEST_CASE("services start in order of priority, and those that come after others when these are ready") {
    World w;
    ServiceDescription late = service("late");
    late.after = {"early"};
    late.priority = 9;
    WorkflowDescription flow;
    flow.services = {late, service("low"), service("early")};
    flow.services[1].priority = -1;
    REQUIRE(w.pilot.submit_all(flow));
    w.nodes(1, 3);
    w.start();
    Lines starts;
    for (const std::string& line : w.out.take()) {
      if (line.starts_with("to ")) starts.push_back(line);
    }
    CHECK(starts == Lines{"to 0: start s2.0.0", "to 0: start s1.0.0"});
    w.replica_ready(0, replica(2, 0));
    CHECK(w.out.take()[1] == "log: s0.0.0 starting on 0");
  }

  TEST_CASE("a service that comes after one that never gets ready fails with it, and the run ends") {
    World w;
    WorkflowDescription flow;
    flow.services = {service("a"), service("b")};
    flow.services[0].restart_max = 0;
    flow.services[1].after = {"a"};
    REQUIRE(w.pilot.submit_all(flow));
    w.nodes(1, 2);
    w.start();
    w.pilot.close(w.now);
    w.replica_ended(0, replica(0, 0), "no such model");
    w.done(0);
    REQUIRE(w.pilot.finished());
    CHECK(w.pilot.result().reason == "service a failed: no such model");
  }

  TEST_CASE("services that start after each other are refused") {
    World w;
    WorkflowDescription flow;
    flow.services = {service("a"), service("b")};
    flow.services[0].after = {"b"};
    flow.services[1].after = {"a"};
    CHECK(!w.pilot.submit_all(flow).ok());
  }

  TEST_CASE("a service is kept for its uptime, from when it is ready, and the run with it") {
    World w;
    WorkflowDescription flow;
    flow.services = {service("s")};
    flow.services[0].uptime = std::chrono::seconds(60);
    flow.tasks = {task("t")};
    REQUIRE(w.pilot.submit_all(flow));
    w.nodes(1, 2);
    w.start();
    w.pilot.close(w.now);
    w.end(0, 0);
    w.now = 7 * second;
    w.replica_ready(0, replica(0, 0));
    CHECK(w.pilot.next_deadline() == 67 * second);
    CHECK(wait(w, 59 * second).empty());
    CHECK(wait(w, second).at(1) == "to 0: stop s0.0.0");
    w.replica_ended(0, replica(0, 0), "", Outcome::cancelled);
    w.done(0);
    REQUIRE(w.pilot.finished());
    CHECK(w.pilot.result().code == ExitCode::done);
  }

  TEST_CASE("a run that leaves tasks out because the uptime of their service is over has failed") {
    World w;
    WorkflowDescription flow;
    flow.services = {service("s")};
    flow.services[0].uptime = std::chrono::seconds(60);
    TaskDescription late = task("late", {"first"});
    late.services = {"s"};
    flow.tasks = {task("first"), late};
    REQUIRE(w.pilot.submit_all(flow));
    w.nodes(1, 2);
    w.start();
    w.pilot.close(w.now);
    w.replica_ready(0, replica(0, 0));
    wait(w, 60 * second);
    w.replica_ended(0, replica(0, 0), "", Outcome::cancelled);
    w.end(0, 0);
    w.done(0);
    REQUIRE(w.pilot.finished());
    CHECK(w.pilot.result().code == ExitCode::failed);
    CHECK(w.pilot.result().reason ==
          "task late was skipped: it needs service s, which is over: its uptime of 1m is over");
  }

  TEST_CASE("a workflow of services alone stays up until it is told to end, and is done then") {
    World w;
    WorkflowDescription flow;
    flow.services = {service("s")};
    REQUIRE(w.pilot.submit_all(flow));
    w.nodes(1, 2);
    w.start();
    w.pilot.close(w.now);
    w.replica_ready(0, replica(0, 0));
    w.out.take();
    CHECK(wait(w, 3600 * second).empty());
    w.pilot.drain("trireme stop", ExitCode::drained, w.now);
    CHECK(w.out.take().at(2) == "to 0: stop s0.0.0");
    w.replica_ended(0, replica(0, 0), "", Outcome::cancelled);
    w.done(0);
    REQUIRE(w.pilot.finished());
    CHECK(w.pilot.result().code == ExitCode::done);
  }

  TEST_CASE("a rolling restart takes one replica at a time, and the next when that is ready again") {
    World w;
    w.declare(service("s", 2));
    w.nodes(1, 2);
    w.start();
    for (const std::uint32_t i : {0, 1}) w.replica_ready(0, replica(0, i));
    w.out.take();
    REQUIRE(w.pilot.restart_service("s", w.now));
    CHECK(w.out.take() == Lines{"log: s0.0.0 draining on 0", "to 0: stop s0.0.0 unhurried",
                                "publish: s0 home 0 [s0.0.0@0 draining, s0.1.0@0 ready]"});
    w.replica_ended(0, replica(0, 0), "", Outcome::cancelled);
    CHECK(w.out.take() == Lines{"log: s0.0.0 ended on 0", "log: s0.0.1 starting on 0", "to 0: start s0.0.1",
                                "publish: s0 home 0 [s0.0.1@0 starting, s0.1.0@0 ready]"});
    w.replica_ready(0, replica(0, 0, 1));
    CHECK(w.out.take().at(1) == "log: s0.1.0 draining on 0");
    w.replica_ended(0, replica(0, 1), "", Outcome::cancelled);
    w.replica_ready(0, replica(0, 1, 1));
    w.out.take();
    CHECK(wait(w, second).empty());
  }

  TEST_CASE("a replica that drains for a restart has as long as its requests take, until its service is to end") {
    World w;
    w.declare(service("s", 2));
    w.nodes(1, 2);
    w.start();
    for (const std::uint32_t i : {0, 1}) w.replica_ready(0, replica(0, i));
    REQUIRE(w.pilot.restart_service("s", w.now));
    w.out.take();
    CHECK(wait(w, 3600 * second).empty());
    REQUIRE(w.pilot.stop_service("s", w.now));
    CHECK(w.out.take() == Lines{"to 0: stop s0.0.0", "log: s0.1.0 draining on 0", "to 0: stop s0.1.0",
                                "publish: s0 home 0 dead [s0.0.0@0 draining, s0.1.0@0 draining]"});
  }

  TEST_CASE("a rolling restart leaves the others alone when a replica does not come back") {
    World w;
    ServiceDescription s = service("s", 2);
    s.restart_max = 0;
    w.declare(s);
    w.nodes(1, 2);
    w.start();
    for (const std::uint32_t i : {0, 1}) w.replica_ready(0, replica(0, i));
    REQUIRE(w.pilot.restart_service("s", w.now));
    w.replica_ended(0, replica(0, 0), "", Outcome::cancelled);
    w.out.take();
    w.replica_ended(0, replica(0, 0, 1), "wrong version");
    const Lines lines = w.out.take();
    CHECK(std::count_if(lines.begin(), lines.end(), [](const auto& line) { return line.find("stop") < 20; }) == 0);
    CHECK(!w.pilot.restart_service("nobody", w.now).ok());
  }
}
