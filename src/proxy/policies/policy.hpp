// Which replica a request goes to. One file per policy; make_policy() is the only place that lists them.
//
// A policy is asked when a request comes in. It sees every replica that is ready and says which it takes, or none: then the
// request waits in the service's queue for any. The load policies take a replica with a free slot, and are not asked while
// requests of their service wait at this rank. A sticky one (hash, prefix) may take a replica that has none: then the request
// waits for that one, at most for defaults::affinity_wait. Policies keep what they need of their own, within bounds.
//
// What a policy needs to know of a request beyond that it exists is said by needs_of(), so that for the others nothing is
// read of it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

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

/// What a request has in common with others, as far as its service's policy needs it.
struct Affinity {
  std::optional<std::uint64_t> session;  ///< hash of the session or the user that it belongs to
  std::vector<std::uint64_t> prefix;     ///< hashes of its prompt's beginnings, from short to long (prefix_hashes.hpp)
};

enum class Needs : std::uint8_t { nothing, session, prefix };
Needs needs_of(PolicyKind kind);

class Policy {
 public:
  virtual ~Policy() = default;
  /// An index into `candidates`. Its `free` is set unless the policy is sticky.
  virtual std::optional<std::size_t> choose(std::span<const Candidate> candidates, const Affinity& affinity) = 0;
  virtual bool sticky() const { return false; }
  /// A request goes to that replica, by this policy's choice or by the queue's.
  virtual void placed(const ReplicaId&, const Affinity&) {}
};

/// `seed` is for those that choose by chance.
std::unique_ptr<Policy> make_policy(PolicyKind kind, std::uint64_t seed);

}  // namespace trireme::proxy
