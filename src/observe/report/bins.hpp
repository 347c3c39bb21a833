// Amounts over time, in a fixed number of bins: how much there was on average in each.
//
// Pure. Bins are of equal width. What is added over an interval counts in each bin with the part of it that the interval covers, so
// that no interval is too short to be seen and none is counted for more than it was.
#pragma once

#include <cstddef>
#include <vector>

#include "core/units.hpp"

namespace trireme::observe::report {

/// Over a time whose length is known. add() takes as long for a long interval as for a short one.
class Bins {
 public:
  Bins(Duration total, std::size_t count);

  /// `weight` from one time to a later one; what is outside of the bins is cut off.
  void add(Duration from, Duration to, double weight);
  /// One thing that happened at that time; the end of the last bin belongs to it.
  void count(Duration at);
  /// The mean of each bin: of what has been added, or of things per second. Empty where time has no length.
  std::vector<double> means() const;
  double width_s() const { return width_s_; }

 private:
  double position(Duration time) const;

  double width_s_;
  std::vector<double> parts_;    ///< in bins that are covered partly
  std::vector<double> changes_;  ///< of what covers whole bins, against the bin before
};

/// Over a time that grows: where it no longer fits, bins become twice as wide. Keeps as many as `count` at least once it has been so
/// often.
class GrowingBins {
 public:
  explicit GrowingBins(std::size_t count, Duration width = Duration(millisecond));

  void add(Duration from, Duration to, double weight);
  /// What has been added, spread over other bins.
  void pour_into(Bins& bins) const;

 private:
  std::size_t count_;
  double width_s_;
  double reach_s_ = 0;           ///< the latest time that something was added for
  std::vector<double> amounts_;  ///< weight times seconds
};

}  // namespace trireme::observe::report
