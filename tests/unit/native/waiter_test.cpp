#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>

#include "native/socket.hpp"

using namespace trireme::native;
using namespace std::chrono_literals;

TEST_CASE("who has much at a time sleeps instead of looking for more, once") {
  std::array<int, 2> ends{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) == 0);
  const int wake = make_eventfd();
  raise_flag(wake);
  Inbox in;
  // Only a sleep is ended by the flag: if it looked it would do so past the test's time limit.
  Waiter waiter(1h);
  waiter.rest();
  CHECK(waiter.receive(ends[0], in, wake, false, Clock::time_point::max()) == Waiter::Got::nothing);
  CHECK(::write(ends[1], "x", 1) == 1);
  waiter.rest();
  CHECK(waiter.receive(ends[0], in, wake, false, Clock::time_point::max()) == Waiter::Got::bytes);
  CHECK(in.view() == "x");
  for (const int descriptor : {ends[0], ends[1], wake}) ::close(descriptor);
}
