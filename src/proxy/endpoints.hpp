// What this rank knows of every service: the endpoint epochs, applied.
//
// A Site is a place that answers for a service and has slots: a replica, or a remote endpoint, which counts as a
// replica whose owner is the service's home rank (docs/spec/admission.md). Belongs to the event loop; applying an epoch
// again does no harm.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/endpoint.hpp"
#include "core/replica_number.hpp"

namespace trireme::proxy {

constexpr bool is_remote(const ReplicaId& id) {
  return id.replica >= first_remote;
}

struct Site {
  ReplicaId id;
  Rank owner = 0;
  std::uint32_t concurrency = 1;
  std::uint32_t per_minute = 0;  ///< requests that may begin in a minute; 0: as many as there are
  bool ready = false;
  std::string name{};  ///< EndpointTable::name()
};

struct Service {
  ServiceEndpoint endpoint;
  std::vector<Site> sites;

  /// Nothing answers for it and nothing will.
  bool dead() const;
  const Site* find(const ReplicaId& id) const;
};

class EndpointTable {
 public:
  /// Replaces the services that the epoch names. False if it is older than what is known: then nothing has changed.
  bool apply(EndpointEpoch epoch);

  std::uint64_t epoch() const { return epoch_; }
  const Service* find(std::string_view name) const;
  const Service* find(ServiceIndex index) const;
  const std::map<ServiceIndex, Service>& services() const { return services_; }
  /// The endpoint of a replica that is not a remote one, or null.
  const ReplicaEndpoint* find_replica(const ReplicaId& id) const;
  const RemoteEndpoint* find_remote(const ReplicaId& id) const;
  /// "llama/1@2": replica 1 of llama in its third life; "gpt/remote-0": its first remote endpoint.
  std::string name(const ReplicaId& id) const;

 private:
  std::uint64_t epoch_ = 0;
  std::map<ServiceIndex, Service> services_;
  std::map<std::string, ServiceIndex, std::less<>> by_name_;
};

}  // namespace trireme::proxy
