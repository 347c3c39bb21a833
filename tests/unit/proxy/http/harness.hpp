// What the socket tests share: an event loop on the test's own thread with a blocking script beside it, a blocking client,
// and a server whose every byte a test decides.
#pragma once

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "proxy/http/codec.hpp"
#include "proxy/http/loop.hpp"
#include "proxy/http/stream.hpp"

namespace trireme::proxy::http {

/// No wait in these tests is meant to last; this is when they give up.
constexpr int give_up_seconds = 30;

/// Something that one thread waits for and another brings about.
class Event {
 public:
  void set() {
    const std::lock_guard lock(mutex_);
    set_ = true;
    changed_.notify_all();
  }
  bool wait() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(give_up_seconds), [this] { return set_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool set_ = false;
};

/// The event loop, which runs on the test's thread as long as a script runs on another.
class LoopBeside {
 public:
  void run(const std::function<void()>& script) {
    std::exception_ptr failure;
    std::thread beside([&] {
      try {
        script();
      } catch (...) {
        failure = std::current_exception();
      }
      boost::asio::post(io, [this] { io.stop(); });
    });
    try {
      const auto work = boost::asio::make_work_guard(io);
      io.restart();
      io.run();
    } catch (...) {
      beside.join();
      throw;
    }
    beside.join();
    if (failure) std::rethrow_exception(failure);
  }

  /// For the script: does something on the event loop and waits until it is done.
  void on_loop(const std::function<void()>& action) {
    Event done;
    boost::asio::post(io, [&] {
      action();
      done.set();
    });
    REQUIRE(done.wait());
  }

  boost::asio::io_context io{1};
  Loop loop{io};
};

/// A blocking socket that gives up in the end.
class TestSocket {
 public:
  explicit TestSocket(Descriptor descriptor) : descriptor_(std::move(descriptor)) {
    const timeval limit{give_up_seconds, 0};
    ::setsockopt(fd(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(fd(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  }
  static TestSocket to_port(std::uint16_t port) {
    TestSocket socket(Descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)));
    socket.connect_to(port);
    return socket;
  }
  static TestSocket to_path(const std::string& path) {
    TestSocket socket(Descriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    REQUIRE(::connect(socket.fd(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    return socket;
  }
  void connect_to(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::connect(fd(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  }

  int fd() const { return descriptor_.get(); }
  void close() { descriptor_.close(); }
  /// Closes so that the other side sees a reset.
  void reset() {
    const linger abort{1, 0};
    ::setsockopt(fd(), SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
    close();
  }

  bool send(std::string_view data) {
    while (!data.empty()) {
      const ssize_t sent = ::send(fd(), data.data(), data.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      data.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  /// How much it could send before nothing was taken for a while.
  std::size_t send_until_blocked(std::size_t at_most) {
    const std::string block(64u << 10, 'x');
    std::size_t sent = 0;
    while (sent < at_most) {
      pollfd ready{fd(), POLLOUT, 0};
      if (::poll(&ready, 1, 1000) == 0) break;
      const ssize_t n = ::send(fd(), block.data(), block.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n < 0 && errno != EAGAIN) break;
      if (n > 0) sent += static_cast<std::size_t>(n);
    }
    return sent;
  }

  /// Receives once. False at the end or when the connection is broken.
  bool receive() {
    char buffer[64 << 10];
    const ssize_t got = ::recv(fd(), buffer, sizeof buffer, 0);
    reset_seen = reset_seen || (got < 0 && errno == ECONNRESET);
    timed_out = timed_out || (got < 0 && errno == EAGAIN);
    if (got <= 0) return false;
    received.append(buffer, static_cast<std::size_t>(got));
    return true;
  }
  /// All there is until the other side closes. False if it does not.
  bool receive_until_closed() {
    while (receive()) {
    }
    return !timed_out;
  }
  /// Receives until `text` has come and takes everything up to its end.
  std::string take_until(std::string_view text) {
    std::size_t at = 0;
    while ((at = received.find(text)) == std::string::npos) {
      REQUIRE_MESSAGE(receive(), "the connection ended before: ", text, " after: ", received);
    }
    std::string taken = received.substr(0, at + text.size());
    received.erase(0, at + text.size());
    return taken;
  }

  std::string received;
  bool reset_seen = false;
  bool timed_out = false;

 private:
  Descriptor descriptor_;
};

/// A whole answer as a client sees it.
struct Answer {
  ResponseHead head;
  std::string body;
  bool complete = false;  ///< false: truncated
};

inline Answer take_answer(TestSocket& socket, std::string_view method = "GET") {
  Answer answer;
  HeadParser parser;
  HeadParser::State state;
  while ((state = parser.parse_response(socket.received, answer.head)) == HeadParser::State::more) {
    REQUIRE_MESSAGE(socket.receive(), "no answer came, only: ", socket.received);
  }
  REQUIRE_MESSAGE(state == HeadParser::State::done, parser.error().what);
  socket.received.erase(0, parser.consumed());
  BodyDecoder decoder(follows(answer.head, method));
  for (;;) {
    std::size_t used = 0;
    for (;;) {
      const auto piece = decoder.next(std::string_view(socket.received).substr(used));
      answer.body.append(piece.data);
      used += piece.consumed;
      if (piece.consumed == 0) break;
    }
    socket.received.erase(0, used);
    REQUIRE_FALSE(decoder.failed());
    if (decoder.done()) break;
    if (socket.receive()) continue;
    REQUIRE_FALSE(socket.timed_out);
    answer.complete = !socket.reset_seen && decoder.at_eof();
    return answer;
  }
  answer.complete = true;
  return answer;
}

/// A whole request as a server sees it.
struct Asked {
  RequestHead head;
  std::string body;
};

inline Asked take_request(TestSocket& socket) {
  Asked asked;
  HeadParser parser;
  while (parser.parse_request(socket.received, asked.head) == HeadParser::State::more) {
    REQUIRE_MESSAGE(socket.receive(), "no request came, only: ", socket.received);
  }
  socket.received.erase(0, parser.consumed());
  BodyDecoder decoder(asked.head.body);
  while (!decoder.done()) {
    const auto piece = decoder.next(socket.received);
    asked.body.append(piece.data);
    socket.received.erase(0, piece.consumed);
    REQUIRE_FALSE(decoder.failed());
    if (piece.consumed == 0 && !decoder.done()) REQUIRE(socket.receive());
  }
  return asked;
}

/// Accepts connections and runs the script on each, with its number from 0, in a thread of its own.
class ScriptedServer {
 public:
  using Script = std::function<void(TestSocket&, int)>;

  explicit ScriptedServer(Script script, int backlog = 16) : script_(std::move(script)) {
    listener_ = Descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(listener_.get(), backlog) == 0);
    socklen_t size = sizeof address;
    REQUIRE(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
    accepting_ = std::thread([this] { accept_all(); });
  }
  ~ScriptedServer() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    accepting_.join();
    for (std::thread& connection : threads_) connection.join();
    for (const std::string& failure : failures_) FAIL_CHECK(failure);
  }
  std::uint16_t port() const { return port_; }
  int connections() const { return connections_; }

 private:
  void accept_all() {
    for (;;) {
      Descriptor accepted(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!accepted) return;
      const int number = connections_++;
      threads_.emplace_back([this, number, held = std::move(accepted)]() mutable {
        TestSocket socket(std::move(held));
        try {
          script_(socket, number);
        } catch (...) {
          const std::lock_guard lock(mutex_);
          failures_.push_back("the script of connection " + std::to_string(number) + " failed");
        }
      });
    }
  }

  Script script_;
  Descriptor listener_;
  std::uint16_t port_ = 0;
  std::atomic<int> connections_ = 0;
  std::thread accepting_;
  std::vector<std::thread> threads_;  ///< one per connection, made by accepting_
  std::mutex mutex_;
  std::vector<std::string> failures_;
};

/// A folder for unix sockets that goes away with the test.
class ShortFolder {
 public:
  ShortFolder() {
    char name[] = "/tmp/trireme-http-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    path = name;
  }
  ~ShortFolder() { ::rmdir(path.c_str()); }
  std::string path;
};

}  // namespace trireme::proxy::http
