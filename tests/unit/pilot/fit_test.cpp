#include "pilot/fit.hpp"

#include <doctest/doctest.h>

using namespace trireme;
using namespace trireme::pilot;

namespace {

std::string misfit(const std::vector<NodeSize>& nodes, const std::vector<ServiceNeed>& services,
                   const std::vector<TaskNeed>& tasks) {
  const auto result = check_fit(nodes, services, tasks);
  REQUIRE(!result);
  CHECK(result.error().code == ExitCode::does_not_fit);
  return result.error().what;
}

const std::vector<NodeSize> two_nodes{{0, {.cores = 8}}, {1, {.cores = 4, .gpus = 2000}}};

}  // namespace

TEST_SUITE("fit") {
  TEST_CASE("a task is told what the largest node has") {
    CHECK(misfit(two_nodes, {}, {{"train", {{.cores = 64}, 1}}}) ==
          "task train needs 64 cores on one node; the largest node has 8 cores");
    CHECK(misfit(two_nodes, {}, {{"train", {{.cores = 1, .gpus = 4000}, 1}}}) ==
          "task train needs 1 core, 4 GPUs on one node; the largest node has 2 GPUs");
    CHECK(misfit(two_nodes, {}, {{"train", {{.cores = 8, .gpus = 1000}, 1}}}) ==
          "task train needs 8 cores, 1 GPU on one node; no node has all of that");
    CHECK(misfit({{0, {.cores = 8}}}, {}, {{"train", {{.cores = 1, .gpus = 500}, 1}}}) ==
          "task train needs 1 core, 0.5 GPUs on one node; the largest node has no GPU");
  }

  TEST_CASE("ranks are told how many there is room for") {
    CHECK(misfit(two_nodes, {}, {{"mpi", {{.cores = 4}, 5}}}) ==
          "task mpi needs 5 ranks with 4 cores each; the machine (2 nodes) has room for 3");
    CHECK(check_fit(two_nodes, {}, std::vector<TaskNeed>{{"mpi", {{.cores = 4}, 3}}}));
  }

  TEST_CASE("a service is told how many replicas there is room for") {
    CHECK(misfit(two_nodes, {{"llama", {.per_rank = {.cores = 8}}, 4}}, {}) ==
          "service llama needs 4 x 8 cores; the machine (2 nodes) has room for 1 of them");
    CHECK(misfit(two_nodes, {{"llama", {.per_rank = {.cores = 9}}, 1}}, {}) ==
          "service llama needs 9 cores on one node; the largest node has 8 cores");
  }

  TEST_CASE("a service of several ranks is told how many there is room for") {
    CHECK(misfit(two_nodes, {{"sim", {{.cores = 4}, 4}, 1}}, {}) ==
          "service sim needs 4 ranks with 4 cores each; the machine (2 nodes) has room for 3");
    CHECK(misfit(two_nodes, {{"sim", {{.cores = 4}, 3}, 2}}, {}) ==
          "service sim needs 2 x 3 ranks with 4 cores each; the machine (2 nodes) has room for 1 of them");
    CHECK(misfit(two_nodes, {{"sim", {{.cores = 4}, 4, 2}, 1}}, {}) ==
          "service sim needs 4 ranks with 4 cores each, 2 on each node; the machine (2 nodes) has room for 2");
    CHECK(
        misfit(two_nodes, {{"big", {{.cores = 8}}, 1}, {"sim", {{.cores = 4}, 2}, 1}}, {}) ==
        "service sim needs 2 ranks with 4 cores each; the machine (2 nodes) has room for 1 beside the other services");
    CHECK(check_fit(two_nodes, std::vector<ServiceNeed>{{"sim", {{.cores = 4}, 3}, 1}}, {}));
  }

  TEST_CASE("a task must fit beside all services") {
    CHECK(misfit(two_nodes, {{"llama", {.per_rank = {.cores = 3}}, 2}}, {{"t", {{.cores = 8}, 1}}}) ==
          "task t can never run beside the services: it needs 8 cores on one node; they leave at "
          "most 5 cores on a node");
    CHECK(misfit(two_nodes, {{"llama", {.per_rank = {.cores = 4}}, 1}}, {{"m", {{.cores = 4}, 3}}}) ==
          "task m can never run beside the services: it needs 3 ranks with 4 cores each; they leave "
          "room for 2");
  }

  TEST_CASE("replicas are spread, unless a task needs a whole node") {
    const std::vector<NodeSize> nodes{{0, {.cores = 8}}, {1, {.cores = 8}}};
    const std::vector<ServiceNeed> services{{"s", {.per_rank = {.cores = 1}}, 2}};
    const auto spread = check_fit(nodes, services, std::vector<TaskNeed>{{"t", {{.cores = 7}, 1}}});
    REQUIRE(spread);
    CHECK(*spread == SeatPolicy::spread);
    const auto packed = check_fit(nodes, services, std::vector<TaskNeed>{{"t", {{.cores = 8}, 1}}});
    REQUIRE(packed);
    CHECK(*packed == SeatPolicy::pack);
  }

  TEST_CASE("large replicas are seated before small ones, so that they find room") {
    const std::vector<NodeSize> nodes{{0, {.cores = 8}}, {1, {.cores = 8}}};
    CHECK(check_fit(
        nodes,
        std::vector<ServiceNeed>{{"small", {.per_rank = {.cores = 1}}, 2}, {"large", {.per_rank = {.cores = 8}}, 1}},
        {}));
  }

  TEST_CASE("services and tasks without cores fit") {
    const std::vector<NodeSize> nodes{{0, {.cores = 1}}};
    CHECK(check_fit(nodes, std::vector<ServiceNeed>{{"s", {}, 3}},
                    std::vector<TaskNeed>{{"t", {{.cores = 1}, 1}}, {"z", {{}, 1}}}));
  }

  TEST_CASE("shares of GPUs are counted GPU by GPU") {
    const std::vector<NodeSize> nodes{{0, {.cores = 8, .gpus = 2000}}};
    CHECK(check_fit(nodes, std::vector<ServiceNeed>{{"s", {.per_rank = {.gpus = 250}}, 4}},
                    std::vector<TaskNeed>{{"t", {{.gpus = 1000}, 1}}}));
    CHECK(!check_fit(nodes, std::vector<ServiceNeed>{{"s", {.per_rank = {.gpus = 600}}, 2}},
                     std::vector<TaskNeed>{{"t", {{.gpus = 500}, 1}}}));
  }
}
