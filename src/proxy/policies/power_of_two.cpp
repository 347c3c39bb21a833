#include "proxy/policies/power_of_two.hpp"

#include <algorithm>
#include <tuple>

namespace trireme::proxy {

std::optional<std::size_t> PowerOfTwo::choose(std::span<const Candidate> candidates, const Affinity&) {
  const auto free = static_cast<std::size_t>(
      std::count_if(candidates.begin(), candidates.end(), [](const Candidate& c) { return c.free; }));
  if (free == 0) return std::nullopt;
  const std::size_t first = chance_.below(free);
  std::size_t second = free == 1 ? first : chance_.below(free - 1);
  if (free > 1 && second >= first) ++second;
  const auto nth_free = [&](std::size_t n) {
    std::size_t i = 0;
    while (!candidates[i].free || n-- > 0) ++i;
    return i;
  };
  const std::size_t one = nth_free(first);
  const std::size_t other = nth_free(second);
  const auto cost = [&](std::size_t i) { return std::tuple(candidates[i].outstanding, !candidates[i].local); };
  return cost(other) < cost(one) ? other : one;
}

}  // namespace trireme::proxy
