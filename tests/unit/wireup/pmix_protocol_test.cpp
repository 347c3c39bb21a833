#include <doctest/doctest.h>

#include <random>

#include "launch/pmix/protocol.hpp"

using namespace trireme;
using namespace trireme::pmix;

TEST_CASE("messages come whole out of a stream that is cut anywhere") {
  const ToServer messages[] = {Open{"ns", 3, {"a", "b"}, {{0, 1}, {2}}, 1, "/tmp/x"},
                               FenceDone{7, std::string(5000, 'x')}, Left{"ns", 2}, Close{"ns"}};
  std::string stream;
  for (const ToServer& message : messages) stream += frame(message);
  for (const std::size_t step : {std::size_t{1}, std::size_t{7}, stream.size()}) {
    Reader<ToServer> reader;
    std::size_t count = 0;
    for (std::size_t at = 0; at < stream.size(); at += step) {
      reader.feed(std::string_view(stream).substr(at, step));
      while (auto message = reader.next()) {
        REQUIRE(message->ok());
        REQUIRE(count < std::size(messages));
        CHECK((*message)->index() == messages[count].index());
        CHECK(frame(**message) == frame(messages[count]));
        ++count;
      }
    }
    CHECK(count == std::size(messages));
  }
}

TEST_CASE("a length beyond the limit, and bytes that are no message, are errors and cost nothing") {
  Reader<FromServer> reader;
  reader.feed("\xff\xff\xff\xff");
  auto message = reader.next();
  REQUIRE(message);
  CHECK_FALSE(message->ok());

  std::mt19937 random(6);
  const std::string good = frame(FromServer(Opened{"ns", "", {{0, {"A=1", "B=2"}}, {1, {"A=1"}}}}));
  for (int round = 0; round < 2000; ++round) {
    std::string bytes = good;
    for (int i = 0; i < 3; ++i) bytes[4 + random() % (bytes.size() - 4)] = static_cast<char>(random());
    Reader<FromServer> damaged;
    damaged.feed(bytes);
    REQUIRE(damaged.next());
  }
}
