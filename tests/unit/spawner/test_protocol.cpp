// The frames: what is written is read, and nothing that is not a frame is believed.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "launch/spawner/protocol.hpp"

using namespace trireme::spawner;

extern "C" char** environ;

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

TEST_CASE("a rank that does not read its reports is not read from either, and none of them is lost") {
  std::array<int, 2> pair{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) == 0);
  const auto [ours, theirs] = pair;
  const int moved = ::fcntl(theirs, F_DUPFD, 10);
  ::close(theirs);
  std::array<std::string, 7> words{
      TRIREME_TEST_SPAWNER, "--socket", std::to_string(moved), "--rank", std::to_string(::getpid()), "--log",
      "/dev/null"};
  std::array<char*, 8> argv{};
  for (std::size_t i = 0; i < words.size(); ++i) argv[i] = words[i].data();
  pid_t pid = 0;
  REQUIRE(::posix_spawn(&pid, argv[0], nullptr, nullptr, argv.data(), environ) == 0);
  ::close(moved);

  // Requests whose answers are as large as they are, until the spawner has taken none for a while.
  Spawn request;
  request.argv = {"/no/such/program/" + std::string(3000, 'x')};
  request.env = {"TRIREME_ATTEMPT=x"};
  std::string frame;
  std::size_t whole = 0;
  std::size_t sent = 0;
  pollfd writable{ours, POLLOUT, 0};
  constexpr std::size_t far_too_much = 64u << 20;
  while (sent < far_too_much && ::poll(&writable, 1, 1000) == 1) {
    if (frame.empty()) {
      request.id = ++whole;
      REQUIRE(encode(request, frame));
    }
    const auto put = ::send(ours, frame.data(), frame.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    REQUIRE(put > 0);
    sent += static_cast<std::size_t>(put);
    frame.erase(0, static_cast<std::size_t>(put));
  }
  CHECK(sent < far_too_much);
  if (!frame.empty()) --whole;  // the last one was only begun

  FrameReader reader;
  std::string chunk(1u << 16, '\0');
  std::size_t answered = 0;
  pollfd readable{ours, POLLIN, 0};
  while (answered < whole && ::poll(&readable, 1, 60'000) == 1) {
    const auto got = ::recv(ours, chunk.data(), chunk.size(), 0);
    REQUIRE(got > 0);
    reader.feed(std::string_view(chunk).substr(0, static_cast<std::size_t>(got)));
    while (const auto report = reader.next()) {
      const auto failed = decode_report(*report);
      REQUIRE(failed);
      CHECK(std::get<Failed>(*failed).id == ++answered);
    }
  }
  CHECK(answered == whole);
  ::close(ours);
  int status = 0;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  CHECK(status == 0);
}
