// Who has been heard of when, and who is silent for too long.
//
// Pure; no MPI. Time in which the observer itself did not run (it was stopped, or a handler took
// long) is not counted as the others' silence: what they said meanwhile may still be waiting to be
// read.
#pragma once

#include <chrono>
#include <map>
#include <vector>

#include "core/ids.hpp"
#include "core/units.hpp"
#include "fabric/epochs.hpp"

namespace trireme::fabric {

class RankWatch {
 public:
  RankWatch(Duration every, Duration lost, SteadyTime now)
      : every_(every), lost_(lost), last_tick_(now), next_beat_(now + every), next_look_(now) {}

  void watch(Rank rank, SteadyTime now) { heard_[rank] = now; }
  void forget(Rank rank) { heard_.erase(rank); }
  /// Something came from `rank`.
  void heard(Rank rank, SteadyTime now);

  struct Tick {
    bool beat = false;         ///< heartbeats are due
    std::vector<Rank> silent;  ///< for too long; they are no longer watched
  };
  /// To be called at every poll, after what has arrived was read.
  Tick tick(SteadyTime now);

 private:
  Duration every_;
  Duration lost_;
  SteadyTime last_tick_;
  SteadyTime next_beat_;
  SteadyTime next_look_;
  std::map<Rank, SteadyTime> heard_;
};

}  // namespace trireme::fabric
