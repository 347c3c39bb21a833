// Real proxies and sockets; the client and the replica are written here in frames, so each can break the rules.
#include <doctest/doctest.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <future>
#include <map>
#include <string>

#include "../client.hpp"
#include "../cluster.hpp"
#include "../support.hpp"
#include "native/rings.hpp"
#include "proxy/native/frame.hpp"

using namespace trireme;
using namespace trireme::proxy;
using namespace trireme::proxy::test;
namespace native = trireme::proxy::native;
using native::Type;

namespace {

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

struct Got {
  Type type = Type::data;
  bool end = false;
  std::uint64_t id = 0;
  std::string payload;
};

/// One end of a connection, blocking; reads fail the test after 20 s.
class End {
 public:
  explicit End(int descriptor) : descriptor_(descriptor) {}
  ~End() {
    close();
    if (passed_ >= 0) ::close(passed_);
  }
  End(const End&) = delete;
  End& operator=(const End&) = delete;

  void close() {
    if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
  }
  void write(const std::string& bytes) {
    std::size_t at = 0;
    while (rings_ != nullptr && at < bytes.size()) {
      const long n = rings_->send(descriptor_, std::string_view(bytes).substr(at));
      if (n < 0) return;
      at += static_cast<std::size_t>(n);
      if (at < bytes.size() && !bell()) return;
    }
    while (at < bytes.size()) {
      const ssize_t n = ::send(descriptor_, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
      if (n <= 0) return;
      at += static_cast<std::size_t>(n);
    }
  }
  /// From here on through the memory that came with the welcome.
  void use_memory() {
    rings_ = frames::Rings::attach(std::exchange(passed_, -1));
    REQUIRE(rings_ != nullptr);
  }
  /// Sends a welcome, and goes on through memory that it makes.
  void pass_memory(const std::string& welcome) {
    int made = -1;
    auto rings = frames::Rings::make(made);
    REQUIRE(rings != nullptr);
    REQUIRE(frames::send_with_descriptor(descriptor_, welcome, made));
    ::close(made);
    rings_ = std::move(rings);
  }
  /// What came with the welcome.
  int passed() const { return passed_; }
  void expect_preface() {
    while (held_.size() < native::preface.size()) REQUIRE(more());
    REQUIRE(held_.starts_with(native::preface));
    held_.erase(0, native::preface.size());
  }
  /// The next frame; none at the end of the connection.
  std::optional<Got> next() {
    for (;;) {
      native::Frame frame;
      std::size_t consumed = 0;
      const auto parsed = native::parse(held_, frame, consumed);
      REQUIRE(parsed != native::Parsed::bad);
      if (parsed == native::Parsed::done) {
        Got got{frame.type, frame.end, frame.id, std::string(frame.payload)};
        held_.erase(0, consumed);
        return got;
      }
      if (!more()) return std::nullopt;
    }
  }
  Got expect(Type type) {
    const auto got = next();
    REQUIRE(got);
    REQUIRE(got->type == type);
    return *got;
  }

 private:
  /// False: the end.
  bool bell() {
    pollfd wait{descriptor_, POLLIN, 0};
    REQUIRE(::poll(&wait, 1, 20'000) == 1);
    return rings_->answer_bell(descriptor_);
  }
  bool more() {
    char bytes[65536];
    while (rings_ != nullptr) {
      const long n = rings_->receive(descriptor_, bytes, sizeof bytes);
      if (n == 0 || (n < 0 && errno != EAGAIN)) return false;
      if (n > 0) {
        held_.append(bytes, static_cast<std::size_t>(n));
        return true;
      }
      if (rings_->lie_down()) bell();
      rings_->get_up();
    }
    pollfd wait{descriptor_, POLLIN, 0};
    REQUIRE(::poll(&wait, 1, 20'000) == 1);
    int passed = -1;
    const ssize_t n = frames::receive_with_descriptor(descriptor_, bytes, sizeof bytes, passed);
    if (passed >= 0) passed_ = passed;
    if (n <= 0) return false;
    held_.append(bytes, static_cast<std::size_t>(n));
    return true;
  }
  int descriptor_;
  int passed_ = -1;
  std::unique_ptr<frames::Rings> rings_;
  std::string held_;
};

std::string request(std::uint64_t id, const std::string& target, const std::string& body,
                    const http::Headers& headers = {}) {
  http::RequestHead head;
  head.method = "POST";
  head.target = target;
  head.headers = headers;
  head.body = {http::Body::Kind::length, body.size()};
  std::string out;
  native::append_request(out, id, head, body, true);
  return out;
}

std::string answer(std::uint64_t id, const std::string& body) {
  http::ResponseHead head;
  head.body = {http::Body::Kind::length, body.size()};
  std::string out;
  native::append_response(out, id, head, body, true);
  return out;
}

/// Two ranks, with a replica of `llama` on one of them: a listening socket that the test answers at.
struct Stage {
  explicit Stage(Rank replica_on, http::Peer peer = http::Peer::ours, std::uint32_t concurrency = 16,
                 const http::ServerLimits& limits = {})
      : folder(make_folder()), cluster(2, options(folder, peer, limits)) {
    listener = ::socket(AF_UNIX, SOCK_STREAM, 0);
    const auto address = address_of(folder + "/replica");
    REQUIRE(::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(listener, 8) == 0);
    ServiceEndpoint service = service_on({}, concurrency);
    service.api = ServiceApi::native;
    service.replicas = {replica_at(0, replica_on, 0)};
    service.replicas[0].socket = folder + "/replica";
    cluster.publish({service});
  }
  ~Stage() {
    ::close(listener);
    std::filesystem::remove_all(folder);
  }
  static std::string make_folder() {
    char name[] = "/tmp/trireme-test-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    return name;
  }
  static ProxyOptions options(const std::string& folder, http::Peer peer, const http::ServerLimits& limits) {
    ProxyOptions options;
    options.client_limits = limits;
    options.socket = folder + "/proxy";
    options.identify = [peer](int) { return peer; };
    return options;
  }
  int dial() const {
    const int descriptor = ::socket(AF_UNIX, SOCK_STREAM, 0);
    const auto address = address_of(folder + "/proxy");
    REQUIRE(::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    return descriptor;
  }
  /// What a client says first, with the frames after it.
  static std::string hello(const std::string& more = {}, const std::string& token = {}) {
    return hello_of(native::first_version, token) + more;
  }
  static std::string hello_of(std::uint16_t version, const std::string& token = {}) {
    std::string out(native::preface);
    native::append_hello(out, {.version = version, .token = token});
    return out;
  }
  /// The proxy's connection to the replica, greeted.
  int accept() const {
    pollfd wait{listener, POLLIN, 0};
    REQUIRE(::poll(&wait, 1, 20'000) == 1);
    return ::accept(listener, nullptr, nullptr);
  }
  static void greet(End& proxy) {
    proxy.expect_preface();
    proxy.expect(Type::hello);
    proxy.write(welcome_of(native::first_version));
  }
  static std::string welcome_of(std::uint16_t version) {
    std::string out;
    native::append_welcome(out, {.version = version, .window = 256 << 10, .requests = 1024});
    return out;
  }
  static void greet_with_memory(End& proxy) {
    proxy.expect_preface();
    const auto hello = native::read_hello(proxy.expect(Type::hello).payload);
    REQUIRE(hello);
    CHECK(hello->version == native::version);
    proxy.pass_memory(welcome_of(native::version));
  }

  const std::string folder;
  Cluster cluster;
  int listener = -1;
};

}  // namespace

TEST_CASE("native: pipelined requests reach a replica on this rank or another and are answered in its order") {
  for (const Rank where : {0, 1}) {
    CAPTURE(where);
    Stage stage(where);
    End client(stage.dial());
    client.write(Stage::hello(request(1, "/services/llama/a?b", "first") + request(2, "/services/llama/", "second")));
    client.expect(Type::welcome);
    End replica(stage.accept());
    Stage::greet(replica);
    std::map<std::string, std::uint64_t> ids;
    for (int i = 0; i < 2; ++i) {
      const Got got = replica.expect(Type::request);
      CHECK(got.end);
      const auto read = native::read_request(got.payload);
      REQUIRE(read);
      if (read->body == "first") CHECK(read->head.target == "/a?b");
      ids[std::string(read->body)] = got.id;
    }
    REQUIRE(ids.size() == 2);
    replica.write(answer(ids["second"], "two"));
    const Got second = client.expect(Type::response);
    CHECK(second.id == 2);
    CHECK(second.end);
    CHECK(native::read_response(second.payload)->body == "two");
    replica.write(answer(ids["first"], "one"));
    const Got first = client.expect(Type::response);
    CHECK(first.id == 1);
    CHECK(native::read_response(first.payload)->body == "one");
  }
}

TEST_CASE("native: an HTTP client is answered by a native replica") {
  Stage stage(1);
  auto asked = std::async(std::launch::async, [url = stage.cluster.url(0, "/services/llama/x")] {
    return ask(url, {.method = "POST", .body = "question"});
  });
  End replica(stage.accept());
  Stage::greet(replica);
  const Got got = replica.expect(Type::request);
  const auto read = native::read_request(got.payload);
  REQUIRE(read);
  CHECK(read->head.target == "/x");
  CHECK(read->body == "question");
  replica.write(answer(got.id, "reply"));
  const Answer said = asked.get();
  CHECK(said.status == 200);
  CHECK(said.body == "reply");
}

TEST_CASE("native: what is wrong has the statuses of HTTP, and ends nothing but its request") {
  Stage stage(0);
  End client(stage.dial());
  client.write(Stage::hello(
      request(1, "/services/nobody/", "") + request(2, "/services/llama/", "", {{"X-Trireme-Priority", "urgent"}}) +
      request(3, "/runtime/tasks", "") + request(4, "/services/llama/", "", {{"X-Trireme-Deadline", "0.05"}})));
  client.expect(Type::welcome);
  for (int i = 0; i < 4; ++i) {
    const Got got = client.expect(Type::response);
    CHECK(native::read_response(got.payload)->head.status ==
          std::map<std::uint64_t, int>{{1, 404}, {2, 400}, {3, 403}, {4, 504}}[got.id]);
  }
}

TEST_CASE("native: a cancelled request, and one whose client goes away, is cancelled at the replica") {
  for (const bool leaves : {false, true}) {
    CAPTURE(leaves);
    Stage stage(1);
    End client(stage.dial());
    client.write(Stage::hello(request(1, "/services/llama/", "x")));
    client.expect(Type::welcome);
    End replica(stage.accept());
    Stage::greet(replica);
    const Got got = replica.expect(Type::request);
    if (leaves) {
      client.close();
    } else {
      std::string out;
      native::append(out, {.type = Type::cancel, .end = true, .id = 1, .payload = {}});
      client.write(out);
    }
    CHECK(replica.expect(Type::cancel).id == got.id);
  }
}

TEST_CASE("native: a client that does not take its answer loses it, and the replica's slot is free again") {
  http::ServerLimits limits;
  limits.stall_timeout = std::chrono::milliseconds(50);
  Stage stage(0, http::Peer::ours, 1, limits);
  End client(stage.dial());
  client.write(Stage::hello(request(1, "/services/llama/", "")));
  client.expect(Type::welcome);
  End replica(stage.accept());
  Stage::greet(replica);
  const std::uint64_t id = replica.expect(Type::request).id;
  http::ResponseHead head;
  head.body = {http::Body::Kind::length, 1u << 20};
  const std::string half_window(defaults::stream_window / 2, 'x');
  std::string out;
  native::append_response(out, id, head, half_window, false);
  native::append_data(out, id, half_window, false);
  replica.write(out);
  replica.expect(Type::window);
  out.clear();
  native::append_data(out, id, "more than the client allows", false);
  replica.write(out);
  std::optional<Got> got = client.next();
  while (got && got->type != Type::failure) got = client.next();
  REQUIRE(got);
  CHECK(got->id == 1);
  CHECK(native::read_failure(got->payload)->status == 408);
  client.write(request(2, "/services/llama/", "next"));
  std::optional<Got> at_replica = replica.next();
  bool cancelled = false;
  while (at_replica && at_replica->type != Type::request) {
    cancelled |= at_replica->type == Type::cancel && at_replica->id == id;
    at_replica = replica.next();
  }
  CHECK(cancelled);
  CHECK(at_replica);
}

TEST_CASE("native: a replica that dies fails what it had, with 502") {
  Stage stage(0);
  End client(stage.dial());
  client.write(Stage::hello(request(1, "/services/llama/", "x")));
  client.expect(Type::welcome);
  {
    End replica(stage.accept());
    Stage::greet(replica);
    replica.expect(Type::request);
  }
  const Got got = client.expect(Type::response);
  CHECK(native::read_response(got.payload)->head.status == 502);
}

TEST_CASE("native: a replica that breaks the rules fails its requests, not the proxy") {
  Stage stage(0);
  End client(stage.dial());
  client.write(Stage::hello(request(1, "/services/llama/", "x")));
  client.expect(Type::welcome);
  End replica(stage.accept());
  replica.write(std::string(64, '\xff'));
  const Got got = client.expect(Type::response);
  CHECK(native::read_response(got.payload)->head.status == 502);
}

TEST_CASE("native: whoever breaks the rules is told and cut off") {
  std::string twice = request(5, "/services/nobody/", "") + request(5, "/services/nobody/", "");
  std::string early;
  native::append_window(early, 9, 1);
  std::string welcome;
  native::append_welcome(welcome, {});
  for (const std::string& bad : {twice, early, welcome, std::string(16, '\xff')}) {
    Stage stage(0);
    End client(stage.dial());
    client.write(Stage::hello(bad));
    client.expect(Type::welcome);
    std::optional<Got> got = client.next();
    while (got && got->type == Type::response) got = client.next();
    REQUIRE(got);
    CHECK(got->type == Type::failure);
    CHECK(got->id == 0);
    CHECK_FALSE(client.next());
  }
}

TEST_CASE("native: who cannot be told needs a token, and another user is refused") {
  Stage stage(0, http::Peer::unknown);
  {
    End client(stage.dial());
    client.write(Stage::hello({}, "wrong"));
    const Got got = client.expect(Type::failure);
    CHECK(native::read_failure(got.payload)->status == 401);
    CHECK_FALSE(client.next());
  }
  End client(stage.dial());
  client.write(Stage::hello({}, stage.cluster.run.inference_token));
  client.expect(Type::welcome);
}

TEST_CASE("native: a large body passes in both directions, no further than its windows allow") {
  Stage stage(1);
  constexpr std::size_t size = 3u << 20;
  End client(stage.dial());
  http::RequestHead head;
  head.method = "POST";
  head.target = "/services/llama/";
  head.body = {http::Body::Kind::length, size};
  std::string out;
  native::append_request(out, 1, head, {}, false);
  client.write(Stage::hello(out));
  client.expect(Type::welcome);
  End replica(stage.accept());
  Stage::greet(replica);
  std::uint64_t id = 0;
  std::size_t credit = 256 << 10;
  std::size_t sent = 0;
  std::size_t arrived = 0;
  std::size_t granted = 256 << 10;
  auto reader = std::async(std::launch::async, [&] {
    for (bool end = false; !end;) {
      const auto got = replica.next();
      REQUIRE(got);
      id = got->id;
      end = got->end;
      if (got->type != Type::data) continue;
      arrived += got->payload.size();
      CHECK(arrived <= granted);
      std::string window;
      native::append_window(window, id, got->payload.size());
      granted += got->payload.size();
      replica.write(window);
    }
  });
  while (sent < size) {
    const std::size_t part = std::min({credit, size - sent, std::size_t{64} << 10});
    if (part == 0) {
      credit += *native::read_window(client.expect(Type::window).payload);
      continue;
    }
    credit -= part;
    sent += part;
    std::string data;
    native::append_data(data, 1, std::string(part, 'x'), sent == size);
    client.write(data);
  }
  reader.get();
  CHECK(arrived == size);
  replica.write(answer(id, "thanks"));
  for (;;) {
    const auto got = client.next();
    REQUIRE(got);
    if (got->type == Type::window) continue;
    CHECK(got->type == Type::response);
    break;
  }
}

TEST_CASE(
    "native: a request waits for a slot, is given the next one, and what waits at its deadline is answered with 504") {
  Stage stage(0, http::Peer::ours, 1);
  End client(stage.dial());
  client.write(Stage::hello(request(1, "/services/llama/", "first") + request(2, "/services/llama/", "second") +
                            request(3, "/services/llama/", "third", {{"X-Trireme-Deadline", "0.05"}})));
  client.expect(Type::welcome);
  End replica(stage.accept());
  Stage::greet(replica);
  const Got first = replica.expect(Type::request);
  CHECK(native::read_request(first.payload)->body == "first");
  const Got late = client.expect(Type::response);
  CHECK(late.id == 3);
  CHECK(native::read_response(late.payload)->head.status == 504);
  replica.write(answer(first.id, "one"));
  CHECK(client.expect(Type::response).id == 1);
  const Got second = replica.expect(Type::request);
  CHECK(native::read_request(second.payload)->body == "second");
  replica.write(answer(second.id, "two"));
  CHECK(client.expect(Type::response).id == 2);
}

TEST_CASE("native: a request that its replica does not answer before the deadline is cancelled there") {
  Stage stage(0);
  End client(stage.dial());
  client.write(Stage::hello(request(1, "/services/llama/", "x", {{"X-Trireme-Deadline", "0.05"}})));
  client.expect(Type::welcome);
  End replica(stage.accept());
  Stage::greet(replica);
  const Got got = replica.expect(Type::request);
  const Got said = client.expect(Type::response);
  CHECK(native::read_response(said.payload)->head.status == 504);
  CHECK(replica.expect(Type::cancel).id == got.id);
}

TEST_CASE(
    "native: a replica is not shown the client's credentials, and the client is told who answered, on either way") {
  for (const Rank where : {0, 1}) {
    CAPTURE(where);
    Stage stage(where);
    End client(stage.dial());
    client.write(Stage::hello(request(1, "/services/llama?x=1", "body",
                                      {{"Authorization", "Bearer secret"},
                                       {"Cookie", "a=b"},
                                       {"X-Trireme-Priority", "high"},
                                       {"Proxy-Secret", "x"},
                                       {"X-Request-Id", "mine"},
                                       {"X-Kept", "yes"}})));
    client.expect(Type::welcome);
    End replica(stage.accept());
    Stage::greet(replica);
    const Got got = replica.expect(Type::request);
    const auto seen = native::read_request(got.payload);
    REQUIRE(seen);
    CHECK(seen->head.target == "/?x=1");
    CHECK(seen->head.headers == http::Headers{{"X-Kept", "yes"}, {"X-Request-Id", "mine"}});
    http::ResponseHead head;
    head.status = 418;
    head.headers = {{"X-Trireme-Replica", "somebody else"}, {"X-Answer", "yes"}, {"X-Request-Id", "other"}};
    head.body = {http::Body::Kind::length, 3};
    std::string out;
    native::append_response(out, got.id, head, "tea", true);
    replica.write(out);
    const Got answered = client.expect(Type::response);
    const auto told = native::read_response(answered.payload);
    REQUIRE(told);
    CHECK(told->head.status == 418);
    CHECK(told->body == "tea");
    CHECK(http::find(told->head.headers, "X-Answer") == "yes");
    CHECK(std::string(http::find(told->head.headers, "X-Trireme-Replica").value_or("")).starts_with("llama/0"));
    CHECK(http::find(told->head.headers, "X-Request-Id") == "mine");
    CHECK(told->head.headers.size() == 3);
  }
}

TEST_CASE("native: requests in frames are counted as all others are") {
  Stage stage(0);
  End client(stage.dial());
  client.write(Stage::hello(request(1, "/services/llama/", "four") + request(2, "/services/llama/", "x")));
  client.expect(Type::welcome);
  End replica(stage.accept());
  Stage::greet(replica);
  const std::uint64_t first = replica.expect(Type::request).id;
  const std::uint64_t second = replica.expect(Type::request).id;
  const std::string before = ask(stage.cluster.url(0, "/metrics")).body;
  const std::size_t running = before.find("\ntrireme_num_requests_running{");
  REQUIRE(running != std::string::npos);
  CHECK(before.substr(running + 1, before.find('\n', running + 1) - running - 1).ends_with("} 2"));
  replica.write(answer(first, "answer"));
  client.expect(Type::response);
  std::string out;
  native::append(out, {.type = Type::cancel, .end = true, .id = 2, .payload = {}});
  client.write(out);
  CHECK(replica.expect(Type::cancel).id == second);
  const std::string after = ask(stage.cluster.url(0, "/metrics")).body;
  CHECK(after.find("code=\"200\"} 1") != std::string::npos);
  CHECK(after.find("code=\"499\"} 1") != std::string::npos);
}

TEST_CASE("native: an answer in pieces reaches the client whole, over windows that both sides keep") {
  Stage stage(0);
  End client(stage.dial());
  client.write(Stage::hello(request(1, "/services/llama/", "")));
  client.expect(Type::welcome);
  End replica(stage.accept());
  Stage::greet(replica);
  const std::uint64_t id = replica.expect(Type::request).id;
  constexpr std::size_t size = 3u << 20;
  auto sender = std::async(std::launch::async, [&] {
    http::ResponseHead head;
    head.body = {http::Body::Kind::length, size};
    std::string out;
    native::append_response(out, id, head, {}, false);
    replica.write(out);
    std::size_t credit = defaults::stream_window;
    for (std::size_t sent = 0; sent < size;) {
      const std::size_t part = std::min({credit, size - sent, std::size_t{50'000}});
      if (part == 0) {
        credit += *native::read_window(replica.expect(Type::window).payload);
        continue;
      }
      credit -= part;
      std::string data;
      native::append_data(data, id, std::string(part, static_cast<char>('a' + sent % 26)), sent + part == size);
      sent += part;
      replica.write(data);
    }
  });
  CHECK_FALSE(client.expect(Type::response).end);
  std::size_t got = 0;
  std::size_t allowed = defaults::stream_window;
  for (bool end = false; !end;) {
    const Got piece = client.expect(Type::data);
    got += piece.payload.size();
    end = piece.end;
    CHECK(got <= allowed);
    if (end || piece.payload.empty()) continue;
    std::string window;
    native::append_window(window, 1, piece.payload.size());
    allowed += piece.payload.size();
    client.write(window);
  }
  sender.get();
  CHECK(got == size);
}

TEST_CASE(
    "native: between ends that can, bytes go through memory, more at a time than it holds, on this rank and to "
    "another") {
  for (const Rank where : {0, 1}) {
    CAPTURE(where);
    Stage stage(where);
    End client(stage.dial());
    client.write(Stage::hello_of(native::version));
    CHECK(native::read_welcome(client.expect(Type::welcome).payload)->version == native::version);
    client.use_memory();
    const std::string question(3 * frames::Rings::size, 'q');
    auto asked = std::async(std::launch::async, [&] {
      client.write(request(1, "/services/llama/", question) + request(2, "/services/llama/", "short"));
    });
    End replica(stage.accept());
    Stage::greet_with_memory(replica);
    std::map<std::string, std::uint64_t> ids;
    std::map<std::uint64_t, std::string> bodies;
    while (ids.size() < 2) {
      const auto got = replica.next();
      REQUIRE(got);
      if (got->type == Type::request) {
        bodies[got->id] = native::read_request(got->payload)->body;
      } else if (got->type == Type::data) {
        bodies[got->id] += got->payload;
      }
      if (got->end) ids[bodies[got->id]] = got->id;
    }
    asked.get();
    REQUIRE(ids.contains(question));
    REQUIRE(ids.contains("short"));
    auto answered = std::async(std::launch::async, [&] {
      replica.write(answer(ids["short"], "soon") + answer(ids[question], std::string(3 * frames::Rings::size, 'a')));
    });
    std::map<std::uint64_t, std::string> answers;
    for (int ended = 0; ended < 2;) {
      const auto got = client.next();
      REQUIRE(got);
      if (got->type == Type::response) {
        answers[got->id] = native::read_response(got->payload)->body;
      } else if (got->type == Type::data) {
        answers[got->id] += got->payload;
      }
      ended += got->end ? 1 : 0;
    }
    answered.get();
    CHECK(answers[1] == std::string(3 * frames::Rings::size, 'a'));
    CHECK(answers[2] == "soon");
  }
}

TEST_CASE("native: a client with memory that goes away is noticed, and its request cancelled") {
  Stage stage(0);
  End client(stage.dial());
  client.write(Stage::hello_of(native::version));
  client.expect(Type::welcome);
  client.use_memory();
  client.write(request(1, "/services/llama/", "x"));
  End replica(stage.accept());
  Stage::greet_with_memory(replica);
  const Got got = replica.expect(Type::request);
  client.close();
  CHECK(replica.expect(Type::cancel).id == got.id);
}

TEST_CASE("native: a replica with memory that dies leaves its request to another attempt") {
  Stage stage(0);
  End client(stage.dial());
  client.write(Stage::hello_of(native::version));
  client.expect(Type::welcome);
  client.use_memory();
  client.write(request(1, "/services/llama/", "x"));
  {
    End replica(stage.accept());
    Stage::greet_with_memory(replica);
    replica.expect(Type::request);
  }
  const Got got = client.expect(Type::response);
  CHECK(native::read_response(got.payload)->head.status == 502);
}

TEST_CASE("native: who scribbles in the memory loses its connection, and nobody else") {
  Stage stage(0);
  End good(stage.dial());
  good.write(Stage::hello_of(native::version));
  good.expect(Type::welcome);
  good.use_memory();
  for (const std::uint64_t said : {std::uint64_t{frames::Rings::size + 1}, ~std::uint64_t{0}}) {
    CAPTURE(said);
    const int socket = stage.dial();
    End bad(socket);
    bad.write(Stage::hello_of(native::version));
    bad.expect(Type::welcome);
    void* const memory = ::mmap(nullptr, sizeof(frames::RingHead), PROT_READ | PROT_WRITE, MAP_SHARED, bad.passed(), 0);
    REQUIRE(memory != MAP_FAILED);
    static_cast<frames::RingHead*>(memory)->written = said;
    bad.write("!");  // the bell
    CHECK_FALSE(bad.next());
    ::munmap(memory, sizeof(frames::RingHead));
  }
  good.write(request(1, "/services/nobody/", ""));
  CHECK(native::read_response(good.expect(Type::response).payload)->head.status == 404);
}

TEST_CASE("native: a replica that promises memory and passes none loses its connection") {
  Stage stage(0);
  End client(stage.dial());
  client.write(Stage::hello(request(1, "/services/llama/", "x")));
  client.expect(Type::welcome);
  End replica(stage.accept());
  replica.expect_preface();
  replica.expect(Type::hello);
  replica.write(Stage::welcome_of(native::version));  // without a descriptor
  CHECK_FALSE(replica.next());
}

TEST_CASE("native: memory is given to so many clients at a time, and to another once one of them has gone") {
  Stage stage(0);
  const auto come = [&](std::uint16_t version) {
    auto client = std::make_unique<End>(stage.dial());
    client->write(Stage::hello_of(native::version));
    CHECK(native::read_welcome(client->expect(Type::welcome).payload)->version == version);
    if (version == native::version) client->use_memory();
    return client;
  };
  std::vector<std::unique_ptr<End>> clients;
  while (clients.size() < defaults::native_memories) clients.push_back(come(native::version));
  const auto without = come(native::first_version);
  without->write(request(1, "/services/nobody/", ""));
  CHECK(native::read_response(without->expect(Type::response).payload)->head.status == 404);
  clients.pop_back();
  without->write(request(2, "/services/nobody/", ""));
  without->expect(Type::response);  // edges are served in their order: the proxy has seen that the other is gone
  come(native::version);
}
