#include "proxy/policies/hash.hpp"

#include "proxy/policies/bounded_load.hpp"
#include "proxy/policies/hash64.hpp"

namespace trireme::proxy {

std::optional<std::size_t> Hash::choose(std::span<const Candidate> candidates, const Affinity& affinity) {
  if (!affinity.session) return others_.choose(candidates, affinity);
  const std::uint32_t bound = load_bound(candidates);
  std::optional<std::size_t> best;
  std::uint64_t heaviest = 0;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (candidates[i].outstanding >= bound) continue;
    const std::uint64_t weight = hash64(*affinity.session, candidates[i].id.replica);
    if (!best || weight > heaviest) {
      best = i;
      heaviest = weight;
    }
  }
  return best;
}

}  // namespace trireme::proxy
