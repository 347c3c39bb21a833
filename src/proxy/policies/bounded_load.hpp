// How much more than the others a replica may have in flight before affinity gives way: without a bound, what everybody
// wants of one replica would end there.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>

#include "core/defaults.hpp"
#include "proxy/policies/policy.hpp"

namespace trireme::proxy {

/// A quarter above the mean with the new request (consistent hashing with bounded loads), but never less than a few: on
/// idle replicas two requests of one session are no overload.
inline std::uint32_t load_bound(std::span<const Candidate> candidates) {
  std::uint64_t total = 1;
  for (const Candidate& candidate : candidates) total += candidate.outstanding;
  const double mean = static_cast<double>(total) / static_cast<double>(std::max<std::size_t>(1, candidates.size()));
  const auto bound = static_cast<std::uint32_t>(std::ceil(mean * defaults::affinity_load));
  return std::max(bound, defaults::affinity_floor);
}

}  // namespace trireme::proxy
