// The agent's logic, with a spawner that does nothing: the exact messages, and that none is left over.
#include "node/agent.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "bench.hpp"

using namespace trireme;
using test::Bench;
using test::SpawnerKind;

namespace {

bool has(const std::vector<std::string>& entries, std::string_view entry) {
  return std::find(entries.begin(), entries.end(), entry) != entries.end();
}

StartReplica service(std::initializer_list<std::string_view> command) {
  StartReplica order;
  order.id = {{0}, 1, 2};
  order.service.name = "svc";
  order.service.command = test::words(command);
  order.service.ready.kind = Probe::Kind::file;
  order.service.ready.argument = test::text("ready");
  return order;
}

}  // namespace

TEST_CASE("a node joins with what it has") {
  Bench bench(SpawnerKind::fake);
  REQUIRE(bench.messages.size() == 1);
  CHECK(std::get<NodeJoined>(bench.messages[0]) ==
        NodeJoined{"n003", {4, 2 * whole_gpu, 1u << 30}, "http://127.0.0.1:9999", {}});
}

TEST_CASE("a task's life is told by exactly two messages") {
  Bench bench(SpawnerKind::fake);
  auto order = bench.command(7, {"prog", "{task_id}", "{rank}", "{attempt}"});
  order.id.attempt = 2;
  order.task.per_rank = {2, 500, 0};
  order.task.timeout = std::chrono::seconds(90);
  bench.agent->on_message(order);
  REQUIRE(bench.fake->spawned.size() == 1);
  const auto& spawn = bench.fake->spawned[0];
  CHECK(spawn.argv == std::vector<std::string>{"prog", "t7", "0", "2"});
  CHECK(spawn.cwd == bench.folder_of(order).string());
  CHECK(spawn.stdin_path == "/dev/null");
  CHECK(spawn.stdout_path == spawn.cwd + "/stdout");
  CHECK(spawn.stderr_path == spawn.cwd + "/stderr");
  CHECK(spawn.timeout_ms == 90000);
  CHECK(has(spawn.env, "CUDA_VISIBLE_DEVICES=0"));
  CHECK(has(spawn.env, "TRIREME_CORES=2"));
  CHECK(bench.messages.size() == 1);

  bench.fake->started(spawn.id, 99);
  bench.fake->ended(spawn.id);
  REQUIRE(bench.messages.size() == 3);
  CHECK(std::get<TaskStarted>(bench.messages[1]) == TaskStarted{order.id, 99, 1000, {0, 1}, {0}});
  const auto& end = std::get<TaskEnded>(bench.messages[2]);
  CHECK(end.id == order.id);
  CHECK(end.end.outcome == Outcome::done);
  CHECK(end.end.started == 1000);
  CHECK(end.end.ended == 2000);
  bench.settle();
  CHECK(bench.messages.size() == 3);
}

TEST_CASE("a task whose cores are not free yet waits for them and is not dropped") {
  Bench bench(SpawnerKind::fake);
  for (const std::uint32_t i : {0u, 1u}) {
    auto order = bench.command(i, {"prog"});
    order.task.per_rank.cores = 3;
    bench.agent->on_message(order);
  }
  REQUIRE(bench.fake->spawned.size() == 1);
  bench.fake->started(1);
  bench.fake->ended(1);
  REQUIRE(bench.fake->spawned.size() == 2);
}

TEST_CASE("what was sent ahead starts in the place of one that asks for the same, as soon as that has ended") {
  Bench bench(SpawnerKind::fake);
  bench.agent->on_message(bench.command(0, {"prog"}));
  auto other = bench.command(1, {"prog"});
  other.task.per_rank.cores = 2;
  bench.agent->on_message(other);
  for (const std::uint32_t i : {2u, 3u}) {
    auto order = bench.command(i, {"prog"});
    order.ahead = true;
    bench.agent->on_message(order);
  }
  REQUIRE(bench.fake->spawned.size() == 2);  // though a core is free
  bench.fake->ended(2);                      // asked for something else
  CHECK(bench.fake->spawned.size() == 2);
  CHECK(bench.sent<TaskEnded>().back().next == AttemptId{});
  bench.fake->ended(1, 5);
  REQUIRE(bench.until_ended(0));
  REQUIRE(bench.fake->spawned.size() == 3);
  CHECK(bench.sent<TaskEnded>().back().next == AttemptId{{2}, 0});
  bench.fake->ended(3);
  CHECK(bench.sent<TaskEnded>().back().next == AttemptId{{3}, 0});
  bench.fake->ended(4);
  CHECK(bench.sent<TaskEnded>().back().next == AttemptId{});
}

TEST_CASE(
    "what was sent ahead is given back when it is recalled, and when the run is over, unless it has been started") {
  Bench bench(SpawnerKind::fake);
  bench.agent->on_message(bench.command(0, {"prog"}));
  for (const std::uint32_t i : {1u, 2u, 3u}) {
    auto order = bench.command(i, {"prog"});
    order.ahead = true;
    bench.agent->on_message(order);
  }
  bench.fake->ended(1);  // 1 has its place
  bench.agent->on_message(RecallTasks{{{{1}, 0}, {{2}, 0}, {{9}, 0}}});
  REQUIRE(bench.sent<TasksReturned>().size() == 1);
  CHECK(bench.sent<TasksReturned>()[0].ids == std::vector<AttemptId>{{{2}, 0}});
  bench.agent->on_message(RecallTasks{{{{1}, 0}}});
  CHECK(bench.sent<TasksReturned>().size() == 1);
  bench.agent->on_message(ShutdownAgent{});
  REQUIRE(bench.sent<TasksReturned>().size() == 2);
  CHECK(bench.sent<TasksReturned>()[1].ids == std::vector<AttemptId>{{{3}, 0}});
  bench.fake->ended(2, 0, true);
  CHECK(bench.fake->spawned.size() == 2);
}

TEST_CASE("nothing that was sent ahead starts after the lease") {
  Bench bench(SpawnerKind::fake);
  bench.agent->on_message(bench.command(0, {"prog"}));
  auto order = bench.command(1, {"prog"});
  order.ahead = true;
  bench.agent->on_message(order);
  bench.agent->renew_lease(std::chrono::milliseconds(0));
  bench.fake->ended(1);
  CHECK(bench.fake->spawned.size() == 1);
  CHECK(bench.sent<TaskEnded>().back().next == AttemptId{});
  bench.agent->on_message(RecallTasks{{order.id}});
  CHECK(bench.sent<TasksReturned>().size() == 1);
}

TEST_CASE("what can never fit is refused in words") {
  Bench bench(SpawnerKind::fake);
  auto order = bench.command(0, {"prog"});
  order.task.per_rank.cores = 5;
  bench.agent->on_message(order);
  const auto ends = bench.sent<TaskEnded>();
  REQUIRE(ends.size() == 1);
  CHECK(ends[0].end.reason == "it asks for 5 cores, which this node does not have");
}

TEST_CASE("a rank of an MPICH task is born with a connection of its own, and told its place") {
  Bench bench(SpawnerKind::fake);
  auto order = bench.command(0, {"prog"});
  order.task.mpi = MpiKind::mpich;
  order.task.ranks = 3;
  order.first_rank = 1;
  order.local_ranks = 2;
  order.layout = {{0, 0, 1}, {3, 1, 2}};
  bench.agent->on_message(order);
  REQUIRE(bench.fake->spawned.size() == 2);
  const auto& spawned = bench.fake->spawned;
  CHECK(has(spawned[1].env, "PMI_RANK=2"));
  CHECK(has(spawned[1].env, "PMI_SIZE=3"));
  CHECK(has(spawned[1].env, "PMI_FD=3"));
  CHECK(std::filesystem::is_socket(spawned[1].connect_path));
  CHECK(spawned[1].connect_greeting.size() == 16);
  CHECK(spawned[0].connect_greeting != spawned[1].connect_greeting);
  bench.fake->started(spawned[0].id);
  REQUIRE(bench.sent<TaskStarted>().size() == 1);
  CHECK(bench.sent<TaskStarted>()[0].launch == "pmi: the task says MPICH");
}

TEST_CASE("ranks without mpi are processes that know who they are; when one fails the others are stopped") {
  Bench bench(SpawnerKind::fake);
  auto order = bench.command(0, {"prog", "{rank}"});
  order.first_rank = 2;
  order.local_ranks = 3;
  order.task.ranks = 6;
  bench.agent->on_message(order);
  REQUIRE(bench.fake->spawned.size() == 3);
  const auto& spawned = bench.fake->spawned;
  CHECK(spawned[1].argv == std::vector<std::string>{"prog", "3"});
  CHECK(has(spawned[1].env, "TRIREME_RANK=3"));
  CHECK(has(spawned[1].env, "TRIREME_RANKS=6"));
  CHECK(spawned[1].stdout_path == bench.folder_of(order).string() + "/stdout.3");

  for (const auto& spawn : spawned) bench.fake->started(spawn.id);
  bench.fake->ended(spawned[0].id);
  CHECK(bench.fake->stopped.empty());
  bench.fake->ended(spawned[1].id, 5);
  CHECK(bench.fake->stopped == std::vector<std::uint64_t>{spawned[2].id});
  CHECK(bench.sent<TaskEnded>().empty());
  bench.fake->ended(spawned[2].id, 0, true);
  REQUIRE(bench.until_ended(0));
  const auto ends = bench.sent<TaskEnded>();
  REQUIRE(ends.size() == 1);
  CHECK(ends[0].end.outcome == Outcome::failed);
  CHECK(ends[0].end.exit_code == 5);
  CHECK(ends[0].end.reason == "rank 3: exit code 5");
  CHECK(bench.sent<TaskStarted>().size() == 1);
}

TEST_CASE("a cancelled task is stopped, and ends as cancelled unless it ended by itself before") {
  Bench bench(SpawnerKind::fake);
  for (const std::uint32_t i : {0u, 1u}) {
    bench.agent->on_message(bench.command(i, {"prog"}));
    bench.fake->started(i + 1);
    bench.agent->on_message(CancelTask{{{i}, 0}, "not needed"});
  }
  CHECK(bench.fake->stopped == std::vector<std::uint64_t>{1, 2});
  bench.fake->ended(1, 0, true);
  bench.fake->ended(2, 3, false);
  REQUIRE(bench.until_ended(1));
  const auto ends = bench.sent<TaskEnded>();
  REQUIRE(ends.size() == 2);
  CHECK(ends[0].end.outcome == Outcome::cancelled);
  CHECK(ends[0].end.reason == "not needed");
  CHECK(ends[1].end.outcome == Outcome::failed);
  CHECK(ends[1].end.exit_code == 3);
}

TEST_CASE("a task that waits for cores can be cancelled, and an unknown one is ignored") {
  Bench bench(SpawnerKind::fake);
  auto wide = bench.command(0, {"prog"});
  wide.task.per_rank.cores = 4;
  bench.agent->on_message(wide);
  bench.agent->on_message(bench.command(1, {"prog"}));
  bench.agent->on_message(CancelTask{{{1}, 0}, "why"});
  bench.agent->on_message(CancelTask{{{5}, 0}, "why"});
  const auto ends = bench.sent<TaskEnded>();
  REQUIRE(ends.size() == 1);
  CHECK(ends[0].id == AttemptId{{1}, 0});
  CHECK(ends[0].end.outcome == Outcome::cancelled);
  bench.fake->started(1);
  bench.fake->ended(1);
  CHECK(bench.fake->spawned.size() == 1);
}

TEST_CASE("a request that the spawner refuses fails its task") {
  Bench bench(SpawnerKind::fake);
  bench.fake->refuses = true;
  bench.agent->on_message(bench.command(0, {"prog"}));
  CHECK(bench.sent<TaskEnded>().empty());
  REQUIRE(bench.until_ended(0));
  const auto ends = bench.sent<TaskEnded>();
  REQUIRE(ends.size() == 1);
  CHECK(ends[0].end.reason == "no room");
}

TEST_CASE("when the spawner dies its tasks fail, a new one takes over, and the lease goes on") {
  Bench bench(SpawnerKind::fake);
  bench.agent->renew_lease(std::chrono::seconds(30));
  bench.agent->on_message(bench.command(0, {"prog"}));
  bench.fake->started(1);
  bench.fake->lease = std::chrono::milliseconds(0);
  bench.fake->reports.on_lost(Error{"the spawner died", "", ""});
  REQUIRE(bench.until_ended(0));
  const auto ends = bench.sent<TaskEnded>();
  REQUIRE(ends.size() == 1);
  CHECK(ends[0].end.outcome == Outcome::failed);
  CHECK(ends[0].end.reason == "the spawner died");
  CHECK(bench.warnings == std::vector<std::string>{"the spawner died"});
  CHECK(bench.fake->made == 2);
  CHECK(bench.fake->lease == std::chrono::seconds(30));
  bench.agent->on_message(bench.command(1, {"prog"}));
  REQUIRE(bench.fake->spawned.size() == 2);
}

TEST_CASE("what the spawner ended because its lease ran out counts as lost") {
  Bench bench(SpawnerKind::fake);
  bench.agent->on_message(bench.command(0, {"prog"}));
  bench.fake->started(1);
  bench.fake->ended(1, 0, true);
  CHECK(bench.sent<TaskEnded>().at(0).end.outcome == Outcome::lost);
}

TEST_CASE("shutting down ends everything, then the spawner, and AgentDone is the last word") {
  Bench bench(SpawnerKind::fake);
  bench.agent->on_message(bench.command(0, {"prog"}));
  bench.fake->started(1);
  auto wide = bench.command(1, {"prog"});
  wide.task.per_rank.cores = 4;
  bench.agent->on_message(wide);
  bench.agent->on_message(service({"srv"}));
  REQUIRE(bench.until([&] { return bench.fake->spawned.size() == 2; }));
  bench.fake->started(2);

  bench.agent->on_message(ShutdownAgent{});
  CHECK(bench.fake->stopped == std::vector<std::uint64_t>{1, 2});
  CHECK(!bench.fake->shut_down);
  bench.agent->on_message(bench.command(2, {"prog"}));
  bench.fake->ended(1, 0, true);
  bench.fake->ended(2, 0, true);
  REQUIRE(bench.fake->shut_down);
  CHECK(bench.sent<AgentDone>().empty());
  bench.fake->shut_down();
  CHECK(bench.agent->done());
  const auto ends = bench.sent<TaskEnded>();
  REQUIRE(ends.size() == 3);
  for (const auto& end : ends) {
    CHECK(end.end.outcome == Outcome::cancelled);
    CHECK(end.end.reason == "the run is over");
  }
  CHECK(bench.sent<ReplicaEnded>().size() == 1);
  CHECK(std::holds_alternative<AgentDone>(bench.messages.back()));
}

TEST_CASE("a replica that is ready is drained before it is stopped; one that starts is stopped at once") {
  Bench bench(SpawnerKind::fake);
  auto order = service({"srv", "{replica}", "{key}"});
  order.service.drain = std::chrono::minutes(10);
  bench.agent->on_message(order);
  REQUIRE(bench.until([&] { return bench.fake->spawned.size() == 1; }));
  const auto& spawn = bench.fake->spawned[0];
  CHECK(spawn.argv[1] == "1");
  CHECK(spawn.argv[2].size() == 32);
  const auto folder = bench.root.path() / "run/services/svc/1/2";
  CHECK(spawn.cwd == folder.string());
  bench.fake->started(1, 77);
  REQUIRE(bench.sent<ReplicaStarted>().size() == 1);
  CHECK(bench.sent<ReplicaStarted>()[0] == ReplicaStarted{order.id, 77, 1000});

  SUBCASE("ready") {
    test::write(folder / "ready", "");
    REQUIRE(bench.until([&] { return bench.sent<ReplicaReady>().size() == 1; }));
    const auto endpoint = bench.sent<ReplicaReady>()[0].endpoint;
    CHECK(endpoint.rank == 3);
    CHECK(endpoint.state == ReplicaState::ready);
    CHECK(endpoint.key == spawn.argv[2]);
    bench.agent->on_message(StopReplica{order.id});
    CHECK(bench.fake->stopped.empty());
    REQUIRE(bench.drains.size() == 1);
    CHECK(bench.drains[0].first == order.id);
    bench.drains[0].second();
    CHECK(bench.fake->stopped == std::vector<std::uint64_t>{1});
    bench.drains[0].second();  // too late, and without effect
    bench.fake->ended(1, 0, true);
    REQUIRE(bench.sent<ReplicaEnded>().size() == 1);
    CHECK(bench.sent<ReplicaEnded>()[0].was_ready);
  }
  SUBCASE("starting") {
    bench.agent->on_message(StopReplica{order.id});
    CHECK(bench.drains.empty());
    CHECK(bench.fake->stopped == std::vector<std::uint64_t>{1});
    bench.fake->ended(1, 0, true);
    REQUIRE(bench.sent<ReplicaEnded>().size() == 1);
    CHECK(!bench.sent<ReplicaEnded>()[0].was_ready);
    CHECK(bench.sent<ReplicaReady>().empty());
  }
  CHECK(bench.sent<ReplicaEnded>()[0].end.outcome == Outcome::cancelled);
  CHECK(bench.fake->stopped.size() == 1);
}

TEST_CASE("draining ends when the service's drain time is over") {
  Bench bench(SpawnerKind::fake);
  auto order = service({"srv"});
  order.service.drain = std::chrono::milliseconds(20);
  bench.agent->on_message(order);
  REQUIRE(bench.until([&] { return bench.fake->spawned.size() == 1; }));
  bench.fake->started(1);
  test::write(bench.root.path() / "run/services/svc/1/2/ready", "");
  REQUIRE(bench.until([&] { return bench.sent<ReplicaReady>().size() == 1; }));
  bench.agent->on_message(StopReplica{order.id});
  CHECK(bench.until([&] { return bench.fake->stopped.size() == 1; }));
}

TEST_CASE("a replica that may drain for as long as it takes can be given less") {
  Bench bench(SpawnerKind::fake);
  auto order = service({"srv"});
  order.service.drain = std::chrono::milliseconds(0);
  bench.agent->on_message(order);
  REQUIRE(bench.until([&] { return bench.fake->spawned.size() == 1; }));
  bench.fake->started(1);
  test::write(bench.root.path() / "run/services/svc/1/2/ready", "");
  REQUIRE(bench.until([&] { return bench.sent<ReplicaReady>().size() == 1; }));
  bench.agent->on_message(StopReplica{order.id, Drain::unlimited});
  auto other = service({"srv"});
  other.id.replica = 2;
  bench.agent->on_message(other);
  REQUIRE(bench.until([&] { return bench.fake->spawned.size() == 2; }));
  CHECK(bench.fake->stopped.empty());
  bench.agent->on_message(StopReplica{order.id, Drain::limited});
  CHECK(bench.until([&] { return bench.fake->stopped.size() == 1; }));
  CHECK(bench.drains.size() == 1);
}

TEST_CASE("a service is told of others only if it uses them, and never the control token") {
  Bench bench(SpawnerKind::fake);
  const auto has_prefix = [](const std::vector<std::string>& entries, std::string_view prefix) {
    return std::any_of(entries.begin(), entries.end(), [&](const auto& entry) { return entry.starts_with(prefix); });
  };
  bench.agent->on_message(service({"srv"}));
  REQUIRE(bench.until([&] { return bench.fake->spawned.size() == 1; }));
  auto user = service({"srv"});
  user.id.replica = 2;
  user.service.uses = {"other"};
  bench.agent->on_message(user);
  REQUIRE(bench.until([&] { return bench.fake->spawned.size() == 2; }));
  const auto& alone = bench.fake->spawned[0].env;
  const auto& with_others = bench.fake->spawned[1].env;
  CHECK(!has_prefix(alone, "TRIREME_PROXY_URL="));
  CHECK(!has_prefix(alone, "TRIREME_TOKEN="));
  CHECK(has(with_others, "TRIREME_SERVICE_OTHER_URL=http://127.0.0.1:9999/services/other"));
  CHECK(has(with_others, "OPENAI_API_KEY=inference-token"));
  CHECK(!has_prefix(with_others, "TRIREME_TOKEN="));
}

TEST_CASE("a service that nobody could reach is told so at once") {
  Bench bench(SpawnerKind::fake);
  auto order = service({"srv"});
  order.service.ready = {};
  bench.agent->on_message(order);
  REQUIRE(bench.sent<ReplicaEnded>().size() == 1);
  CHECK(bench.sent<ReplicaEnded>()[0].end.reason ==
        "its command names neither {port} nor {socket}, so nobody can reach it");
  CHECK(bench.fake->spawned.empty());
}

TEST_CASE("a replica that is stopped while its folder is made never starts") {
  Bench bench(SpawnerKind::fake);
  auto order = service({"srv"});
  bench.agent->on_message(order);
  bench.agent->on_message(StopReplica{order.id});
  REQUIRE(bench.until([&] { return bench.sent<ReplicaEnded>().size() == 1; }));
  CHECK(bench.sent<ReplicaEnded>()[0].end.outcome == Outcome::cancelled);
  CHECK(bench.fake->spawned.empty());
}

TEST_CASE("a service on a unix socket has no port") {
  Bench bench(SpawnerKind::fake);
  auto order = service({"srv", "--listen", "{socket}"});
  bench.agent->on_message(order);
  REQUIRE(bench.until([&] { return bench.fake->spawned.size() == 1; }));
  bench.fake->started(1);
  test::write(bench.root.path() / "run/services/svc/1/2/ready", "");
  REQUIRE(bench.until([&] { return bench.sent<ReplicaReady>().size() == 1; }));
  const auto endpoint = bench.sent<ReplicaReady>()[0].endpoint;
  CHECK(endpoint.port == 0);
  CHECK(endpoint.socket == bench.fake->spawned[0].argv[2]);
  CHECK(endpoint.socket.starts_with((bench.root.path() / "tmp").string()));
}
