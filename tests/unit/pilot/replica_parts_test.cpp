// Replicas of several ranks: a part on each node that holds some of them, one life for all.
#include "harness.hpp"

using namespace trireme;
using namespace trireme::pilot;
using namespace trireme::pilot::test;

namespace {

/// Two replicas of four ranks, on four nodes of two cores.
ServiceDescription wide(std::uint32_t replicas = 2) {
  ServiceDescription s = service("sim", replicas);
  s.ranks = 4;
  s.restart_max = 1;
  s.restart_backoff = std::chrono::seconds(1);
  return s;
}

struct WideWorld : World {
  explicit WideWorld(std::uint32_t replicas = 2, int nodes_there = 4)
      : World({.expected_nodes = static_cast<std::uint32_t>(nodes_there)}) {
    declare(wide(replicas));
    nodes(nodes_there, 2);
    out.take();
    start();
  }
};

}  // namespace

TEST_SUITE("parts of replicas") {
  TEST_CASE("each node is told its ranks, and the replica is ready where its rank 0 is") {
    WideWorld w;
    CHECK(w.out.take() == Lines{"publish: s0 home 0 []", "log: s0.0.0 starting on 0 (2@0, 2@1)",
                                "to 0: start s0.0.0 ranks 0-1 of 0-1@0, 2-3@1",
                                "to 1: start s0.0.0 ranks 2-3 of 0-1@0, 2-3@1", "log: s0.1.0 starting on 2 (2@2, 2@3)",
                                "to 2: start s0.1.0 ranks 0-1 of 0-1@2, 2-3@3",
                                "to 3: start s0.1.0 ranks 2-3 of 0-1@2, 2-3@3"});
    w.replica_ready(1, replica(0, 0));  // nobody asks there
    CHECK(w.out.take().empty());
    w.replica_ready(0, replica(0, 0));
    CHECK(w.out.take() ==
          Lines{"log: s0.0.0 ready on 0 at 127.0.0.1:4711", "publish: s0 home 0 [s0.0.0@0 ready, s0.1.0@2 starting]"});
  }

  TEST_CASE("one that loses a rank is closed to requests, ended everywhere, and started again when all is gone") {
    WideWorld w(1);
    w.replica_ready(0, replica(0, 0));
    w.out.take();
    w.replica_ended(1, replica(0, 0), "rank 3: exit code 9");
    CHECK(w.out.take() == Lines{"to 0: stop s0.0.0 at once", "publish: s0 home 0 [s0.0.0@0 draining]"});
    w.replica_ended(0, replica(0, 0), "stopped on request", Outcome::cancelled);
    CHECK(w.out.take() == Lines{"log: s0.0.0 ended on 0: rank 3: exit code 9",
                                "log: warning: service sim: replica 0 is started again in 1s (restart 1 of 1): rank 3: "
                                "exit code 9",
                                "publish: s0 home 0 []"});
    w.now = second;
    w.pilot.on_time(w.now);
    CHECK(w.out.take() == Lines{"log: s0.0.1 starting on 0 (2@0, 2@1)", "to 0: start s0.0.1 ranks 0-1 of 0-1@0, 2-3@1",
                                "to 1: start s0.0.1 ranks 2-3 of 0-1@0, 2-3@1"});
    // What is said of the former life is of no interest.
    w.replica_ended(1, replica(0, 0), "again");
    CHECK(w.out.take().empty());
  }

  TEST_CASE("a start that fails on one node ends the others, and no readiness comes after it") {
    WideWorld w(1);
    w.out.take();
    w.replica_ended(1, replica(0, 0), "rank 2: exit code 1");
    CHECK(w.out.take() == Lines{"to 0: stop s0.0.0 at once", "publish: s0 home 0 [s0.0.0@0 draining]"});
    w.replica_ready(0, replica(0, 0));
    CHECK(w.out.take().empty());
  }

  TEST_CASE("rank 0 drains first, and the others are told to end after it") {
    WideWorld w(1);
    w.replica_ready(0, replica(0, 0));
    w.out.take();
    REQUIRE(w.pilot.stop_service("sim", w.now).ok());
    CHECK(w.out.take() ==
          Lines{"log: s0.0.0 draining on 0", "to 0: stop s0.0.0", "publish: s0 home 0 dead [s0.0.0@0 draining]"});
    w.replica_ended(0, replica(0, 0), "stopped on request", Outcome::cancelled);
    CHECK(w.out.take() == Lines{"to 1: stop s0.0.0 at once", "publish: s0 home 0 dead []"});
    w.replica_ended(1, replica(0, 0), "stopped on request", Outcome::cancelled);
    CHECK(w.out.take() == Lines{"log: s0.0.0 ended on 0", "publish: s0 home 0 dead []"});
  }

  TEST_CASE("a lost node ends the ranks elsewhere, and the replica moves without counting it as a restart") {
    WideWorld w(1, 3);
    w.replica_ready(0, replica(0, 0));
    w.out.take();
    w.pilot.on_node_lost(1, "silence", w.now, 5 * second);
    CHECK(w.out.take() ==
          Lines{"log: node 1 lost: silence", "to 0: stop s0.0.0 at once", "publish: s0 home 0 [s0.0.0@0 draining]"});
    w.replica_ended(0, replica(0, 0), "stopped on request", Outcome::cancelled);
    CHECK(w.out.take() == Lines{"publish: s0 home 0 []"});  // the lost node may still run its ranks
    w.now = 5 * second;
    w.pilot.on_time(w.now);
    CHECK(w.out.take() == Lines{"log: s0.0.0 ended on 0: node 1 was lost: silence",
                                "log: s0.0.1 starting on 0 (2@0, 2@2)", "to 0: start s0.0.1 ranks 0-1 of 0-1@0, 2-3@2",
                                "to 2: start s0.0.1 ranks 2-3 of 0-1@0, 2-3@2",
                                "publish: s0 home 0 [s0.0.1@0 starting]"});
  }

  TEST_CASE("a replica whose seats are not all free holds those that are, and no task comes between") {
    World w({.expected_nodes = 2});
    TaskDescription t = task("long");
    t.per_rank.cores = 2;
    w.submit(t);
    w.nodes(2, 3);
    w.start();
    w.out.take();
    w.declare(wide(1));
    CHECK(w.out.take() == Lines{"log: service 0 declared as sim", "publish: s0 home 0 []"});
    w.end(0, 0);
    CHECK(w.out.take() == Lines{"log: t0.0 ended on 0 done", "log: task 0 done", "log: s0.0.0 starting on 0 (3@0, 1@1)",
                                "to 0: start s0.0.0 ranks 0-2 of 0-2@0, 3-3@1",
                                "to 1: start s0.0.0 ranks 3-3 of 0-2@0, 3-3@1"});
  }

  TEST_CASE("in a rolling restart all ranks of a replica end before any of its next life starts") {
    WideWorld w(1);
    w.replica_ready(0, replica(0, 0));
    w.out.take();
    REQUIRE(w.pilot.restart_service("sim", w.now).ok());
    w.replica_ended(0, replica(0, 0), "stopped on request", Outcome::cancelled);
    w.out.take();
    w.replica_ended(1, replica(0, 0), "stopped on request", Outcome::cancelled);
    CHECK(w.out.take() == Lines{"log: s0.0.0 ended on 0", "log: s0.0.1 starting on 0 (2@0, 2@1)",
                                "to 0: start s0.0.1 ranks 0-1 of 0-1@0, 2-3@1",
                                "to 1: start s0.0.1 ranks 2-3 of 0-1@0, 2-3@1",
                                "publish: s0 home 0 [s0.0.1@0 starting]"});
  }
}
