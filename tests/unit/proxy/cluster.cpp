#include "cluster.hpp"

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <future>

#include "support.hpp"

namespace trireme::proxy::test {

namespace asio = boost::asio;

void Cluster::Link::send(Rank to, MessageClass message_class, MessageKind kind, std::string payload) {
  if (cluster.lost_.contains(to) || cluster.lost_.contains(self)) return;
  const ChannelKey key{self, to, message_class};
  Channel& channel = cluster.channels_[key];
  channel.bytes += payload.size();
  cluster.most_backlog_ = std::max(cluster.most_backlog_, channel.bytes);
  channel.messages.emplace_back(kind, std::move(payload));
  if (!std::exchange(channel.scheduled, true)) {
    asio::post(cluster.io_, [c = &cluster, key] { c->deliver(key); });
  }
}

std::size_t Cluster::Link::backlog(Rank to, MessageClass message_class) const {
  const auto found = cluster.channels_.find({self, to, message_class});
  return found == cluster.channels_.end() ? 0 : found->second.bytes;
}

/// A few messages a turn, as credits would have it.
void Cluster::deliver(const ChannelKey& key) {
  Channel& channel = channels_[key];
  const auto [from, to, message_class] = key;
  for (int i = 0; i < 4 && !channel.messages.empty(); ++i) {
    const auto [kind, payload] = std::move(channel.messages.front());
    channel.messages.pop_front();
    channel.bytes -= payload.size();
    if (lost_.contains(to) || lost_.contains(from)) continue;
    if (kind == MessageKind::runtime_request || kind == MessageKind::runtime_drop) {
      if (on_runtime) on_runtime(from, kind, payload);
      continue;
    }
    proxies_[static_cast<std::size_t>(to)]->on_message(from, kind, payload);
  }
  channel.scheduled = !channel.messages.empty();
  if (channel.scheduled) asio::post(io_, [this, key] { deliver(key); });
}

Cluster::Cluster(Rank ranks, ProxyOptions options) : keep_(io_.get_executor()) {
  run.run_id = "test";
  run.inference_token = "inference-token";
  run.control_token = "control-token";
  for (Rank r = 0; r < ranks; ++r) {
    links_.push_back(std::make_unique<Link>(*this, r));
    auto proxy = Proxy::start(io_, *links_.back(), run, options);
    REQUIRE_MESSAGE(proxy.ok(), (proxy.ok() ? "" : proxy.error().text()));
    proxies_.push_back(*std::move(proxy));
    ports_.push_back(proxies_.back()->port());
    options.socket.clear();
  }
  thread_ = std::thread([this] { io_.run(); });
}

Cluster::~Cluster() {
  on_loop([this] {
    for (auto& proxy : proxies_) proxy.reset();
    lost_.insert({0, 1, 2, 3, 4, 5, 6, 7});
  });
  keep_.reset();
  io_.stop();
  thread_.join();
}

void Cluster::on_loop(const std::function<void()>& work) {
  std::promise<void> done;
  asio::post(io_, [&] {
    work();
    done.set_value();
  });
  done.get_future().wait();
}

void Cluster::publish(std::vector<ServiceEndpoint> services) {
  on_loop([&] {
    ++epoch_;
    for (auto& proxy : proxies_) {
      if (lost_.contains(static_cast<Rank>(&proxy - proxies_.data()))) continue;
      proxy->on_endpoints({.number = epoch_, .changed = services});
    }
  });
}

void Cluster::lose(Rank rank) {
  on_loop([&] {
    lost_.insert(rank);
    told_lost_.insert(rank);
    for (std::size_t r = 0; r < proxies_.size(); ++r) {
      if (!lost_.contains(static_cast<Rank>(r))) proxies_[r]->on_rank_lost(rank);
    }
  });
}

ReplicaEndpoint replica_at(std::uint32_t number, Rank rank, std::uint16_t port) {
  return {.id = replica(number), .rank = rank, .state = ReplicaState::ready, .port = port, .socket = {}, .key = {}};
}

std::uint16_t closed_port() {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  REQUIRE(::bind(socket, reinterpret_cast<sockaddr*>(&address), size) == 0);
  REQUIRE(::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  ::close(socket);
  return ntohs(address.sin_port);
}

}  // namespace trireme::proxy::test
