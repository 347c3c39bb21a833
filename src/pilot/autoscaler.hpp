// How many replicas a service should have, by the requests that wait for it and those that are worked on.
//
// Pure: a function of the load, of what was seen before, and of the time. What a service needs is its demand (requests in
// its queue and in replicas) over the requests that one replica takes at once, between `min` and `max`.
//
//   up    once requests have waited for defaults::scale_up_after while more replicas were needed than there are: to what
//         is needed, at most twice as many as there are; and never before one replica has shown that it gets ready
//   down  at any time to the most that was needed within the last cool-down
//
// So a burst shorter than the first costs nothing, and a pause shorter than the second keeps what was started; where the load
// falls in steps, the replicas follow each step one cool-down later. Of the past only maxima are kept: each need that no later
// one has reached, with the time until which it lasted, so at most `max` of them.
#pragma once

#include <cstdint>
#include <deque>
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
  struct Need {
    std::uint32_t replicas = 0;
    MonoTime until = 0;  ///< the last look at which so many were needed
  };
  std::deque<Need>
      needs;  ///< of the last cool-down, each smaller and later than the one before; the last is that of now
};

struct ScalingDecision {
  std::uint32_t replicas = 0;     ///< that there should be now
  std::optional<MonoTime> again;  ///< when to look again, unless the load changes before
};

ScalingDecision decide_scale(const ScalingLimits& limits, const ServiceLoad& load, ScalingHistory& history,
                             MonoTime now);

}  // namespace trireme::pilot
