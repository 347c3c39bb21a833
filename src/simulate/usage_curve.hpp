// How many of something are in use over time, kept as sums over equal parts of a span that doubles when time runs past it.
#pragma once

#include <cstdint>
#include <vector>

#include "core/units.hpp"

namespace trireme::simulate {

class UsageCurve {
 public:
  /// From `now` on, `used` are in use. Times do not go back.
  void set(MonoTime now, double used);
  /// Use until `end`, from the last change on; nothing is set after that.
  void finish(MonoTime end);
  /// Amount times seconds until the last time it was told.
  double total() const { return total_; }
  /// The same from the start until `end`.
  double until(MonoTime end) const;
  /// Means over `parts` equal parts up to `end`.
  std::vector<double> means(MonoTime end, std::size_t parts) const;

 private:
  static constexpr std::size_t cells = 4096;
  void add(MonoTime from, MonoTime to, double used);

  std::vector<double> sums_ = std::vector<double>(cells, 0);
  MonoTime cell_ = 1'000'000;  ///< length of one
  MonoTime since_ = 0;
  double used_ = 0;
  double total_ = 0;
};

}  // namespace trireme::simulate
