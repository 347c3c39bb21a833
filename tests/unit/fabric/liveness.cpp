#include "fabric/liveness.hpp"

#include <doctest/doctest.h>

using namespace trireme;
using namespace trireme::fabric;
using namespace std::chrono_literals;

namespace {

const SteadyTime start = SteadyTime{} + 100s;

/// Ticks every 100 ms from `from` to `to`; `hear` are heard of each time.
std::vector<Rank> run(RankWatch& watch, Duration from, Duration to, std::vector<Rank> hear, int* beats = nullptr) {
  std::vector<Rank> silent;
  for (auto at = from; at <= to; at += 100ms) {
    for (const Rank rank : hear) watch.heard(rank, start + at);
    const auto tick = watch.tick(start + at);
    silent.insert(silent.end(), tick.silent.begin(), tick.silent.end());
    if (beats != nullptr && tick.beat) ++*beats;
  }
  return silent;
}

}  // namespace

TEST_CASE("a silent rank is reported once, and those that are heard of never") {
  RankWatch watch(1s, 10s, start);
  for (const Rank rank : {1, 2, 3}) watch.watch(rank, start);
  CHECK(run(watch, 0s, 9s, {1, 3}).empty());
  CHECK(run(watch, 9s, 12s, {1, 3}) == std::vector<Rank>{2});
  CHECK(run(watch, 12s, 60s, {1, 3}).empty());
}

TEST_CASE("heartbeats are due once per period") {
  RankWatch watch(1s, 10s, start);
  int beats = 0;
  run(watch, 0s, 10s, {}, &beats);
  CHECK(beats == 10);
}

TEST_CASE("a rank that said goodbye is not missed") {
  RankWatch watch(1s, 10s, start);
  watch.watch(1, start);
  watch.forget(1);
  CHECK(run(watch, 0s, 30s, {}).empty());
  watch.heard(1, start + 30s);  // a late word does not bring it back
  CHECK(run(watch, 30s, 60s, {}).empty());
}

TEST_CASE("an observer that was stopped itself does not take that for the others' silence") {
  RankWatch watch(1s, 10s, start);
  watch.watch(1, start);
  CHECK(run(watch, 0s, 3s, {1}).empty());
  // A minute passes in which nothing was looked at.
  CHECK(run(watch, 63s, 70s, {}).empty());
  CHECK(run(watch, 70s, 75s, {}) == std::vector<Rank>{1});
}
