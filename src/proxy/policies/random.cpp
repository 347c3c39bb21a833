#include "proxy/policies/random.hpp"

#include <algorithm>

namespace trireme::proxy {

std::optional<std::size_t> Random::choose(std::span<const Candidate> candidates, const Affinity&) {
  const auto free = std::count_if(candidates.begin(), candidates.end(), [](const Candidate& c) { return c.free; });
  if (free == 0) return std::nullopt;
  std::size_t left = chance_.below(static_cast<std::size_t>(free));
  for (std::size_t i = 0;; ++i) {
    if (candidates[i].free && left-- == 0) return i;
  }
}

}  // namespace trireme::proxy
