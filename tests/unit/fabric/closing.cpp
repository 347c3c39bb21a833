#include "fabric/closing.hpp"

#include <doctest/doctest.h>

using namespace trireme;
using namespace trireme::fabric;
using namespace std::chrono_literals;

using Step = Closing::Step;
using Stage = Closing::Stage;

namespace {

const SteadyTime start{};
const SteadyTime deadline = start + 5s;

}  // namespace

TEST_CASE("a rank says goodbye once all it sent is taken in, and ends when rank 0 has said it too") {
  Closing closing(false);
  CHECK(closing.step(start, {.drained = true}) == Step::wait);  // nobody has asked for the end
  closing.begin(deadline);
  CHECK(closing.stage() == Stage::draining);
  CHECK(closing.may_send());
  CHECK(closing.step(start, {.drained = false}) == Step::wait);
  CHECK(closing.step(start, {.drained = true}) == Step::say_goodbye);
  CHECK(!closing.may_send());
  CHECK(closing.step(start, {.drained = true}) == Step::wait);
  CHECK(closing.step(start, {.drained = true, .goodbyes_in = true}) == Step::wait);  // the last broadcast is to come
  CHECK(closing.step(start, {.drained = false, .goodbyes_in = true, .broadcasts_over = true}) == Step::wait);
  CHECK(closing.step(start, {.drained = true, .goodbyes_in = true, .broadcasts_over = true}) == Step::finish);
  CHECK(closing.closed());
  CHECK(closing.clean());
  CHECK(closing.step(deadline, {}) == Step::wait);
}

TEST_CASE("rank 0 waits for everyone's goodbye and for the epochs before it says its own") {
  Closing closing(true);
  closing.begin(deadline);
  CHECK(closing.step(start, {.drained = true, .epochs_over = true}) == Step::wait);
  CHECK(closing.step(start, {.drained = true, .goodbyes_in = true}) == Step::wait);
  CHECK(closing.step(start, {.drained = true, .epochs_over = true, .goodbyes_in = true}) == Step::say_goodbye);
  CHECK(closing.step(start, {.drained = true}) == Step::wait);
  CHECK(closing.step(start, {.drained = true, .broadcasts_over = true}) == Step::finish);
  CHECK(closing.clean());
}

TEST_CASE("after a loss there are no broadcasts to wait for, and the end is not clean") {
  Closing closing(true);
  closing.begin(deadline);
  const Closing::Facts facts{.drained = true, .lossless = false, .epochs_over = true, .goodbyes_in = true};
  CHECK(closing.step(start, facts) == Step::say_goodbye);
  CHECK(closing.step(start, facts) == Step::finish);
  CHECK(!closing.clean());
}

TEST_CASE("a rank that has lost rank 0 ends without goodbyes") {
  Closing closing(false);
  closing.begin(deadline);
  CHECK(closing.step(start, {.drained = true, .lossless = false, .pilot_lost = true}) == Step::finish);
  CHECK(!closing.clean());
}

TEST_CASE("the deadline ends every stage, and the first one counts") {
  for (const bool said_goodbye : {false, true}) {
    Closing closing(false);
    closing.begin(deadline);
    closing.begin(deadline + 1h);
    if (said_goodbye) CHECK(closing.step(start, {.drained = true}) == Step::say_goodbye);
    CHECK(closing.step(deadline - 1ns, {}) == Step::wait);
    CHECK(closing.step(deadline, {}) == Step::finish);
    CHECK(!closing.clean());
  }
}
