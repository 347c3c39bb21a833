#include "node/allocator.hpp"

#include <doctest/doctest.h>

#include <map>
#include <random>
#include <set>

using namespace trireme;

namespace {

NodeResources node_of(std::uint32_t domains, std::uint32_t cores_each, std::uint32_t gpus) {
  NodeResources node;
  for (std::uint32_t i = 0; i < domains * cores_each; ++i) node.cores.push_back({i, i / cores_each, {i}});
  for (std::uint32_t i = 0; i < gpus; ++i) node.gpus.push_back({i, GpuVendor::nvidia, std::to_string(i)});
  return node;
}

Resources cores(std::uint32_t n) {
  return {n, 0, 0};
}
Resources gpus(MilliGpus n) {
  return {0, n, 0};
}

}  // namespace

TEST_CASE("cores of one process lie side by side in one domain, in the smallest gap that fits") {
  Allocator allocator(node_of(2, 8, 0));
  const auto six = allocator.take(cores(6), 1);
  REQUIRE(six);
  CHECK(six->front().cores == std::vector<std::uint32_t>{0, 1, 2, 3, 4, 5});
  // The gap of two behind it fits; the empty domain stays whole.
  const auto two = allocator.take(cores(2), 1);
  REQUIRE(two);
  CHECK(two->front().cores == std::vector<std::uint32_t>{6, 7});
  const auto eight = allocator.take(cores(8), 1);
  REQUIRE(eight);
  CHECK(eight->front().cores.front() == 8);
  CHECK(!allocator.take(cores(1), 1));
}

TEST_CASE("a process that fits into no gap takes free cores of one domain before it spans two") {
  Allocator allocator(node_of(2, 4, 0));
  const auto singles = allocator.take(cores(1), 8);
  REQUIRE(singles);
  // Free: 0 and 2 in the first domain, 4, 6 and 7 in the second.
  for (const std::size_t i : {0, 2, 4, 6, 7}) allocator.give_back({(*singles)[i]});
  const auto three = allocator.take(cores(3), 1);
  REQUIRE(three);
  CHECK(three->front().cores == std::vector<std::uint32_t>{4, 6, 7});
}

TEST_CASE("a process wider than a domain spans as few as possible") {
  Allocator allocator(node_of(4, 4, 0));
  const auto one = allocator.take(cores(1), 1);
  const auto wide = allocator.take(cores(8), 1);
  REQUIRE(wide);
  std::set<std::uint32_t> domains;
  for (const auto core : wide->front().cores) domains.insert(core / 4);
  CHECK(domains.size() == 2);
}

TEST_CASE("parts of GPUs are packed, so that whole GPUs stay whole") {
  Allocator allocator(node_of(1, 1, 2));
  const auto quarters = allocator.take(gpus(250), 4);
  REQUIRE(quarters);
  for (const auto& one : *quarters) {
    REQUIRE(one.gpus.size() == 1);
    CHECK(one.gpus[0].gpu == quarters->front().gpus[0].gpu);
  }
  const auto whole = allocator.take(gpus(whole_gpu), 1);
  REQUIRE(whole);
  CHECK(whole->front().gpus[0].gpu != quarters->front().gpus[0].gpu);
  CHECK(!allocator.take(gpus(250), 1));
}

TEST_CASE("a part is never put together from two GPUs") {
  Allocator allocator(node_of(1, 1, 2));
  REQUIRE(allocator.take(gpus(600), 2));
  CHECK(allocator.free_gpus() == 800);
  CHECK(!allocator.take(gpus(500), 1));
  CHECK(allocator.take(gpus(400), 2));
}

TEST_CASE("more than one GPU is whole ones") {
  Allocator allocator(node_of(1, 1, 3));
  const auto one_and_a_half = allocator.take(gpus(1500), 1);
  REQUIRE(one_and_a_half);
  CHECK(one_and_a_half->front().gpus.size() == 2);
  CHECK(allocator.free_gpus() == whole_gpu);
  CHECK(!allocator.ever_fits(gpus(1500), 2));
}

TEST_CASE("what does not fit as a whole takes nothing") {
  Allocator allocator(node_of(1, 4, 1));
  CHECK(!allocator.take({1, whole_gpu, 0}, 2));
  CHECK(allocator.free_cores() == 4);
  CHECK(allocator.free_gpus() == whole_gpu);
  CHECK(allocator.ever_fits({1, whole_gpu, 0}, 1));
  CHECK(!allocator.ever_fits({1, whole_gpu, 0}, 2));
  CHECK(!allocator.ever_fits(cores(3), 2));
  CHECK(allocator.ever_fits(gpus(333), 3));
  CHECK(!allocator.ever_fits(gpus(334), 3));
}

TEST_CASE("whatever is asked and given back in whatever order, nothing is ever out twice, and all comes back") {
  std::mt19937 random(12345);
  const auto below = [&](std::uint32_t n) { return static_cast<std::uint32_t>(random() % n); };
  for (int round = 0; round < 20; ++round) {
    const std::uint32_t domains = 1 + below(4);
    const std::uint32_t each = 1 + below(8);
    const std::uint32_t gpu_count = below(4);
    Allocator allocator(node_of(domains, each, gpu_count));
    std::vector<std::vector<Allocation>> out;
    std::size_t grants = 0;
    for (int step = 0; step < 500; ++step) {
      if (!out.empty() && below(2) == 0) {
        const std::size_t victim = below(static_cast<std::uint32_t>(out.size()));
        allocator.give_back(out[victim]);
        out.erase(out.begin() + static_cast<std::ptrdiff_t>(victim));
      } else {
        const Resources wanted{below(each + 3), std::vector<MilliGpus>{0, 0, 250, 500, 1000, 1500}[below(6)], 0};
        const std::uint32_t count = 1 + below(3);
        const std::uint32_t free_before = allocator.free_cores();
        auto got = allocator.take(wanted, count);
        if (got) {
          ++grants;
          REQUIRE(got->size() == count);
          for (const auto& one : *got) REQUIRE(one.cores.size() == wanted.cores);
          REQUIRE(allocator.ever_fits(wanted, count));
          out.push_back(std::move(*got));
        } else {
          REQUIRE(allocator.free_cores() == free_before);
          // Cores do not fragment: an amount that is free can be had.
          if (wanted.gpus == 0) REQUIRE(wanted.cores * count > free_before);
        }
      }
      std::set<std::uint32_t> cores_out;
      std::map<std::uint32_t, MilliGpus> gpus_out;
      for (const auto& grant : out) {
        for (const auto& one : grant) {
          for (const auto core : one.cores) {
            REQUIRE(core < domains * each);
            REQUIRE(cores_out.insert(core).second);
          }
          for (const auto& part : one.gpus) gpus_out[part.gpu] += part.amount;
        }
      }
      for (const auto& [gpu, amount] : gpus_out) {
        REQUIRE(gpu < gpu_count);
        REQUIRE(amount <= whole_gpu);
      }
      REQUIRE(allocator.free_cores() == domains * each - cores_out.size());
    }
    CHECK(grants > 0);
    for (const auto& grant : out) allocator.give_back(grant);
    CHECK(allocator.free_cores() == domains * each);
    CHECK(allocator.free_gpus() == gpu_count * whole_gpu);
  }
}

TEST_CASE("who does not fit waits, lets others pass, and is served when there is room") {
  ResourceQueue queue(node_of(1, 4, 0));
  std::vector<int> served;
  std::vector<Allocation> first;
  queue.ask(cores(3), 1, [&](auto got) {
    served.push_back(1);
    first = std::move(got);
  });
  queue.ask(cores(2), 1, [&](auto) { served.push_back(2); });
  queue.ask(cores(1), 1, [&](auto) { served.push_back(3); });
  CHECK(served == std::vector<int>{1, 3});
  CHECK(queue.waiting() == 1);
  queue.give_back(first);
  CHECK(served == std::vector<int>{1, 3, 2});
  CHECK(queue.waiting() == 0);
}

TEST_CASE("a withdrawn question is never granted, and a grant may give back at once") {
  ResourceQueue queue(node_of(1, 1, 0));
  std::vector<Allocation> held;
  queue.ask(cores(1), 1, [&](auto got) { held = std::move(got); });
  bool granted = false;
  const auto ticket = queue.ask(cores(1), 1, [&](auto) { granted = true; });
  int passed = 0;
  for (int i = 0; i < 3; ++i) {
    queue.ask(cores(1), 1, [&](auto got) {
      ++passed;
      queue.give_back(got);
    });
  }
  queue.withdraw(ticket);
  queue.give_back(held);
  CHECK(!granted);
  CHECK(passed == 3);
  CHECK(queue.allocator().free_cores() == 1);
}
