// A real HTTP server on a thread of its own, as a replica of the tests' services.
#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "proxy/http/exchange.hpp"
#include "proxy/http/listener.hpp"
#include "proxy/http/loop.hpp"

namespace trireme::proxy::test {

/// What it does is said by the path:
///   …/echo         gives the request's body back as it comes
///   /source?BYTES  gives pattern(0), pattern(1), …
///   /events        gives the head, then one event for each call of send_event()
///   /work?MS       answers after so long; most_at_once() says how many it has worked on at a time
///   …/hang         never answers
///   /break         closes the connection without an answer
///   /cut           begins an answer and breaks off
/// and everything else is answered with the request's head as text.
class Backend {
 public:
  explicit Backend(std::string name = "backend", std::string socket = {});
  ~Backend();

  std::uint16_t port() const { return listener_->port(); }
  void send_event(const std::string& text);

  int most_at_once() const { return most_; }
  int served() const { return served_; }
  std::uint64_t given() const { return given_; }
  std::vector<std::string> order();
  /// Waits until so many clients have left before they were answered; false after 20 s.
  bool wait_for_gone(int count);
  /// Waits until so many requests for /events, /hang or /work are here.
  bool wait_for_open(int count);
  /// How many have been here.
  int opened();

  static char pattern(std::uint64_t at) { return static_cast<char>((at * 2654435761u) >> 24); }

 private:
  class Work;
  void handle(std::unique_ptr<http::Exchange> exchange);
  void note(int& counter, int change);
  bool wait_for(const int& counter, int count);
  void finished(Work& work);

  std::string name_;
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> keep_;
  http::Loop loop_;
  std::unique_ptr<http::Listener> listener_;
  std::set<std::unique_ptr<Work>> works_;
  std::atomic<int> most_ = 0;
  std::atomic<int> served_ = 0;
  std::atomic<std::uint64_t> given_ = 0;
  int at_once_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  int gone_ = 0;
  int open_ = 0;
  std::vector<std::string> order_;
  std::thread thread_;
};

}  // namespace trireme::proxy::test
