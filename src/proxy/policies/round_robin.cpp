#include "proxy/policies/round_robin.hpp"

namespace trireme::proxy {

// The turn is remembered as a replica and not as an index, so that it survives replicas that come and go.
std::optional<std::size_t> RoundRobin::choose(std::span<const Candidate> candidates, const Affinity&) {
  std::optional<std::size_t> next;
  std::optional<std::size_t> first;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const Candidate& candidate = candidates[i];
    if (!candidate.free) continue;
    if (!first || candidate.id < candidates[*first].id) first = i;
    if (last_ && candidate.id > *last_ && (!next || candidate.id < candidates[*next].id)) next = i;
  }
  const auto chosen = next ? next : first;
  if (chosen) last_ = candidates[*chosen].id;
  return chosen;
}

}  // namespace trireme::proxy
