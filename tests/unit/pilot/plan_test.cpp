#include "pilot/plan.hpp"

#include <doctest/doctest.h>

#include "harness.hpp"

using namespace trireme;
using namespace trireme::pilot;
using namespace trireme::pilot::test;

TEST_SUITE("plan") {
  TEST_CASE("a plan says for each replica and task where and in which wave it would run") {
    WorkflowDescription flow;
    flow.services = {service("s", 2)};
    TaskDescription mpi = task("mpi", {"a", "b"});
    mpi.ranks = 6;
    mpi.services = {"s"};
    flow.tasks = {mpi, task("a"), task("b"), task("last", {"mpi"})};
    const auto plan = make_plan(flow, {{.cores = 4}, {.cores = 4}});
    REQUIRE(plan);
    CHECK(plan->replicas == std::vector<PlannedReplica>{{"s", 0, {{0, 1}}}, {"s", 1, {{1, 1}}}});
    CHECK(plan->waves == 3);
    const std::vector<PlannedTask> expected{
        {"a", 0, {{0, 1}}}, {"b", 0, {{1, 1}}}, {"mpi", 1, {{0, 3}, {1, 3}}}, {"last", 2, {{0, 1}}}};
    CHECK(plan->tasks == expected);
  }

  TEST_CASE("tasks that do not fit at one time come in later waves") {
    WorkflowDescription flow;
    for (int i = 0; i < 5; ++i) flow.tasks.push_back(task("t" + std::to_string(i)));
    const auto plan = make_plan(flow, {{.cores = 2}});
    REQUIRE(plan);
    CHECK(plan->waves == 3);
    CHECK(plan->tasks.size() == 5);
    CHECK(plan->tasks[4].wave == 2);
  }

  TEST_CASE("a plan of what cannot run is an error") {
    WorkflowDescription flow;
    TaskDescription wide = task("t");
    wide.per_rank.cores = 3;
    flow.tasks = {wide};
    const auto plan = make_plan(flow, {{.cores = 2}});
    REQUIRE(!plan);
    CHECK(plan.error().code == ExitCode::does_not_fit);
    flow.tasks = {task("t", {"nobody"})};
    CHECK(!make_plan(flow, {{.cores = 2}}));
  }
}
