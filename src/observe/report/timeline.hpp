// The time for which a run was on: from 0, without the pauses before it was resumed. Charts of a run are drawn over it.
//
// Pure. Believes nothing: times of a damaged log are taken to the nearest time at which the run was on.
#pragma once

#include <vector>

#include "core/units.hpp"

namespace trireme::observe::report {

class Timeline {
 public:
  struct Span {
    WallTime begin = 0;
    WallTime end = 0;
    Duration offset{0};  ///< the run's time at its beginning
  };

  /// The run begins, or begins again, which ends a span that is open.
  void begin(WallTime time);
  /// Something happened.
  void reach(WallTime time);
  /// The run has ended: nothing is reached any more until it begins again.
  void end(WallTime time);

  bool is_on() const { return on_; }
  const std::vector<Span>& spans() const { return spans_; }
  /// For how long the run was on.
  Duration total() const;
  /// The run's time then.
  Duration at(WallTime time) const;

 private:
  std::vector<Span> spans_;
  bool on_ = false;
};

}  // namespace trireme::observe::report
