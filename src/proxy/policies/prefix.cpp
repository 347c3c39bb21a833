#include "proxy/policies/prefix.hpp"

#include <algorithm>
#include <tuple>

#include "proxy/policies/bounded_load.hpp"

namespace trireme::proxy {

std::optional<std::size_t> Prefix::choose(std::span<const Candidate> candidates, const Affinity& affinity) {
  index_.match(affinity.prefix, matched_);
  const std::size_t enough = (affinity.prefix.size() + 1) / 2;
  const std::uint32_t bound = matched_.empty() ? 0 : load_bound(candidates);
  for (std::size_t depth = matched_.size(); depth >= enough && depth > 0; --depth) {
    const auto& seen = matched_[depth - 1]->seen;
    std::optional<std::size_t> best;
    const auto cost = [&](std::size_t i) {
      return std::tuple(candidates[i].outstanding, !candidates[i].free, !candidates[i].local);
    };
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      if (candidates[i].outstanding >= bound) continue;
      const bool has_it = std::find(seen.begin(), seen.end(), PrefixIndex::replica_key(candidates[i].id)) != seen.end();
      if (has_it && (!best || cost(i) < cost(*best))) best = i;
    }
    if (best) return best;
  }
  return others_.choose(candidates, affinity);
}

void Prefix::placed(const ReplicaId& replica, const Affinity& affinity) {
  index_.insert(affinity.prefix, replica);
}

}  // namespace trireme::proxy
