// A real HTTP server on a thread of its own that answers as a function says, and helpers to wait for what proxies count.
#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "cluster.hpp"
#include "proxy/http/exchange.hpp"
#include "proxy/http/listener.hpp"
#include "proxy/http/loop.hpp"

namespace trireme::proxy::test {

class Scripted {
 public:
  /// `answer` is called on the server's thread; `number` counts the requests from 0.
  using Answer = std::function<void(http::Exchange& exchange, int number)>;
  explicit Scripted(Answer answer);
  ~Scripted();
  std::uint16_t port() const { return listener_->port(); }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port()); }
  int requests() const { return requests_; }

 private:
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> keep_;
  http::Loop loop_;
  std::unique_ptr<http::Listener> listener_;
  std::atomic<int> requests_ = 0;
  std::thread thread_;
};

/// Until the condition holds; false after 20 s.
bool eventually(const std::function<bool()>& condition);
/// A gauge of /metrics for `llama`: "running", "waiting" or "queued".
double gauge(Cluster& cluster, Rank rank, const std::string& name);
/// Nothing is in flight, waits or is queued on any of the ranks.
bool calm(Cluster& cluster, const std::vector<Rank>& ranks);

}  // namespace trireme::proxy::test
