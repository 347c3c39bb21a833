#include "core/spin.hpp"

#include <doctest/doctest.h>

using namespace trireme;
using namespace std::chrono_literals;

namespace {

const Spin::Limits limits{.least = 50us, .most = 200us, .long_yield = 50us, .contended = 100ms, .contended_part = 32};
const Spin::Time start = Spin::Time{} + 1h;

}  // namespace

TEST_CASE("it looks for a moment after activity") {
  Spin spin(limits);
  CHECK_FALSE(spin.looks(start));
  spin.active(start);
  CHECK(spin.looks(start + 49us));
  CHECK_FALSE(spin.looks(start + 50us));
}

TEST_CASE("it looks longer where a sleep has ended soon, until one has lasted") {
  Spin spin(limits);
  spin.woken(120us);
  spin.active(start);
  CHECK(spin.looks(start + 199us));
  CHECK_FALSE(spin.looks(start + 200us));
  spin.woken(3ms);
  spin.active(start);
  CHECK_FALSE(spin.looks(start + 50us));
}

TEST_CASE("a long yield ends the looking, for the longer the longer it took") {
  Spin spin(limits);
  spin.active(start);
  spin.yielded(start, start + 10us);
  CHECK(spin.looks(start + 10us));
  spin.yielded(start, start + 60us);
  CHECK_FALSE(spin.looks(start + 60us));
  spin.active(start + 1ms);
  CHECK_FALSE(spin.looks(start + 1ms));
  spin.active(start + 2ms);
  CHECK(spin.looks(start + 2ms));

  const auto later = start + 1s;
  spin.yielded(later - 40ms, later);
  spin.active(later + 99ms);
  CHECK_FALSE(spin.looks(later + 99ms));
  spin.active(later + 100ms);
  CHECK(spin.looks(later + 100ms));
}
