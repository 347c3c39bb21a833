#include "observe/series.hpp"

#include <cmath>
#include <limits>

namespace trireme::observe {

Series::Series(std::size_t columns, SeriesShape shape) : columns_(columns), shape_(shape), levels_(shape.levels) {
  for (Level& level : levels_) {
    level.sums.resize(columns);
    level.known.resize(columns);
  }
}

void Series::add(WallTime time, std::span<const double> values) {
  add(0, time, values);
}

void Series::add(std::size_t number, WallTime time, std::span<const double> values) {
  Level& level = levels_[number];
  if (level.times.size() < shape_.points) {
    level.times.push_back(time);
    level.values.insert(level.values.end(), values.begin(), values.end());
  } else {
    level.times[level.next] = time;
    for (std::size_t i = 0; i < columns_; ++i) {
      level.values[level.next * columns_ + i] = static_cast<float>(values[i]);
    }
  }
  level.next = (level.next + 1) % shape_.points;

  if (number + 1 == levels_.size()) return;
  for (std::size_t i = 0; i < columns_; ++i) {
    if (std::isnan(values[i])) continue;
    level.sums[i] += values[i];
    ++level.known[i];
  }
  if (++level.rows < shape_.step) return;
  std::vector<double> means(columns_);
  for (std::size_t i = 0; i < columns_; ++i) {
    means[i] = level.known[i] > 0 ? level.sums[i] / static_cast<double>(level.known[i])
                                  : std::numeric_limits<double>::quiet_NaN();
    level.sums[i] = 0;
    level.known[i] = 0;
  }
  level.rows = 0;
  add(number + 1, time, means);
}

void Series::each(const std::function<void(WallTime, std::span<const float>)>& visit) const {
  for (std::size_t number = levels_.size(); number-- > 0;) {
    const Level& level = levels_[number];
    const std::size_t count = level.times.size();
    const std::size_t oldest = count < shape_.points ? 0 : level.next;
    WallTime until = std::numeric_limits<WallTime>::max();
    if (number > 0) {
      const Level& finer = levels_[number - 1];
      if (!finer.times.empty()) until = finer.times[finer.times.size() < shape_.points ? 0 : finer.next];
    }
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t row = (oldest + i) % count;
      if (level.times[row] >= until) break;
      visit(level.times[row], std::span(level.values).subspan(row * columns_, columns_));
    }
  }
}

}  // namespace trireme::observe
