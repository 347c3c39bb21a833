// Each replica in turn, passing over those without a free slot.
#pragma once

#include "proxy/policies/policy.hpp"

namespace trireme::proxy {

class RoundRobin final : public Policy {
 public:
  std::optional<std::size_t> choose(std::span<const Candidate> candidates, const Affinity&) override;

 private:
  std::optional<ReplicaId> last_;
};

}  // namespace trireme::proxy
