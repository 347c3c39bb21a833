// A history of some numbers in a fixed amount of memory: finest for what is new, coarser with age.
//
// Mechanism. Levels of rings, all of the same length. A row that is added goes to the first; the mean of each `step` rows of a
// level goes to the next one as a row of its own, with the time of the last of them. What each() shows of a level is what
// the finer one before it has forgotten. A value that is not known is NaN, and means are of those that are.
//
// Pure; belongs to whoever holds it.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "core/defaults.hpp"
#include "core/units.hpp"

namespace trireme::observe {

struct SeriesShape {
  std::size_t points = defaults::dashboard_points;
  std::size_t levels = defaults::dashboard_levels;
  std::size_t step = defaults::dashboard_step;
};

class Series {
 public:
  explicit Series(std::size_t columns, SeriesShape shape = {});

  /// One value for each column; times only grow.
  void add(WallTime time, std::span<const double> values);
  /// All rows that are there, from the oldest to the newest.
  void each(const std::function<void(WallTime time, std::span<const float> values)>& visit) const;
  std::size_t columns() const { return columns_; }

 private:
  struct Level {
    std::vector<WallTime> times;  ///< a ring, as long as the shape says once it is full
    std::vector<float> values;
    std::size_t next = 0;      ///< where the next row goes
    std::vector<double> sums;  ///< of the rows on their way to the next level, …
    std::vector<std::size_t> known;
    std::size_t rows = 0;  ///< … which are so many
  };
  void add(std::size_t level, WallTime time, std::span<const double> values);

  std::size_t columns_;
  SeriesShape shape_;
  std::vector<Level> levels_;
};

}  // namespace trireme::observe
