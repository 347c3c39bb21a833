// Requests of one session (X-Session-Id, else the body's `user`) go to one replica, as long as that is not overloaded.
//
// Mechanism. Highest random weight: each replica is weighed by a hash of session and replica, and the heaviest that is
// within the load bound is taken. So every rank chooses alike without talking, a replica that comes or goes moves only the
// sessions that it gains or loses, and what overflows from one is spread over all others. A replica in its next life has
// the same weights. A request that belongs to no session goes to the replica with the fewest in flight.
#pragma once

#include "proxy/policies/least_outstanding.hpp"
#include "proxy/policies/policy.hpp"

namespace trireme::proxy {

class Hash final : public Policy {
 public:
  std::optional<std::size_t> choose(std::span<const Candidate> candidates, const Affinity& affinity) override;
  bool sticky() const override { return true; }

 private:
  LeastOutstanding others_;
};

}  // namespace trireme::proxy
