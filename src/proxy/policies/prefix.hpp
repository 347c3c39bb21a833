// Requests go where the beginning of their prompt has been seen, because the model server then has it in its cache.
//
// Mechanism. The index knows which replicas were given which beginnings by this rank. Of the replicas that share at least
// half of the prompt and are within the load bound, the one that shares most is taken; of equals the one with the fewest in
// flight. If there is none, the request goes to the replica with the fewest in flight, and the next like it will follow. A
// beginning that all prompts share is thus soon known everywhere and draws nobody to one place.
#pragma once

#include "core/defaults.hpp"
#include "proxy/policies/least_outstanding.hpp"
#include "proxy/policies/policy.hpp"
#include "proxy/policies/prefix_index.hpp"

namespace trireme::proxy {

class Prefix final : public Policy {
 public:
  explicit Prefix(std::size_t nodes = defaults::prefix_nodes) : index_(nodes) {}
  std::optional<std::size_t> choose(std::span<const Candidate> candidates, const Affinity& affinity) override;
  bool sticky() const override { return true; }
  void placed(const ReplicaId& replica, const Affinity& affinity) override;
  const PrefixIndex& index() const { return index_; }

 private:
  PrefixIndex index_;
  LeastOutstanding others_;
  std::vector<const PrefixIndex::Node*> matched_;  ///< of the request being placed
};

}  // namespace trireme::proxy
