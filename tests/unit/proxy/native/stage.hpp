// A node with a service of its own, whose client and replica are written in frames, so each can break the rules: real proxies and
// sockets.
#pragma once

#include <doctest/doctest.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "../client.hpp"
#include "../cluster.hpp"
#include "../support.hpp"
#include "native/rings.hpp"
#include "proxy/native/frame.hpp"

namespace trireme::proxy::test {

namespace native = trireme::proxy::native;
using native::Type;

inline sockaddr_un address_of(const std::string& path) {
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
  int descriptor() const { return descriptor_; }
  /// Nothing has come, and nothing is held.
  bool silent() const {
    pollfd wait{descriptor_, POLLIN, 0};
    return held_.empty() && ::poll(&wait, 1, 0) == 0;
  }
  /// Nothing comes for a while.
  bool quiet() const {
    pollfd wait{descriptor_, POLLIN, 0};
    return held_.empty() && ::poll(&wait, 1, 200) == 0;
  }
  /// The other side has closed the connection, read or not.
  bool is_cut_off() const {
    pollfd wait{descriptor_, POLLRDHUP, 0};
    return ::poll(&wait, 1, 20'000) == 1;
  }
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

inline std::string request(std::uint64_t id, const std::string& target, const std::string& body,
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

inline std::string cancel(std::uint64_t id) {
  std::string out;
  native::append(out, {.type = Type::cancel, .end = true, .id = id, .payload = {}});
  return out;
}

inline std::string answer(std::uint64_t id, const std::string& body) {
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
  /// The proxy's next connection to the replica; -1 where something comes to the client first.
  int accept_before(const End& client) const {
    std::array<pollfd, 2> waits{{{listener, POLLIN, 0}, {client.descriptor(), POLLIN, 0}}};
    REQUIRE(::poll(waits.data(), waits.size(), 20'000) > 0);
    return waits[1].revents != 0 ? -1 : ::accept(listener, nullptr, nullptr);
  }
  static void greet(End& proxy, std::uint32_t requests = 1024) {
    proxy.expect_preface();
    proxy.expect(Type::hello);
    proxy.write(welcome_of(native::first_version, requests));
  }
  static std::string welcome_of(std::uint16_t version, std::uint32_t requests = 1024,
                                std::uint32_t window = 256 << 10) {
    std::string out;
    native::append_welcome(out, {.version = version, .window = window, .requests = requests});
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

}  // namespace trireme::proxy::test
