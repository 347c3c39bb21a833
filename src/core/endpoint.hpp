// Where services can be reached: what epochs carry to every rank (docs/spec/messages.md, "Endpoint epochs").
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/description.hpp"
#include "core/ids.hpp"
#include "core/states.hpp"

namespace trireme {

/// One place that answers for a service.
struct ReplicaEndpoint {
  ReplicaId id;
  Rank rank = 0;  ///< whose node it runs on, and whose proxy owns its slots
  ReplicaState state = ReplicaState::starting;
  std::uint16_t port = 0;  ///< on loopback of its node; 0 where it listens on a unix socket
  std::string socket;      ///< path of its unix socket, or empty
  std::string key;         ///< bearer key that it asks for, or empty
  bool operator==(const ReplicaEndpoint&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(id, rank, state, port, socket, key);
  }
};

/// What proxies need to know of a service.
struct ServiceEndpoint {
  ServiceIndex index;
  std::string name;
  ServiceApi api = ServiceApi::http;
  PolicyKind policy = PolicyKind::least_outstanding;
  RetryKind retry = RetryKind::safe;
  std::uint32_t concurrency = defaults::concurrency;
  std::uint32_t queue = defaults::queue;
  Rank home = pilot_rank;  ///< the rank that keeps the service's one queue
  bool dead = false;       ///< no replica lives and none will be started again: requests are refused with 503
  std::vector<Model> models;
  std::vector<RemoteEndpoint> remote;
  Preference prefer = Preference::local;
  std::vector<ReplicaEndpoint> replicas;  ///< those that are starting, ready or draining
  bool operator==(const ServiceEndpoint&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(index, name, api, policy, retry, concurrency, queue, home, dead, models, remote, prefer, replicas);
  }
};

/// One epoch: the services that changed, each as it is now. Epochs are numbered from 1 without gaps, and applying one is
/// replacing the services that it names, so applying it twice does no harm.
struct EndpointEpoch {
  std::uint64_t number = 0;
  std::vector<ServiceEndpoint> changed;
  bool operator==(const EndpointEpoch&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(number, changed);
  }
};

}  // namespace trireme
