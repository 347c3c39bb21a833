// Any replica with a free slot, each as likely as the others.
#pragma once

#include "proxy/policies/chance.hpp"
#include "proxy/policies/policy.hpp"

namespace trireme::proxy {

class Random final : public Policy {
 public:
  explicit Random(std::uint64_t seed) : chance_(seed) {}
  std::optional<std::size_t> choose(std::span<const Candidate> candidates, const Affinity&) override;

 private:
  Chance chance_;
};

}  // namespace trireme::proxy
