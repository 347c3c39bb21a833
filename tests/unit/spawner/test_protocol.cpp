// The frames: what is written is read, and nothing that is not a frame is believed.
#include <doctest/doctest.h>

#include <cstring>

#include "launch/spawner/protocol.hpp"

using namespace trireme::spawner;

namespace {

Spawn full_spawn() {
  Spawn spawn;
  spawn.id = 7;
  spawn.argv = {"program", "", std::string("a\nb")};
  spawn.env = {"A=1", "B="};
  spawn.cwd = "/tmp";
  spawn.stdout_path = "out";
  spawn.stderr_path = "err";
  spawn.append = true;
  spawn.cpus = {0, 63, 64};
  spawn.limits = {{7, 1024, 4096}};
  spawn.grace_ms = 5;
  spawn.timeout_ms = 1ull << 40;
  return spawn;
}

}  // namespace

TEST_CASE("a request arrives as it was sent, whole frames only, however the stream is cut") {
  std::string bytes;
  REQUIRE(encode(full_spawn(), bytes));
  REQUIRE(encode(Stop{7, 250}, bytes));
  FrameReader reader;
  std::vector<Request> got;
  for (const char byte : bytes) {
    reader.feed(std::string_view(&byte, 1));
    while (const auto frame = reader.next()) got.push_back(decode_request(*frame).value());
  }
  REQUIRE(got.size() == 2);
  const auto& spawn = std::get<Spawn>(got[0]);
  const Spawn sent = full_spawn();
  CHECK(spawn.argv == sent.argv);
  CHECK(spawn.env == sent.env);
  CHECK(spawn.cwd == sent.cwd);
  CHECK(spawn.stdin_path == "/dev/null");
  CHECK(spawn.stdout_path == "out");
  CHECK(spawn.stderr_path == "err");
  CHECK(spawn.append);
  CHECK(spawn.cpus == sent.cpus);
  CHECK(spawn.limits == sent.limits);
  CHECK(spawn.grace_ms == 5);
  CHECK(spawn.timeout_ms == 1ull << 40);
  CHECK(std::get<Stop>(got[1]).grace_ms == 250);
  CHECK(reader.buffered() == 0);
}

TEST_CASE("a report is not taken for a request, nor the other way round") {
  std::string bytes;
  REQUIRE(encode(Ended{.id = 3, .signo = 9, .timed_out = true, .max_rss_bytes = 5}, bytes));
  FrameReader reader;
  reader.feed(bytes);
  const auto frame = reader.next();
  REQUIRE(frame);
  CHECK_FALSE(decode_request(*frame));
  const auto report = decode_report(*frame);
  REQUIRE(report);
  CHECK(std::get<Ended>(*report).signo == 9);
  CHECK(std::get<Ended>(*report).timed_out);
  CHECK(std::get<Ended>(*report).max_rss_bytes == 5);
}

TEST_CASE("a frame beyond the limit is not written") {
  Spawn spawn = full_spawn();
  spawn.argv.push_back(std::string(max_frame, 'x'));
  std::string bytes = "before";
  CHECK_FALSE(encode(spawn, bytes));
  CHECK(bytes == "before");
}

TEST_CASE("another version or an absurd length makes the reader fail for good") {
  std::string good;
  REQUIRE(encode(Signal{1, 15}, good));
  for (const std::size_t at : {3u, 4u}) {
    std::string bad = good;
    bad[at] = '\x7f';
    FrameReader reader;
    reader.feed(bad);
    CHECK_FALSE(reader.next());
    CHECK(reader.failed());
    reader.feed(good);
    CHECK_FALSE(reader.next());
  }
}

TEST_CASE("a body cut short, padded, or with a count that lies is refused without allocating for it") {
  std::string bytes;
  REQUIRE(encode(full_spawn(), bytes));
  const std::string body = bytes.substr(header_bytes);
  for (std::size_t size = 0; size < body.size(); ++size) {
    CHECK_FALSE(decode_request({0, std::string_view(body).substr(0, size)}));
  }
  CHECK_FALSE(decode_request({0, body + "x"}));
  std::string lie = body;
  std::memset(lie.data() + 8, 0xff, 4);  // the number of arguments
  CHECK_FALSE(decode_request({0, lie}));
}
