#include "services/mock/faults.hpp"

#include <doctest/doctest.h>

using namespace trireme;
using namespace trireme::mock;
using namespace std::chrono_literals;
using Kind = Fault::Kind;

TEST_CASE("faults: what is written is what is meant") {
  const auto faults = parse_faults("slow=2s@0.5,stall=3,reset,short,garbage,status=503@0.01,hang");
  REQUIRE(faults);
  CHECK(*faults == std::vector<Fault>{{.kind = Kind::slow, .delay = 2s, .probability = 0.5},
                                      {.kind = Kind::stall, .value = 3},
                                      {.kind = Kind::reset},
                                      {.kind = Kind::cut},
                                      {.kind = Kind::garbage},
                                      {.kind = Kind::status, .value = 503, .probability = 0.01},
                                      {.kind = Kind::hang}});
  CHECK(parse_faults("")->empty());
}

TEST_CASE("faults: what is no fault is refused") {
  for (const char* text : {"explode", "slow", "slow=soon", "stall=many", "status=42", "status=abc", "hang=1", "hang@2",
                           "hang@nan", "hang@-1", "reset=1x"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_faults(text));
  }
}

TEST_CASE("faults: the same seed draws the same, about as often as asked") {
  const auto faults = *parse_faults("status=500@0.2,reset@0.1");
  std::mt19937_64 one(7);
  std::mt19937_64 other(7);
  int errors = 0;
  int resets = 0;
  for (int i = 0; i < 10'000; ++i) {
    const auto fault = draw(faults, one);
    CHECK(fault == draw(faults, other));
    if (fault) ++(fault->kind == Kind::status ? errors : resets);
  }
  CHECK(errors > 1800);
  CHECK(errors < 2200);
  CHECK(resets > 650);  // 0.8 x 0.1
  CHECK(resets < 950);
}
