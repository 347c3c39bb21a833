#include "proxy/upstreams.hpp"

#include <algorithm>
#include <utility>

#include "core/defaults.hpp"
#include "proxy/http/client.hpp"
#include "proxy/native/upstream.hpp"
#include "proxy/remote/remote_upstream.hpp"

namespace trireme::proxy {

namespace {

/// A replica on this node, with the key that it asks for.
class ReplicaUpstream final : public Upstream {
 public:
  ReplicaUpstream(http::Loop& loop, const ReplicaEndpoint& endpoint, const std::string& name, std::size_t concurrency)
      : server_(loop, {.port = endpoint.port, .path = endpoint.socket}, options(name, concurrency)),
        authorization_(endpoint.key.empty() ? "" : "Bearer " + endpoint.key) {}

  std::unique_ptr<Call> open(const http::RequestHead& head, std::string_view first, bool complete,
                             CallObserver& observer) override {
    if (authorization_.empty()) return server_.open(head, first, complete, observer);
    http::RequestHead authorized = head;
    http::set(authorized.headers, "Authorization", authorization_);
    return server_.open(authorized, first, complete, observer);
  }

 private:
  static http::LocalUpstreamOptions options(const std::string& name, std::size_t concurrency) {
    http::LocalUpstreamOptions options;
    options.name = "replica " + name;
    // As many connections as it has slots, so that a full load makes no new ones.
    options.max_idle = std::max(concurrency, defaults::upstream_idle);
    return options;
  }
  http::LocalUpstream server_;
  std::string authorization_;
};

}  // namespace

void Upstreams::apply(const EndpointTable& table, const Service& service) {
  const ServiceIndex index = service.endpoint.index;
  std::erase_if(ways_, [&](const auto& way) {
    if (way.first.service != index) return false;
    const Site* site = service.find(way.first);
    return site == nullptr || site->owner != self_;
  });
  for (const Site& site : service.sites) {
    if (site.owner != self_ || !site.ready) continue;
    if (const RemoteEndpoint* remote = table.find_remote(site.id)) {
      Way& way = ways_[site.id];
      if (way.upstream && way.remote == *remote) continue;
      way.remote = *remote;
      way.upstream = std::make_unique<RemoteUpstream>(curl_, *remote, service.endpoint.api, table.name(site.id));
    } else if (const ReplicaEndpoint* local = table.find_replica(site.id)) {
      Way& way = ways_[site.id];
      if (way.upstream && way.local == *local) continue;
      way.local = *local;
      if (service.endpoint.api == ServiceApi::native) {
        auto upstream = std::make_unique<native::NativeUpstream>(
            loop_, http::LocalAddress{.port = local->port, .path = local->socket}, local->key,
            "replica " + table.name(site.id));
        way.native = upstream.get();
        way.upstream = std::move(upstream);
        continue;
      }
      way.native = nullptr;
      way.upstream =
          std::make_unique<ReplicaUpstream>(loop_, *local, table.name(site.id), service.endpoint.concurrency);
    }
  }
}

Upstream* Upstreams::find(const ReplicaId& replica) const {
  const auto found = ways_.find(replica);
  return found == ways_.end() ? nullptr : found->second.upstream.get();
}

native::NativeUpstream* Upstreams::find_native(const ReplicaId& replica) const {
  const auto found = ways_.find(replica);
  return found == ways_.end() ? nullptr : found->second.native;
}

}  // namespace trireme::proxy
