#include "fabric/doorbell.hpp"

#include <doctest/doctest.h>
#include <poll.h>

using namespace trireme::fabric;

namespace {

bool readable(const Doorbell& bell) {
  pollfd entry{.fd = bell.descriptor(), .events = POLLIN, .revents = 0};
  return ::poll(&entry, 1, 0) == 1;
}

}  // namespace

TEST_CASE("a bell is heard by who sleeps, once for each sleep, and costs nothing while it is awake") {
  const auto bell = Doorbell::make();
  REQUIRE(bell);
  auto pull = BellPull::open(bell->address());
  REQUIRE(pull);
  pull->ring();
  CHECK(!readable(*bell));
  bell->lie_down();
  CHECK(!readable(*bell));
  pull->ring();
  pull->ring();
  CHECK(readable(*bell));
  CHECK(bell->answer());
  CHECK(!bell->answer());
  bell->lie_down();
  bell->get_up();
  pull->ring();
  CHECK(!readable(*bell));
}

TEST_CASE("a bell is only opened where the files of that process are the ones meant") {
  const auto bell = Doorbell::make();
  REQUIRE(bell);
  const BellAddress right = bell->address();
  BellAddress wrong = right;
  ++wrong.memory_inode;
  CHECK(!BellPull::open(wrong));
  wrong = right;
  ++wrong.pipe_inode;
  CHECK(!BellPull::open(wrong));
  wrong = right;
  wrong.pipe = wrong.memory;
  CHECK(!BellPull::open(wrong));
  CHECK(!BellPull::open({}));
}

TEST_CASE("ringing for a process that is gone is no error") {
  auto bell = Doorbell::make();
  REQUIRE(bell);
  auto pull = BellPull::open(bell->address());
  REQUIRE(pull);
  bell->lie_down();
  bell.reset();
  pull->ring();
}
