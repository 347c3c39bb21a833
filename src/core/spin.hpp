// When a thread that waits looks again, yielding, and when it had better sleep. Pure.
//
// A wake costs tens of microseconds, so for a moment after activity it is cheaper to look. How long adapts: a sleep that ended
// soon shows that looking a little longer would have saved it, a long one that looking was in vain.
//
// On a core that others want, looking costs more than it brings: who yields to a busy process gets the core back when that has
// used up its share, who sleeps wakes in time. A yield that takes long shows it, and how long tells for how long to believe it:
// a hiccup of the machine is soon forgotten, a process that computes is not.
#pragma once

#include <algorithm>
#include <chrono>

#include "core/defaults.hpp"
#include "core/units.hpp"

namespace trireme {

class Spin {
 public:
  using Time = std::chrono::steady_clock::time_point;
  struct Limits {
    Duration least = defaults::spin;
    Duration most = defaults::spin_most;
    Duration long_yield = defaults::long_yield;
    Duration contended = defaults::spin_contended;
    std::uint32_t contended_part = defaults::spin_contended_part;
  };
  explicit Spin(const Limits& limits) : limits_(limits), window_(limits.least) {}

  /// Something happened: another may follow.
  void active(Time now) { until_ = now < contended_until_ ? now : now + window_; }
  /// What follows is not worth looking for.
  void rest() { until_ = {}; }
  /// Whether to yield and look again, or else to sleep.
  bool looks(Time now) const { return now < until_; }
  void yielded(Time before, Time now) {
    if (now - before <= limits_.long_yield) return;
    contended_until_ = now + std::min<Duration>(limits_.contended, (now - before) * limits_.contended_part);
    until_ = now;
  }
  /// A sleep has ended because something happened, `gap` after what had happened last.
  void woken(Duration gap) { window_ = gap <= limits_.most ? limits_.most : limits_.least; }

 private:
  Limits limits_;
  Duration window_;
  Time until_{};
  Time contended_until_{};
};

}  // namespace trireme
