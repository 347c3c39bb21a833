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
//
// A load at the edge of what some replicas can do goes over it now and then. Where more were needed again soon after there were
// made so few, that was too soon: until so many, or more, are enough again it takes twice as many cool-downs, up to
// eight. A load that falls further than that is another matter, and followed after one.
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
  /// Of the last cool-downs, as many as `patience`; each smaller and later than the one before; the last is that of now.
  std::deque<Need> needs;
  std::optional<Need> reduced;  ///< to how many, and when, if no more were needed since
  std::uint32_t too_few = 0;    ///< to how many it was reduced too soon
  std::uint32_t patience = 1;   ///< cool-downs before it is reduced to so many or more
};

struct ScalingDecision {
  std::uint32_t replicas = 0;     ///< that there should be now
  std::optional<MonoTime> again;  ///< when to look again, unless the load changes before
};

ScalingDecision decide_scale(const ScalingLimits& limits, const ServiceLoad& load, ScalingHistory& history,
                             MonoTime now);

}  // namespace trireme::pilot
