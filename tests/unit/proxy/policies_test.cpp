#include <doctest/doctest.h>

#include <vector>

#include "proxy/policies/policy.hpp"
#include "support.hpp"

using namespace trireme;
using namespace trireme::proxy;
using namespace trireme::proxy::test;

namespace {

Candidate candidate(std::uint32_t number, std::uint32_t outstanding, bool free = true, bool local = false) {
  return {.id = replica(number), .outstanding = outstanding, .free = free, .local = local};
}

}  // namespace

TEST_CASE("round robin: each in turn, passing over the busy, whoever comes and goes") {
  const auto policy = make_policy(PolicyKind::round_robin);
  const std::vector<Candidate> all{candidate(0, 0), candidate(1, 0), candidate(2, 0)};
  for (const std::size_t expected : {0, 1, 2, 0}) CHECK(policy->choose(all) == expected);
  const std::vector<Candidate> busy{candidate(0, 0), candidate(1, 4, false), candidate(2, 0)};
  for (const std::size_t expected : {2, 0, 2}) CHECK(policy->choose(busy) == expected);
  const std::vector<Candidate> fewer{candidate(0, 0), candidate(1, 0)};
  CHECK(policy->choose(fewer) == 0);
  CHECK_FALSE(policy->choose(std::vector{candidate(0, 1, false)}).has_value());
  CHECK_FALSE(policy->choose({}).has_value());
}

TEST_CASE("least outstanding: the fewest in flight, and the local one among equals") {
  const auto policy = make_policy(PolicyKind::least_outstanding);
  CHECK(policy->choose(std::vector{candidate(0, 3, true, true), candidate(1, 1), candidate(2, 2)}) == 1);
  for (int i = 0; i < 4; ++i) {
    CHECK(policy->choose(std::vector{candidate(0, 1), candidate(1, 1), candidate(2, 1, true, true)}) == 2);
  }
  CHECK(policy->choose(std::vector{candidate(0, 1), candidate(1, 0, false, true)}) == 0);
  CHECK_FALSE(policy->choose(std::vector{candidate(0, 1, false)}).has_value());
}

TEST_CASE("least outstanding: equals on other nodes take turns") {
  const auto policy = make_policy(PolicyKind::least_outstanding);
  const std::vector<Candidate> equal{candidate(0, 0), candidate(1, 0), candidate(2, 0)};
  std::vector<int> chosen(3);
  for (int i = 0; i < 9; ++i) ++chosen[policy->choose(equal).value()];
  CHECK(chosen == std::vector{3, 3, 3});
}
