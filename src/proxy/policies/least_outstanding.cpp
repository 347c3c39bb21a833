#include "proxy/policies/least_outstanding.hpp"

#include <tuple>

namespace trireme::proxy {

std::optional<std::size_t> LeastOutstanding::choose(std::span<const Candidate> candidates, const Affinity&) {
  std::optional<std::size_t> best;
  const auto cost = [&](std::size_t i) { return std::tuple(candidates[i].outstanding, !candidates[i].local); };
  for (std::size_t n = 0; n < candidates.size(); ++n) {
    const std::size_t i = (turn_ + n) % candidates.size();
    if (candidates[i].free && (!best || cost(i) < cost(*best))) best = i;
  }
  if (best) turn_ = *best + 1;
  return best;
}

}  // namespace trireme::proxy
