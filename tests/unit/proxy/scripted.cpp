#include "scripted.hpp"

#include <doctest/doctest.h>

#include <boost/asio/post.hpp>
#include <chrono>
#include <future>

#include "client.hpp"

namespace trireme::proxy::test {

using namespace std::chrono_literals;

Scripted::Scripted(Answer answer) : keep_(io_.get_executor()), loop_(io_) {
  auto listener = http::Listener::on_loopback(
      loop_, 0,
      [this, answer = std::move(answer)](std::unique_ptr<http::Exchange> exchange) { answer(*exchange, requests_++); });
  REQUIRE(listener.ok());
  listener_ = *std::move(listener);
  thread_ = std::thread([this] { io_.run(); });
}

Scripted::~Scripted() {
  std::promise<void> ended;
  boost::asio::post(io_, [&] {
    listener_.reset();
    ended.set_value();
  });
  ended.get_future().wait();
  keep_.reset();
  io_.stop();
  thread_.join();
}

bool eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + 20s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(5ms);
  }
  return true;
}

double gauge(Cluster& cluster, Rank rank, const std::string& name) {
  const std::string line = "\ntrireme_num_requests_" + name + "{service=\"llama\"} ";
  const std::string text = ask(cluster.url(rank, "/metrics")).body;
  const std::size_t at = text.find(line);
  REQUIRE_MESSAGE(at != std::string::npos, text);
  return std::stod(text.substr(at + line.size()));
}

bool calm(Cluster& cluster, const std::vector<Rank>& ranks) {
  for (const Rank rank : ranks) {
    for (const char* name : {"running", "waiting", "queued"}) {
      if (gauge(cluster, rank, name) != 0) return false;
    }
  }
  return true;
}

}  // namespace trireme::proxy::test
