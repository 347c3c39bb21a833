#include "proxy/http/loop.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

using namespace trireme::proxy::http;

namespace {

/// One end of a pair of sockets on a loop, which counts itself as a client when it has something.
class End final : public Resident {
 public:
  explicit End(Loop& loop) : Resident(loop) {
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends_.data()) == 0);
    REQUIRE(watch(ends_[0]));
  }
  ~End() override {
    unwatch(ends_[0]);
    for (const int end : ends_) ::close(end);
  }
  void ring() { CHECK(::write(ends_[1], "x", 1) == 1); }

 private:
  void on_ready(Ready ready) override {
    char byte = 0;
    if (ready.in && ::read(ends_[0], &byte, 1) == 1) count_client();
  }
  std::array<int, 2> ends_{};
};

/// A connection for which something may come beside its descriptor, whose edges say so where it has lain down.
class Beside final : public Resident {
 public:
  explicit Beside(Loop& loop) : Resident(loop) {
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends_.data()) == 0);
    REQUIRE(watch(ends_[0]));
  }
  ~Beside() override {
    unwatch(ends_[0]);
    for (const int end : ends_) ::close(end);
  }
  void come() {
    ++here;
    if (std::exchange(lying, false)) CHECK(::write(ends_[1], "x", 1) == 1);
  }
  int here = 0;
  int taken = 0;
  bool lying = true;

 private:
  void on_ready(Ready ready) override {
    char byte = 0;
    while (ready.in && ::read(ends_[0], &byte, 1) == 1) {
    }
    stay_awake();
    lying = false;
    taken += std::exchange(here, 0);
  }
  bool has_bytes() override { return here > 0; }
  bool lie_down() override { return lying = here == 0; }
  std::array<int, 2> ends_{};
};

struct Ends {
  explicit Ends(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) ends.push_back(std::make_unique<End>(loop));
    CHECK(loop.poll());  // that all can be written to is an edge
  }
  boost::asio::io_context io;
  Loop loop{io};
  std::vector<std::unique_ptr<End>> ends;
};

}  // namespace

TEST_CASE("one client is no crowd, however often it has something") {
  Ends ends(3);
  for (int i = 0; i < 100; ++i) {
    ends.ends[0]->ring();
    CHECK(ends.loop.poll());
  }
  CHECK_FALSE(ends.loop.crowded());
}

TEST_CASE("clients with something at the same time are a crowd") {
  Ends ends(3);
  ends.ends[0]->ring();
  ends.ends[2]->ring();
  CHECK(ends.loop.poll());
  CHECK(ends.loop.crowded());
}

TEST_CASE("what comes beside a descriptor is found while the loop is polled, and after a sleep by its edge") {
  boost::asio::io_context io;
  Loop loop(io);
  Beside one(loop);
  Beside other(loop);
  loop.poll();
  for (int i = 1; i <= 3; ++i) {
    one.come();
    CHECK(loop.poll());
    CHECK(one.taken == i);
    CHECK_FALSE(one.lying);
  }
  CHECK_FALSE(loop.poll());
  other.come();
  CHECK_FALSE(loop.lie_down());  // it would be slept over
  CHECK(loop.poll());
  CHECK(loop.lie_down());
  CHECK(one.lying);
  CHECK(other.lying);
  one.come();
  CHECK(loop.poll());
  CHECK(one.taken == 4);
}

TEST_CASE("a loop that is not polled asks for an edge each time") {
  boost::asio::io_context io;
  Loop loop(io);
  Beside one(loop);
  for (int i = 1; i <= 3; ++i) {
    one.come();
    for (int turn = 0; turn < 10 && one.taken < i; ++turn) io.run_one();
    CHECK(one.taken == i);
    CHECK(one.lying);
  }
}

TEST_CASE("one that ends while something has come beside its descriptor is told nothing more") {
  boost::asio::io_context io;
  Loop loop(io);
  auto one = std::make_unique<Beside>(loop);
  one->come();
  CHECK(loop.poll());
  one->come();
  one.reset();
  CHECK_FALSE(loop.poll());
  CHECK(loop.lie_down());
}
