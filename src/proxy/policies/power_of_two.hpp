// Of two replicas with a free slot, taken by chance, the one with fewer requests in flight; of equals the one on this node.
//
// Nearly as even as asking all, and it does not send every rank's next request to the replica that looked idlest in a load
// report, which is what least_outstanding does when reports are old.
#pragma once

#include "proxy/policies/chance.hpp"
#include "proxy/policies/policy.hpp"

namespace trireme::proxy {

class PowerOfTwo final : public Policy {
 public:
  explicit PowerOfTwo(std::uint64_t seed) : chance_(seed) {}
  std::optional<std::size_t> choose(std::span<const Candidate> candidates, const Affinity&) override;

 private:
  Chance chance_;
};

}  // namespace trireme::proxy
