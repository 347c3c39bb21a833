// How fast tasks end, and how long it will take until all have: what progress and the dashboard tell.
//
// The rate is that of the last few seconds; the time left is by the mean rate since it was first asked, since a workflow's tasks
// differ. Pure; belongs to whoever holds it.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <utility>

#include "core/units.hpp"

namespace trireme::observe {

class Pace {
 public:
  /// `over` of `total` tasks have ended by now.
  void on_time(MonoTime now, std::uint64_t total, std::uint64_t over);
  /// Tasks per second in the last window; none while too little is known, or where none ended.
  std::optional<double> rate() const;
  /// None while too little is known, or where nothing is left.
  std::optional<Duration> left() const { return left_; }

 private:
  std::optional<std::pair<MonoTime, std::uint64_t>> begun_;  ///< the first time, and tasks that had ended by then
  std::deque<std::pair<MonoTime, std::uint64_t>> ended_;     ///< tasks that had ended, at times within the window
  std::optional<Duration> left_;
};

}  // namespace trireme::observe
