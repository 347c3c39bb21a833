#include "observe/report/timeline.hpp"

#include <algorithm>

namespace trireme::observe::report {

void Timeline::begin(WallTime time) {
  // Times before 1970 are of a damaged log, and differences of them might not be representable.
  time = std::max<WallTime>(time, 0);
  // A clock may have been set back between two incarnations.
  if (!spans_.empty()) time = std::max(time, spans_.back().end);
  spans_.push_back({time, time, total()});
  on_ = true;
}

void Timeline::reach(WallTime time) {
  if (on_) spans_.back().end = std::max(spans_.back().end, time);
}

void Timeline::end(WallTime time) {
  reach(time);
  on_ = false;
}

Duration Timeline::total() const {
  return spans_.empty() ? Duration(0) : spans_.back().offset + Duration(spans_.back().end - spans_.back().begin);
}

Duration Timeline::at(WallTime time) const {
  const auto next = std::upper_bound(spans_.begin(), spans_.end(), time,
                                     [](WallTime wanted, const Span& span) { return wanted < span.begin; });
  if (next == spans_.begin()) return Duration(0);
  const Span& span = *std::prev(next);
  return span.offset + Duration(std::min(time, span.end) - span.begin);
}

}  // namespace trireme::observe::report
