// How many replicas a service should have, by the requests that wait for it and those that are worked on.
//
// Pure: a function of the load, of what was seen before, and of the time. What a service needs is its demand (requests in
// its queue and in replicas) over the requests that one replica takes at once, between `min` and `max`.
//
//   up    once requests have waited for defaults::scale_up_after while more replicas were needed than there are: to what
//         is needed, at most twice as many as there are; and never before one replica has shown that it gets ready
//   down  once fewer were needed for a whole cool-down: to the most that was needed within it
//
// So a burst shorter than the first costs nothing, and a pause shorter than the second keeps what was started.
#pragma once

#include <cstdint>
#include <optional>

#include "core/units.hpp"

namespace trireme::pilot {

struct ScalingLimits {
  std::uint32_t min = 1;
  std::uint32_t max = 1;
  std::uint32_t concurrency = 1;  ///< requests that a replica takes at once
  Duration cooldown{0};
};

struct ServiceLoad {
  std::uint64_t queued = 0;
  std::uint64_t active = 0;  ///< requests that replicas work on
  std::uint32_t ready = 0;
  std::uint32_t replicas = 0;  ///< ready, starting, or waiting to start; not those that drain
};

/// What the decision remembers from one look to the next.
struct ScalingHistory {
  std::optional<MonoTime> short_since;  ///< more were needed than there are
  std::optional<MonoTime> spare_since;  ///< fewer were
  std::uint32_t most_needed = 0;        ///< since spare_since
};

struct ScalingDecision {
  std::uint32_t replicas = 0;     ///< that there should be now
  std::optional<MonoTime> again;  ///< when to look again, unless the load changes before
};

ScalingDecision decide_scale(const ScalingLimits& limits, const ServiceLoad& load, ScalingHistory& history,
                             MonoTime now);

}  // namespace trireme::pilot
