// Several real proxies in one process: their fabric is made up, their sockets are real.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "core/endpoint.hpp"
#include "core/run_info.hpp"
#include "fabric/transport.hpp"
#include "proxy/proxy.hpp"

namespace trireme::proxy::test {

class Cluster {
 public:
  explicit Cluster(Rank ranks, ProxyOptions options = {});
  ~Cluster();

  /// Runs on the proxies' thread and waits.
  void on_loop(const std::function<void()>& work);
  /// Gives all living ranks the next epoch with these services.
  void publish(std::vector<ServiceEndpoint> services);
  void lose(Rank rank);

  Proxy& proxy(Rank rank) { return *proxies_[static_cast<std::size_t>(rank)]; }
  std::uint16_t port(Rank rank) const { return ports_[static_cast<std::size_t>(rank)]; }
  std::string url(Rank rank, const std::string& path) const {
    return "http://127.0.0.1:" + std::to_string(port(rank)) + path;
  }
  /// Most bytes that waited in the fabric for one rank.
  std::size_t most_backlog() const { return most_backlog_; }

  RunInfo run;
  /// What reaches the pilot of rank 0, on the proxies' thread.
  std::function<void(Rank from, MessageKind kind, const std::string& payload)> on_runtime;
  /// Sends as rank 0 does.
  void send_from_pilot(Rank to, MessageKind kind, std::string payload) {
    links_[0]->send(to, MessageClass::control, kind, std::move(payload));
  }

 private:
  struct Link final : Transport {
    Link(Cluster& c, Rank r) : cluster(c), self(r) {}
    Rank rank() const override { return self; }
    Rank size() const override { return static_cast<Rank>(cluster.links_.size()); }
    void send(Rank to, MessageClass message_class, MessageKind kind, std::string payload) override;
    std::size_t backlog(Rank to, MessageClass message_class) const override;
    bool is_lost(Rank rank) const override { return cluster.told_lost_.contains(rank); }
    Cluster& cluster;
    Rank self;
  };
  struct Channel {
    std::deque<std::pair<MessageKind, std::string>> messages;
    std::size_t bytes = 0;
    bool scheduled = false;
  };
  using ChannelKey = std::tuple<Rank, Rank, MessageClass>;
  void deliver(const ChannelKey& key);

  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> keep_;
  std::vector<std::unique_ptr<Link>> links_;
  std::vector<std::unique_ptr<Proxy>> proxies_;
  std::vector<std::uint16_t> ports_;
  std::map<ChannelKey, Channel> channels_;
  std::set<Rank> lost_;
  std::set<Rank> told_lost_;
  std::uint64_t epoch_ = 0;
  std::size_t most_backlog_ = 0;
  std::thread thread_;
};

/// A ready replica of `llama` that listens on a port.
ReplicaEndpoint replica_at(std::uint32_t number, Rank rank, std::uint16_t port);
/// A port of loopback where nobody listens.
std::uint16_t closed_port();

}  // namespace trireme::proxy::test
