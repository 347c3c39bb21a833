#include "harness.hpp"

using namespace trireme;
using namespace trireme::pilot;
using namespace trireme::pilot::test;

namespace {

/// A started world of nodes with nothing said yet that a test would care for.
struct Started : World {
  explicit Started(int n, std::uint32_t cores, Options options = {}) : World(options) {
    nodes(n, cores);
    start();
    out.take();
  }
};

}  // namespace

TEST_SUITE("tasks") {
  TEST_CASE("a task is submitted, placed, started and done, and nothing else is said") {
    Started w(1, 2);
    w.submit(task("a"));
    CHECK(w.out.take() == Lines{"log: task 0 submitted as a", "log: task 0 ready", "log: t0.0 placed on 0 x1",
                                "to 0: start t0.0 ranks 0-0"});
    w.pilot.on_message(0, TaskStarted{.id = {TaskIndex{0}, 0}, .pid = 77, .time = 5, .cores = {0}, .gpus = {}}, 1);
    CHECK(w.out.take() == Lines{"log: t0.0 started on 0"});
    w.end(0, 0);
    CHECK(w.out.take() == Lines{"log: t0.0 ended on 0 done", "log: task 0 done"});
    CHECK(w.pilot.counts().done == 1);
    CHECK(w.pilot.counts().running == 0);
  }

  TEST_CASE("each node of an MPI task is told where all its ranks are") {
    Started w(2, 2);
    TaskDescription wide = task("wide");
    wide.ranks = 3;
    wide.mpi = MpiKind::automatic;
    w.submit(wide);
    const Lines lines = w.out.take();
    CHECK(std::count(lines.begin(), lines.end(), "to 0: start t0.0 ranks 0-1 of 0-1@0, 2-2@1") == 1);
    CHECK(std::count(lines.begin(), lines.end(), "to 1: start t0.0 ranks 2-2 of 0-1@0, 2-2@1") == 1);
  }

  TEST_CASE("a task starts when all that it comes after is done") {
    Started w(1, 4);
    w.submit(task("a"));
    w.submit(task("b"));
    w.submit(task("c", {"a", "b"}));
    w.out.take();
    w.end(0, 1);
    CHECK(w.out.take() == Lines{"log: t1.0 ended on 0 done", "log: task 1 done"});
    w.end(0, 0);
    CHECK(w.out.take() == Lines{"log: t0.0 ended on 0 done", "log: task 0 done", "log: task 2 ready",
                                "log: t2.0 placed on 0 x1", "to 0: start t2.0 ranks 0-0"});
  }

  TEST_CASE("a name stands for all its instances that were submitted before") {
    Started w(1, 8);
    TaskDescription one = task("train[1]");
    TaskDescription two = task("train[2]");
    TaskDescription three = task("train[3]");
    one.name = two.name = three.name = "train";
    w.submit(one);
    w.submit(two);
    w.submit(task("first", {"train"}));
    w.submit(three);
    w.submit(task("second", {"train"}));
    w.end(0, 0);
    w.end(0, 1);
    CHECK(w.state(2) == TaskState::running);
    CHECK(w.state(4) == TaskState::waiting);
    w.end(0, 3);
    CHECK(w.state(4) == TaskState::running);
    // All are done by now: who comes late waits for nothing.
    w.submit(task("third", {"train", "train[1]"}));
    CHECK(w.state(5) == TaskState::running);
  }

  TEST_CASE("a task may come after the instances of its own name") {
    Started w(1, 8);
    TaskDescription one = task("step[1]");
    TaskDescription two = task("step[2]", {"step"});
    one.name = two.name = "step";
    w.submit(one);
    w.submit(two);
    CHECK(w.state(1) == TaskState::waiting);
    w.end(0, 0);
    CHECK(w.state(1) == TaskState::running);
  }

  TEST_CASE("instances of one description are tasks like any other") {
    World w;
    TaskDescription many;
    many.name = "many";
    many.command = {Template::literal("true")};
    WorkflowDescription flow;
    flow.tasks = {task("last", {"many"}), TaskFamily(many, {{"i", VariableValues(0, 3)}}, false),
                  task("second", {"many[i=1]"})};
    REQUIRE(w.pilot.submit_all(flow));
    w.nodes(1, 8);
    w.start();
    CHECK(w.pilot.task_id({2}) == "many[i=1]");
    CHECK(w.pilot.find_task("many[i=2]")->value == 3);
    w.end(0, 2);
    CHECK(w.state(4) == TaskState::running);
    CHECK(w.state(0) == TaskState::waiting);
    for (const std::uint32_t index : {1u, 3u}) w.end(0, index);
    CHECK(w.state(0) == TaskState::running);
  }

  TEST_CASE("more tasks than can be numbered are refused, and nothing is added") {
    World w;
    TaskDescription many;
    many.name = "many";
    WorkflowDescription flow;
    flow.tasks = {task("a"), TaskFamily(many, {{"i", VariableValues(0, std::uint64_t{1} << 31)}}, false)};
    const Status status = w.pilot.submit_all(flow);
    REQUIRE(!status);
    CHECK(status.error().text() == "task many[i=0]: there are too many tasks (2147483647 at most)");
    CHECK(w.pilot.counts().total == 0);
  }

  TEST_CASE("the order in a workflow does not matter") {
    World w;
    WorkflowDescription flow;
    TaskDescription member = task("m[1]");
    member.name = "m";
    flow.tasks = {task("last", {"m", "first"}), member, task("first")};
    REQUIRE(w.pilot.submit_all(flow));
    w.nodes(1, 4);
    w.start();
    CHECK(w.state(0) == TaskState::waiting);
    w.end(0, 1);
    w.end(0, 2);
    CHECK(w.state(0) == TaskState::running);
  }

  TEST_CASE("wrong names are refused, and nothing is submitted") {
    Started w(1, 2);
    w.submit(task("a"));
    w.out.take();
    const auto twice = w.pilot.submit(task("a"), 0);
    REQUIRE(!twice);
    CHECK(twice.error().text() == "task a: there is already a task with this id (give each task an id of its own)");
    const auto unknown = w.pilot.submit(task("b", {"zzz"}), 0);
    REQUIRE(!unknown);
    CHECK(unknown.error().what == "it comes after zzz, but there is no such task");
    CHECK(unknown.error().code == ExitCode::usage);
    CHECK(!w.pilot.submit(task("self", {"self"}), 0));
    TaskDescription needy = task("c");
    needy.services = {"llama"};
    CHECK(!w.pilot.submit(needy, 0));
    CHECK(w.out.take().empty());
    CHECK(w.pilot.counts().total == 1);
  }

  TEST_CASE("tasks that wait for each other are named") {
    World w;
    WorkflowDescription flow;
    TaskDescription member = task("g[1]", {"c"});
    member.name = "g";
    flow.tasks = {task("a"), member, task("b", {"g", "a"}), task("c", {"b"}), task("d", {"c"})};
    const Status status = w.pilot.submit_all(flow);
    REQUIRE(!status);
    CHECK(status.error().code == ExitCode::usage);
    const std::string& text = status.error().what;
    for (const char* part : {"g[1]", "b", "c"}) CHECK(text.find(part) != std::string::npos);
    CHECK(text.find("which waits for a") == std::string::npos);
    CHECK(text.find("which waits for d") == std::string::npos);
  }

  TEST_CASE("a failed attempt is tried again while retries are left, then those behind are skipped") {
    Started w(1, 1);
    TaskDescription a = task("a");
    a.retries = 1;
    w.submit(a);
    w.submit(task("b", {"a"}));
    w.submit(task("c", {"b"}));
    w.submit(task("d"));
    w.out.take();
    w.fail(0, 0);
    CHECK(w.out.take() == Lines{"log: t0.0 ended on 0 failed", "log: task 0 ready", "log: t0.1 placed on 0 x1",
                                "to 0: start t0.1 ranks 0-0"});
    w.fail(0, 0, 1);
    CHECK(w.out.take() == Lines{"log: t0.1 ended on 0 failed", "log: task 0 failed: exit code 3",
                                "log: task 1 skipped: it comes after a, which failed",
                                "log: task 2 skipped: it comes after b, which was skipped because a failed",
                                "log: t3.0 placed on 0 x1", "to 0: start t3.0 ranks 0-0"});
    CHECK(w.pilot.counts().retried == 1);
    // Who comes later after what failed is skipped at once.
    w.submit(task("e", {"c"}));
    CHECK(w.out.take() ==
          Lines{"log: task 4 submitted as e", "log: task 4 skipped: it comes after c, which was skipped"});
  }

  TEST_CASE("one failed instance skips what comes after all of them") {
    Started w(1, 4);
    TaskDescription one = task("g[1]");
    TaskDescription two = task("g[2]");
    one.name = two.name = "g";
    w.submit(one);
    w.submit(two);
    w.submit(task("after", {"g"}));
    w.fail(0, 1);
    CHECK(w.state(2) == TaskState::skipped);
    w.end(0, 0);
    w.out.take();
    w.submit(task("late", {"g"}));
    CHECK(w.out.take() ==
          Lines{"log: task 3 submitted as late", "log: task 3 skipped: it comes after g[2], which failed"});
  }

  TEST_CASE("answers about attempts that are over change nothing") {
    Started w(2, 1);
    TaskDescription a = task("a");
    a.retries = 1;
    w.submit(a);
    w.fail(0, 0);
    w.out.take();
    w.end(0, 0, Outcome::done, 0);
    w.end(1, 0, Outcome::done, 1);
    w.end(0, 99);
    w.pilot.on_message(0, TaskStarted{.id = {TaskIndex{0}, 0}, .cores = {}, .gpus = {}}, 0);
    CHECK(w.out.take().empty());
    CHECK(w.state(0) == TaskState::running);
    w.end(0, 0, Outcome::done, 1);
    w.end(0, 0, Outcome::done, 1);
    CHECK(w.out.take() == Lines{"log: t0.1 ended on 0 done", "log: task 0 done"});
  }

  TEST_CASE("what is said together is dealt with in that order, and unknown tasks among it change nothing") {
    World w;
    w.nodes(1, 1);
    w.start();
    REQUIRE(w.pilot.submit(std::vector{task("a"), task("b")}, 0).ok());
    w.out.take();
    const TaskEnded unknown{.id = {TaskIndex{7}, 0}, .end = {}};
    const TaskEnded waits{.id = {TaskIndex{1}, 0}, .end = {}};
    const TaskEnded ends{.id = {TaskIndex{0}, 0}, .end = {}};
    w.pilot.on_messages(0, std::vector<FromAgent>{unknown, waits, ends, ends}, 0);
    CHECK(w.state(0) == TaskState::done);
    CHECK(w.state(1) == TaskState::running);
    CHECK(w.pilot.counts().done == 1);
    w.pilot.on_messages(5, std::vector<FromAgent>{waits}, 0);  // of a rank that there is not
    CHECK(w.state(1) == TaskState::running);
  }

  TEST_CASE("cancelling works in each state") {
    Started w(1, 1);
    w.submit(task("running"));
    w.submit(task("ready"));
    w.submit(task("waiting", {"ready"}));
    w.submit(task("behind", {"running"}));
    w.out.take();
    REQUIRE(w.pilot.cancel({2}, "asked", 0));
    CHECK(w.out.take() == Lines{"log: task 2 cancelled: asked"});
    REQUIRE(w.pilot.cancel({1}, "asked", 0));
    CHECK(w.out.take() == Lines{"log: task 1 cancelled: asked"});
    REQUIRE(w.pilot.cancel({0}, "asked", 0));
    CHECK(w.out.take() == Lines{"to 0: cancel t0.0: asked"});
    REQUIRE(w.pilot.cancel({0}, "asked again", 0));
    CHECK(w.out.take().empty());
    w.end(0, 0, Outcome::cancelled);
    CHECK(w.out.take() == Lines{"log: t0.0 ended on 0 cancelled", "log: task 0 cancelled: asked",
                                "log: task 3 skipped: it comes after running, which was cancelled"});
    REQUIRE(w.pilot.cancel({0}, "too late", 0));
    CHECK(w.out.take().empty());
    CHECK(!w.pilot.cancel({99}, "", 0));
  }

  TEST_CASE("a cancelled task that was done before the word arrived is done") {
    Started w(1, 1);
    w.submit(task("a"));
    REQUIRE(w.pilot.cancel({0}, "asked", 0));
    w.end(0, 0);
    CHECK(w.state(0) == TaskState::done);
  }

  TEST_CASE("the ranks of one attempt on several nodes start together and end together") {
    Started w(3, 4);
    TaskDescription mpi = task("mpi");
    mpi.ranks = 10;
    mpi.retries = 1;
    w.submit(mpi);
    CHECK(w.out.take() == Lines{"log: task 0 submitted as mpi", "log: task 0 ready", "log: t0.0 placed on 0 x4",
                                "to 0: start t0.0 ranks 0-3", "log: t0.0 placed on 1 x4", "to 1: start t0.0 ranks 4-7",
                                "log: t0.0 placed on 2 x2", "to 2: start t0.0 ranks 8-9"});
    w.end(0, 0);
    CHECK(w.out.take() == Lines{"log: t0.0 ended on 0 done"});
    w.fail(1, 0);
    CHECK(w.out.take() ==
          Lines{"log: t0.0 ended on 1 failed", "to 2: cancel t0.0: its part on node 1 ended: exit code 3"});
    w.end(2, 0, Outcome::cancelled);
    Lines said = w.out.take();
    REQUIRE(said.size() == 8);
    CHECK(said[0] == "log: t0.0 ended on 2 cancelled");
    CHECK(said[1] == "log: task 0 ready");
    w.fail(0, 0, 1);
    w.end(1, 0, Outcome::cancelled, 1);
    w.end(2, 0, Outcome::cancelled, 1);
    said = w.out.take();
    CHECK(said.back() == "log: task 0 failed: exit code 3");
  }

  TEST_CASE("a part that could not be started ends the attempt everywhere") {
    Started w(2, 2);
    TaskDescription mpi = task("mpi");
    mpi.ranks = 4;
    w.submit(mpi);
    w.out.take();
    w.end(0, 0, Outcome::failed, 0, 127);
    CHECK(w.out.take() ==
          Lines{"log: t0.0 ended on 0 failed", "to 1: cancel t0.0: its part on node 0 ended: exit code 127"});
    // The other part had ended well in the meantime: the attempt has failed all the same.
    w.end(1, 0);
    CHECK(w.out.take() == Lines{"log: t0.0 ended on 1 done", "log: task 0 failed: exit code 127"});
  }

  TEST_CASE("tasks of a lost node run elsewhere, and that uses up no retry") {
    Started w(2, 1, {.expected_nodes = 2});
    w.submit(task("a"));
    w.submit(task("b"));
    w.out.take();
    w.pilot.on_node_lost(1, "no heartbeat", 0);
    CHECK(w.out.take() == Lines{"log: node 1 lost: no heartbeat", "log: t1.0 ended on 1 lost", "log: task 1 ready"});
    w.end(1, 1);  // the lost node wakes up
    CHECK(w.out.take().empty());
    w.end(0, 0);
    CHECK(w.out.take() == Lines{"log: t0.0 ended on 0 done", "log: task 0 done", "log: t1.1 placed on 0 x1",
                                "to 0: start t1.1 ranks 0-0"});
  }

  TEST_CASE("a task that loses one node after another is given up") {
    Started w(5, 1);
    w.submit(task("unlucky"));
    for (Rank rank = 0; rank < 4; ++rank) {
      CHECK(w.state(0) == TaskState::running);
      w.pilot.on_node_lost(rank, "gone", 0);
    }
    CHECK(w.state(0) == TaskState::failed);
  }

  TEST_CASE("what a lost node had is started anew only once the node can do no harm any more") {
    Started w(2, 1, {.expected_nodes = 2});
    w.submit(task("a"));
    w.submit(task("b"));
    w.out.take();
    w.pilot.on_node_lost(1, "frozen", 1 * second, 20 * second);
    CHECK(w.out.take() == Lines{"log: node 1 lost: frozen"});
    CHECK(w.pilot.next_deadline() == 20 * second);
    w.end(0, 0);  // its core is free, but t1.0 may still run
    w.pilot.on_time(20 * second - 1);
    CHECK(w.out.take() == Lines{"log: t0.0 ended on 0 done", "log: task 0 done"});
    w.pilot.on_time(20 * second);
    CHECK(w.out.take() == Lines{"log: t1.0 ended on 1 lost", "log: task 1 ready", "log: t1.1 placed on 0 x1",
                                "to 0: start t1.1 ranks 0-0"});
    CHECK(!w.pilot.next_deadline());
  }

  TEST_CASE("the other parts of an attempt on a lost node are cancelled before it is tried again") {
    Started w(3, 2);
    TaskDescription mpi = task("mpi");
    mpi.ranks = 4;
    w.submit(mpi);
    w.out.take();
    w.pilot.on_node_lost(1, "gone", 0);
    CHECK(w.out.take() == Lines{"log: node 1 lost: gone", "log: t0.0 ended on 1 lost",
                                "to 0: cancel t0.0: its part on node 1 ended: node 1 was lost: gone"});
    w.end(0, 0, Outcome::cancelled);
    CHECK(w.out.take() == Lines{"log: t0.0 ended on 0 cancelled", "log: task 0 ready", "log: t0.1 placed on 0 x2",
                                "to 0: start t0.1 ranks 0-1", "log: t0.1 placed on 2 x2",
                                "to 2: start t0.1 ranks 2-3"});
  }

  TEST_CASE("a task for which the machine has become too small fails and says so") {
    Started w(2, 4);
    TaskDescription wide = task("wide");
    wide.ranks = 8;
    w.submit(task("first"));
    wide.after = {"first"};
    w.submit(wide);
    w.pilot.on_node_lost(1, "gone", 0);
    w.out.take();
    w.end(0, 0);
    CHECK(w.out.take() == Lines{"log: t0.0 ended on 0 done", "log: task 0 done", "log: task 1 ready",
                                "log: task 1 failed: task wide needs 8 ranks with 1 core each; the machine (1 node) "
                                "has room for 4"});
  }

  TEST_CASE("what a former run has done counts as done and is not run") {
    World w;
    w.submit(task("a"));
    w.submit(task("b", {"a"}));
    w.submit(task("c", {"b"}));
    CHECK(w.pilot.mark_done("a"));
    CHECK(w.pilot.mark_done("b"));
    CHECK(!w.pilot.mark_done("b"));
    CHECK(!w.pilot.mark_done("nobody"));
    w.nodes(1, 1);
    w.out.take();
    w.start();
    CHECK(w.out.take() == Lines{"log: t2.0 placed on 0 x1", "to 0: start t2.0 ranks 0-0"});
    CHECK(w.pilot.counts().done == 2);
  }

  TEST_CASE("attempts of a former run keep their numbers: the next one comes after them") {
    World w;
    w.submit(task("a"));
    w.pilot.continue_attempts("a", 2);
    w.pilot.continue_attempts("nobody", 1);
    w.nodes(1, 1);
    w.out.take();
    w.start();
    CHECK(w.out.take() == Lines{"log: t0.2 placed on 0 x1", "to 0: start t0.2 ranks 0-0"});
  }

  TEST_CASE("the command in the log is what a person would type, and short") {
    struct Last final : Recorder {
      std::string command;
      void record(EventBody event) override {
        if (auto* e = std::get_if<events::TaskSubmitted>(&event)) command = e->command;
      }
    } out;
    Pilot pilot({}, out);
    TaskDescription t = task("a");
    t.command = {Template::literal("echo"), Template::literal("it's"), Template::literal("")};
    REQUIRE(pilot.submit(t, 0));
    CHECK(out.command == "echo 'it'\\''s' ''");
    t.id = "b";
    t.command = {Template::literal(std::string(500, 'x'))};
    REQUIRE(pilot.submit(t, 0));
    CHECK(out.command.size() < 210);
    t.id = "c";
    t.command.clear();
    t.script = Template::literal("make all\nmake install\n");
    REQUIRE(pilot.submit(t, 0));
    CHECK(out.command == "make all");
  }
}
