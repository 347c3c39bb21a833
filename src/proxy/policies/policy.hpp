// Which replica a request goes to. One file per policy; make_policy() is the only place that lists them.
//
// A policy is asked when a request comes in and nothing of its service waits at this rank. It sees every replica that
// is ready, says which it takes, or none: then the request waits in the service's queue. Policies keep what they need
// of their own.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "core/description.hpp"
#include "core/ids.hpp"

namespace trireme::proxy {

/// One ready replica, as far as this rank knows it.
struct Candidate {
  ReplicaId id;
  std::uint32_t outstanding = 0;  ///< requests in flight there
  bool free = false;              ///< believed to have a free slot
  bool local = false;             ///< on this node
};

class Policy {
 public:
  virtual ~Policy() = default;
  /// An index into `candidates`, whose `free` is set.
  virtual std::optional<std::size_t> choose(std::span<const Candidate> candidates) = 0;
};

/// Kinds that need more than this interface are served by least_outstanding.
std::unique_ptr<Policy> make_policy(PolicyKind kind);

}  // namespace trireme::proxy
