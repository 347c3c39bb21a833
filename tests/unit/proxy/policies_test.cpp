#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "proxy/policies/hash64.hpp"
#include "proxy/policies/policy.hpp"
#include "proxy/policies/prefix.hpp"
#include "proxy/policies/prefix_hashes.hpp"
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
  const auto policy = make_policy(PolicyKind::round_robin, 1);
  const std::vector<Candidate> all{candidate(0, 0), candidate(1, 0), candidate(2, 0)};
  for (const std::size_t expected : {0, 1, 2, 0}) CHECK(policy->choose(all, {}) == expected);
  const std::vector<Candidate> busy{candidate(0, 0), candidate(1, 4, false), candidate(2, 0)};
  for (const std::size_t expected : {2, 0, 2}) CHECK(policy->choose(busy, {}) == expected);
  const std::vector<Candidate> fewer{candidate(0, 0), candidate(1, 0)};
  CHECK(policy->choose(fewer, {}) == 0);
  CHECK_FALSE(policy->choose(std::vector{candidate(0, 1, false)}, {}).has_value());
  CHECK_FALSE(policy->choose({}, {}).has_value());
}

TEST_CASE("least outstanding: the fewest in flight, and the local one among equals") {
  const auto policy = make_policy(PolicyKind::least_outstanding, 1);
  CHECK(policy->choose(std::vector{candidate(0, 3, true, true), candidate(1, 1), candidate(2, 2)}, {}) == 1);
  for (int i = 0; i < 4; ++i) {
    CHECK(policy->choose(std::vector{candidate(0, 1), candidate(1, 1), candidate(2, 1, true, true)}, {}) == 2);
  }
  CHECK(policy->choose(std::vector{candidate(0, 1), candidate(1, 0, false, true)}, {}) == 0);
  CHECK_FALSE(policy->choose(std::vector{candidate(0, 1, false)}, {}).has_value());
}

TEST_CASE("least outstanding: equals on other nodes take turns") {
  const auto policy = make_policy(PolicyKind::least_outstanding, 1);
  const std::vector<Candidate> equal{candidate(0, 0), candidate(1, 0), candidate(2, 0)};
  std::vector<int> chosen(3);
  for (int i = 0; i < 9; ++i) ++chosen[policy->choose(equal, {}).value()];
  CHECK(chosen == std::vector{3, 3, 3});
}

TEST_CASE("random and power of two: never a busy one, and each replica its share") {
  for (const PolicyKind kind : {PolicyKind::random, PolicyKind::power_of_two}) {
    const auto policy = make_policy(kind, 7);
    CHECK_FALSE(policy->choose({}, {}).has_value());
    CHECK_FALSE(policy->choose(std::vector{candidate(0, 1, false)}, {}).has_value());
    CHECK(policy->choose(std::vector{candidate(0, 1, false), candidate(1, 9)}, {}) == 1);
    std::vector<Candidate> equal;
    for (std::uint32_t i = 0; i < 10; ++i) equal.push_back(candidate(i, 0, i != 3));
    std::vector<int> chosen(10);
    for (int i = 0; i < 9000; ++i) ++chosen[policy->choose(equal, {}).value()];
    CHECK(chosen[3] == 0);
    for (std::size_t i = 0; i < 10; ++i) {
      if (i == 3) continue;
      CHECK(chosen[i] > 800);
      CHECK(chosen[i] < 1200);
    }
  }
}

TEST_CASE("power of two: the busier of two loses, the local one wins a tie") {
  const auto policy = make_policy(PolicyKind::power_of_two, 3);
  for (int i = 0; i < 50; ++i) {
    CHECK(policy->choose(std::vector{candidate(0, 3), candidate(1, 2)}, {}) == 1);
    CHECK(policy->choose(std::vector{candidate(0, 2), candidate(1, 2, true, true)}, {}) == 1);
  }
  // Balls into bins: far more even than one choice.
  std::vector<Candidate> bins;
  for (std::uint32_t i = 0; i < 50; ++i) bins.push_back(candidate(i, 0));
  for (int i = 0; i < 5000; ++i) ++bins[policy->choose(bins, {}).value()].outstanding;
  for (const Candidate& bin : bins) {
    CHECK(bin.outstanding >= 95);
    CHECK(bin.outstanding <= 105);
  }
}

namespace {

Affinity session(std::uint64_t number) {
  return {.session = hash64("session-" + std::to_string(number), 0), .prefix = {}};
}

std::vector<std::size_t> homes(Policy& policy, const std::vector<Candidate>& candidates, std::uint64_t sessions) {
  std::vector<std::size_t> out;
  for (std::uint64_t i = 0; i < sessions; ++i) {
    out.push_back(candidates[policy.choose(candidates, session(i)).value()].id.replica);
  }
  return out;
}

std::vector<Candidate> idle(std::uint32_t count) {
  std::vector<Candidate> out;
  for (std::uint32_t i = 0; i < count; ++i) out.push_back(candidate(i, 0));
  return out;
}

}  // namespace

TEST_CASE("hash: one session, one replica; sessions are spread; who comes or goes moves only its own") {
  const auto policy = make_policy(PolicyKind::hash, 1);
  const std::vector<Candidate> ten = idle(10);
  const auto before = homes(*policy, ten, 10'000);
  CHECK(before == homes(*make_policy(PolicyKind::hash, 2), ten, 10'000));
  std::vector<int> share(10);
  for (const std::size_t home : before) ++share[home];
  for (const int n : share) {
    CHECK(n > 850);
    CHECK(n < 1150);
  }
  std::vector<Candidate> without = ten;
  without.erase(without.begin() + 4);
  const auto after = homes(*policy, without, 10'000);
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (before[i] != 4) CHECK(after[i] == before[i]);
  }
  const auto grown = homes(*policy, idle(11), 10'000);
  int moved = 0;
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (grown[i] == before[i]) continue;
    CHECK(grown[i] == 10);
    ++moved;
  }
  CHECK(moved > 700);
  CHECK(moved < 1100);
}

TEST_CASE("hash: what everybody wants of one replica overflows to others, within the bound") {
  const auto policy = make_policy(PolicyKind::hash, 1);
  std::vector<Candidate> replicas = idle(10);
  for (int i = 0; i < 1000; ++i) ++replicas[policy->choose(replicas, session(1)).value()].outstanding;
  for (const Candidate& replica : replicas) CHECK(replica.outstanding <= 126);  // 1.25 of the mean
  // Its replica is taken though it has no free slot, so the request can wait for it.
  std::vector<Candidate> few = idle(2);
  const std::size_t home = policy->choose(few, session(1)).value();
  few[home].free = false;
  few[home].outstanding = 1;
  CHECK(policy->choose(few, session(1)) == home);
  few[home].outstanding = 50;
  CHECK(policy->choose(few, session(1)) == 1 - home);
  CHECK(policy->choose(few, {}) == 1 - home);  // no session: the fewest in flight
  CHECK(policy->sticky());
}

namespace {

/// A prompt that begins with `common` letters that all of its family share.
Affinity prompt(std::uint64_t family, std::uint64_t own, std::size_t common = 2000, std::size_t rest = 500) {
  std::string text;
  while (text.size() < common) text += "family " + std::to_string(family) + " ";
  text.resize(common);
  while (text.size() < common + rest) text += "own " + std::to_string(own) + " ";
  const std::string_view view = text;
  return {.session = std::nullopt, .prefix = prefix_hashes({&view, 1})};
}

}  // namespace

TEST_CASE("prefix hashes: as many shared as the beginnings are alike, wherever the texts are divided") {
  const std::string text(5000, 'a');
  const std::string_view whole = text;
  const auto hashes = prefix_hashes({&whole, 1});
  CHECK(hashes.size() > 8);
  std::string changed = text;
  changed[3000] = 'b';
  const std::string_view other = changed;
  const auto different = prefix_hashes({&other, 1});
  std::size_t same = 0;
  while (same < hashes.size() && hashes[same] == different[same]) ++same;
  CHECK(same > hashes.size() / 2);
  CHECK(same < hashes.size());
  CHECK(prefix_hashes({}).empty());
  const std::string_view small = whole.substr(0, prefix_step - 1);
  CHECK(prefix_hashes({&small, 1}).empty());
  const std::string longest(1u << 20, 'x');
  const std::string_view view = longest;
  CHECK(prefix_hashes({&view, 1}).size() == prefix_depth);
}

TEST_CASE("prefix: a prompt goes where its beginning has been seen, others to the idlest") {
  Prefix policy;
  std::vector<Candidate> replicas = idle(4);
  std::vector<std::size_t> home(40);
  for (std::uint64_t family = 0; family < home.size(); ++family) {
    home[family] = policy.choose(replicas, prompt(family, 0)).value();
    policy.placed(replicas[home[family]].id, prompt(family, 0));
  }
  for (std::size_t i = 0; i < 4; ++i) CHECK(std::count(home.begin(), home.end(), i) == 10);
  for (std::uint64_t family = 0; family < home.size(); ++family) {
    CHECK(policy.choose(replicas, prompt(family, 7)) == home[family]);
  }
  // It waits for that one if it is only busy, and gives way if it is overloaded relative to the others.
  replicas[home[0]].free = false;
  replicas[home[0]].outstanding = 3;
  CHECK(policy.choose(replicas, prompt(0, 8)) == home[0]);
  replicas[home[0]].outstanding = 100;
  CHECK(policy.choose(replicas, prompt(0, 8)) != home[0]);
  // The same replica in its next life has an empty cache.
  replicas = idle(4);
  replicas[home[0]].id.attempt = 1;
  for (std::size_t i = 0; i < 4; ++i) replicas[i].outstanding = i == home[0] ? 3 : i == home[1] ? 0 : 1;
  CHECK(policy.choose(replicas, prompt(0, 9)) == home[1]);
}

TEST_CASE("prefix: a short beginning that all share draws nobody to one place") {
  Prefix policy;
  std::vector<Candidate> replicas = idle(4);
  for (std::uint64_t i = 0; i < 400; ++i) {
    const Affinity affinity = prompt(0, i, 128, 4000);
    const std::size_t chosen = policy.choose(replicas, affinity).value();
    policy.placed(replicas[chosen].id, affinity);
    ++replicas[chosen].outstanding;
  }
  for (const Candidate& replica : replicas) CHECK(replica.outstanding == 100);
}

TEST_CASE("prefix index: bounded memory, the least recently used beginnings go first, and ends before starts") {
  PrefixIndex index(100);
  std::vector<const PrefixIndex::Node*> found;
  const Affinity kept = prompt(0, 0);
  for (std::uint64_t i = 0; i < 1000; ++i) {
    index.insert(kept.prefix, replica(0));
    index.insert(prompt(i, i).prefix, replica(1));
    CHECK(index.size() <= 100);
    index.match(kept.prefix, found);
    CHECK(found.size() == kept.prefix.size());
  }
  CHECK(index.memory() <= 100 * sizeof(PrefixIndex::Node) + 256 * sizeof(std::uint32_t));
  index.match(prompt(5, 5).prefix, found);
  CHECK(found.empty());
  // Of what is left of an old path its beginning is there, as a path from the start.
  const Affinity last = prompt(999, 999);
  index.match(last.prefix, found);
  CHECK(found.size() == last.prefix.size());
  for (std::uint64_t i = 0; i < 4; ++i) index.insert(last.prefix, replica(static_cast<std::uint32_t>(10 + i)));
  index.match(last.prefix, found);
  for (const auto* node : found) {
    CHECK(node->seen[0] == PrefixIndex::replica_key(replica(13)));
    CHECK(std::find(node->seen.begin(), node->seen.end(), PrefixIndex::replica_key(replica(1))) == node->seen.end());
  }
}
