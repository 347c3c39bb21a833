#include "observe/run_view.hpp"

#include "story.hpp"

namespace trireme::observe {
namespace {

using namespace test;

TEST_CASE("tasks are counted by their state as events come") {
  Story story;
  story.start().submit(0, "a").submit(1, "b", {"a"}).submit(2, "c");
  CHECK(story.view().count(TaskState::waiting) == 3);
  story.change(0, TaskState::ready).run(0);
  CHECK(story.view().count(TaskState::running) == 1);
  story.end(0).change(0, TaskState::done).change(2, TaskState::cancelled, "asked to");
  CHECK(story.view().count(TaskState::done) == 1);
  CHECK(story.view().count(TaskState::waiting) == 1);
  CHECK(story.view().count(TaskState::cancelled) == 1);
  CHECK(story.view().find_task("c")->reason == "asked to");
  CHECK(story.view().find_task("nobody") == nullptr);
}

TEST_CASE("attempts keep where they ran, how they ended and what they used") {
  Story story;
  story.start().submit(0, "a").run(0, 0, 3).after(2).end(0, 0, 5, 3, "no luck");
  story.change(0, TaskState::ready).run(0, 1, 4).after(1).end(0, 1, 0, 4).change(0, TaskState::done);
  const TaskRecord& task = *story.view().find_task("a");
  REQUIRE(task.parts.size() == 2);
  CHECK(task.attempts() == 2);
  CHECK(task.parts[0].rank == 3);
  CHECK(task.parts[0].exit_code == 5);
  CHECK(task.parts[0].reason == "no luck");
  CHECK(task.parts[0].ended - task.parts[0].started == 2 * second);
  CHECK(task.parts[1].outcome == Outcome::done);
  CHECK(task.parts[1].cores == std::vector<std::uint32_t>{0});
  CHECK(story.view().retried() == 1);
}

TEST_CASE("of an attempt on many nodes the part that failed gives the verdict") {
  Story story;
  story.start().submit(0, "a").run(0, 0, 0).run(0, 0, 1).run(0, 0, 2);
  story.end(0, 0, 0, 0).end(0, 0, 9, 1).end(0, 0, 0, 2);
  const TaskRecord& task = *story.view().find_task("a");
  CHECK(task.attempts() == 1);
  REQUIRE(task.verdict() != nullptr);
  CHECK(task.verdict()->rank == 1);
  CHECK(story.view().retried() == 0);
}

TEST_CASE("services keep launch, init and publish of each life, and count restarts and requests") {
  Story story;
  const ReplicaId first{ServiceIndex{0}, 0, 0};
  const ReplicaId second_life{ServiceIndex{0}, 0, 1};
  story.start().declare(0, "llama", 2);
  CHECK_FALSE(story.view().find_service("llama")->is_ready());
  story.replica(first, ReplicaState::starting).replica(first, ReplicaState::starting, Duration(5'000'000), 77);
  story.replica(first, ReplicaState::ready, Duration(2'000'000'000));
  story.add(events::EpochPublished{1, Duration(300'000), {first}});
  CHECK(story.view().find_service("llama")->ready() == 1);
  story.replica(first, ReplicaState::ended, Duration(0), 0, "signal 9");
  CHECK_FALSE(story.view().find_service("llama")->is_ready());
  story.replica(second_life, ReplicaState::starting);
  const ServiceRecord& service = *story.view().find_service("llama");
  REQUIRE(service.lives.size() == 2);
  CHECK(service.restarts() == 1);
  CHECK(service.lives[0].pid == 77);
  CHECK(service.lives[0].launch == Duration(5'000'000));
  CHECK(service.lives[0].init == Duration(2'000'000'000));
  CHECK(service.lives[0].publish == Duration(300'000));
  CHECK(service.lives[0].reason == "signal 9");
  CHECK(service.newest(0)->attempt == 1);
  CHECK(service.newest(1) == nullptr);

  // Counters are totals: the newest of each rank counts.
  story.add(events::RequestsCounted{0, {ServiceIndex{0}, 10, 1, 3, {{0, 8, 0}}}});
  story.add(events::RequestsCounted{0, {ServiceIndex{0}, 20, 2, 0, {{0, 15, 0}}}});
  story.add(events::RequestsCounted{1, {ServiceIndex{0}, 5, 0, 4, {{1, 9, 1}}}});
  CHECK(story.view().requests(service).requests == 25);
  CHECK(story.view().requests(service).failed == 2);
  CHECK(story.view().queued(service) == 4);
  CHECK(story.view().replica_requests(service).at(0).requests == 15);
  CHECK(story.view().replica_requests(service).at(1).failed == 1);
  CHECK(!story.view().response(service).inference.mean());
  ServiceSample timed{ServiceIndex{0}, 21, 2, 0, {{0, 16, 0}}};
  timed.response.inference.add(Duration(4'000'000));
  story.add(events::RequestsCounted{0, timed});
  timed.response.inference.add(Duration(8'000'000));
  story.add(events::RequestsCounted{1, timed});
  CHECK(story.view().response(service).inference.histogram.count() == 3);
  CHECK(story.view().response(service).inference.sum_s == doctest::Approx(0.016));
}

TEST_CASE("nothing waits or is worked on at a node that was lost, and what it had counted stays counted") {
  Story story;
  story.start(2).node(0, "n0", {4, 0, 0}).node(1, "n1", {4, 0, 0}).declare(0, "llama", 1);
  ServiceSample sample{.service = ServiceIndex{0}, .requests = 5, .queued = 4};
  sample.loads = {{.replica = 0, .active = 3}};
  story.add(events::RequestsCounted{1, sample});
  const ServiceRecord& service = *story.view().find_service("llama");
  CHECK(story.view().replica_loads(service).at(0).active == 3);
  story.add(events::NodeLost{1, "silence"});
  CHECK(story.view().replica_loads(service).at(0).active == 0);
  CHECK(story.view().queued(service) == 0);
  CHECK(story.view().requests(service).requests == 5);
}

TEST_CASE("utilisation is what was handed out of what there was") {
  Story story;
  story.start().node(0, "n0", {4, 2000, 0}).declare(0, "s", 1, 1).submit(0, "a", {}, {}, 2);
  story.replica({ServiceIndex{0}, 0, 0}, ReplicaState::starting);
  story.after(5).run(0).after(5).end(0).change(0, TaskState::done);
  // 10 s of 4 cores; the service had 1 for 10 s, the task 2 for 5 s.
  CHECK(story.view().utilisation(story.now()).cores == doctest::Approx(0.5));
  CHECK(story.view().utilisation(story.now()).gpus == 0);
  story.after(10).add(events::RunEnded{RunState::done, 0, ""});
  CHECK(story.view().utilisation(story.now()).cores == doctest::Approx(30.0 / 80));
  CHECK(story.view().utilisation(story.now() + 100 * second).cores == doctest::Approx(30.0 / 80));
  CHECK(RunView().utilisation(begin).cores == 0);
}

TEST_CASE("what is free is what nodes have less what is on them") {
  Story story;
  story.start().node(0, "n0", {4, 0, 0}).node(1, "n1", {8, 0, 0}).submit(0, "a", {}, {}, 3).run(0, 0, 0);
  CHECK(story.view().free_resources().at(0).cores == 1);
  CHECK(story.view().free_resources().at(1).cores == 8);
  CHECK(story.view().in_use(0).cores == 3);
  story.end(0);
  CHECK(story.view().free_resources().at(0).cores == 4);
  story.add(events::NodeLost{1, "silence"});
  CHECK(story.view().free_resources().count(1) == 0);
  CHECK(story.view().nodes().at(1).lost);
}

TEST_CASE("a resumed run keeps what was done and begins the rest again") {
  Story story;
  story.start().node(0, "n0", {4, 0, 0}).declare(0, "s", 1).submit(0, "a").submit(1, "b").submit(2, "c");
  story.replica({ServiceIndex{0}, 0, 0}, ReplicaState::starting);
  story.add(events::RequestsCounted{0, {ServiceIndex{0}, 10, 0, 0, {{0, 10, 0}}}});
  story.run(0).end(0).change(0, TaskState::done).run(1).run(2).end(2, 0, 1).change(2, TaskState::failed, "exit code 1");
  SUBCASE("after a kill") {
    story.after(10);
  }
  SUBCASE("after a drain") {
    story.after(10).add(events::RunEnded{RunState::interrupted, 75, "drained"});
  }
  story.after(100).start();
  CHECK_FALSE(story.view().ended());
  CHECK(story.view().incarnations() == 2);
  CHECK(story.view().in_use(0) == Resources{});
  CHECK(story.view().count(TaskState::running) == 0);
  CHECK(story.view().find_task("b")->parts[0].outcome == Outcome::lost);
  // It numbers its tasks in another order.
  story.declare(0, "s", 1).submit(0, "c").submit(1, "a").submit(2, "b");
  CHECK(story.view().tasks().size() == 3);
  CHECK(story.view().find_task("a")->state == TaskState::done);
  CHECK(story.view().find_task("c")->state == TaskState::waiting);
  story.replica({ServiceIndex{0}, 0, 0}, ReplicaState::starting);
  story.add(events::RequestsCounted{0, {ServiceIndex{0}, 7, 0, 0, {{0, 7, 0}}}});
  story.run(0, 1).end(0, 1).change(0, TaskState::done);
  CHECK(story.view().find_task("c")->state == TaskState::done);
  CHECK(story.view().find_task("c")->attempts() == 2);
  REQUIRE(story.view().groups().size() == 3);
  CHECK(story.view().groups()[2].name == "c");
  CHECK(story.view().groups()[2].count(TaskState::done) == 1);
  CHECK(story.view().groups()[1].count(TaskState::waiting) == 1);
  const ServiceRecord& service = *story.view().find_service("s");
  CHECK(service.lives.size() == 2);
  CHECK(service.restarts() == 0);
  CHECK(story.view().requests(service).requests == 17);
  CHECK(story.view().replica_requests(service).at(0).requests == 17);
}

TEST_CASE("the time of a resumed run is that for which it was on") {
  Story story;
  story.start().after(10).add(events::RunEnded{RunState::interrupted, 75, "drained"});
  story.after(1000).start().after(5);
  CHECK(story.view().active(story.now()) == Duration(15 * second));
  story.add(events::RunEnded{RunState::done, 0, ""});
  CHECK(story.view().active(story.now() + 50 * second) == Duration(15 * second));
}

TEST_CASE("events that make no sense change nothing and break nothing") {
  Story story;
  story.change(7, TaskState::done).run(7).end(7).replica({ServiceIndex{9}, 0, 0}, ReplicaState::ready);
  story.add(events::EpochPublished{1, Duration(1), {{ServiceIndex{9}, 0, 0}}});
  story.add(events::RequestsCounted{0, {ServiceIndex{9}, 1, 0, 0, {}}});
  story.add(events::NodeLost{5, "never was"}).add(events::RunEnded{RunState::running, 0, ""});
  story.start().submit(0, "a").add(events::TaskChanged{TaskIndex{0}, static_cast<TaskState>(200), ""});
  story.end(0, 3, 1).run(0, 3);
  CHECK(story.view().tasks().size() == 1);
  CHECK(story.view().services().empty());
}

TEST_CASE("a view can be moved and still finds its tasks") {
  Story story;
  story.start().submit(0, "short").submit(1, std::string(100, 'x'));
  RunView source;
  for (const Event& event : story.all()) source.apply(event);
  RunView moved = std::move(source);
  REQUIRE(moved.find_task("short") != nullptr);
  CHECK(moved.find_task(std::string(100, 'x'))->id.size() == 100);
}

}  // namespace
}  // namespace trireme::observe
