#include "fabric/liveness.hpp"

namespace trireme::fabric {

void RankWatch::heard(Rank rank, SteadyTime now) {
  if (const auto entry = heard_.find(rank); entry != heard_.end()) entry->second = now;
}

RankWatch::Tick RankWatch::tick(SteadyTime now) {
  Tick result;
  const auto away = now - last_tick_;
  last_tick_ = now;
  if (away > every_) {
    for (auto& [rank, time] : heard_) time += away;
  }
  if (now >= next_beat_) {
    result.beat = true;
    next_beat_ = now + every_;
  }
  if (now >= next_look_) {
    next_look_ = now + every_ / 4;
    for (auto entry = heard_.begin(); entry != heard_.end();) {
      if (now - entry->second < lost_) {
        ++entry;
        continue;
      }
      result.silent.push_back(entry->first);
      entry = heard_.erase(entry);
    }
  }
  return result;
}

}  // namespace trireme::fabric
