#include "proxy/endpoints.hpp"

#include <algorithm>
#include <utility>

namespace trireme::proxy {

namespace {

std::string name_of(const std::string& service, const ReplicaId& id) {
  std::string text = service + "/" + replica_name(id.replica);
  return is_remote(id) ? text : text + "@" + std::to_string(id.attempt);
}

std::vector<Site> sites_of(const ServiceEndpoint& endpoint) {
  std::vector<Site> sites;
  for (const ReplicaEndpoint& replica : endpoint.replicas) {
    sites.push_back({.id = replica.id,
                     .owner = replica.rank,
                     .concurrency = std::max(1u, endpoint.concurrency),
                     .ready = replica.state == ReplicaState::ready,
                     .name = name_of(endpoint.name, replica.id)});
  }
  for (std::uint32_t i = 0; i < endpoint.remote.size(); ++i) {
    const ReplicaId id{endpoint.index, first_remote + i, 0};
    sites.push_back({.id = id,
                     .owner = endpoint.home,
                     .concurrency = std::max(1u, endpoint.remote[i].concurrency),
                     .per_minute = endpoint.remote[i].requests_per_minute,
                     .ready = true,
                     .name = name_of(endpoint.name, id)});
  }
  return sites;
}

}  // namespace

bool Service::dead() const {
  return endpoint.dead && std::none_of(sites.begin(), sites.end(), [](auto& s) { return s.ready; });
}

const Site* Service::find(const ReplicaId& id) const {
  const auto found = std::find_if(sites.begin(), sites.end(), [&](const Site& site) { return site.id == id; });
  return found == sites.end() ? nullptr : &*found;
}

bool EndpointTable::apply(EndpointEpoch epoch) {
  if (epoch.number < epoch_) return false;
  epoch_ = epoch.number;
  for (ServiceEndpoint& endpoint : epoch.changed) {
    const ServiceIndex index = endpoint.index;
    by_name_[endpoint.name] = index;
    std::vector<Site> sites = sites_of(endpoint);
    services_[index] = {std::move(endpoint), std::move(sites)};
  }
  return true;
}

const Service* EndpointTable::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : find(found->second);
}

const Service* EndpointTable::find(ServiceIndex index) const {
  const auto found = services_.find(index);
  return found == services_.end() ? nullptr : &found->second;
}

const ReplicaEndpoint* EndpointTable::find_replica(const ReplicaId& id) const {
  const Service* service = find(id.service);
  if (service == nullptr) return nullptr;
  const auto& replicas = service->endpoint.replicas;
  const auto found =
      std::find_if(replicas.begin(), replicas.end(), [&](const ReplicaEndpoint& replica) { return replica.id == id; });
  return found == replicas.end() ? nullptr : &*found;
}

const RemoteEndpoint* EndpointTable::find_remote(const ReplicaId& id) const {
  const Service* service = find(id.service);
  if (service == nullptr || !is_remote(id)) return nullptr;
  const std::size_t index = id.replica - first_remote;
  return index < service->endpoint.remote.size() ? &service->endpoint.remote[index] : nullptr;
}

std::string EndpointTable::name(const ReplicaId& id) const {
  const Service* service = find(id.service);
  if (service == nullptr) return name_of(std::to_string(id.service.value), id);
  const Site* site = service->find(id);
  return site != nullptr ? site->name : name_of(service->endpoint.name, id);
}

}  // namespace trireme::proxy
