#include "proxy/http/loop.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <memory>
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
