// The replica with the fewest requests in flight; among equals one on this node, else each in turn.
#pragma once

#include "proxy/policies/policy.hpp"

namespace trireme::proxy {

class LeastOutstanding final : public Policy {
 public:
  std::optional<std::size_t> choose(std::span<const Candidate> candidates, const Affinity&) override;

 private:
  std::size_t turn_ = 0;  ///< where looking begins, so that equals are not always the same
};

}  // namespace trireme::proxy
