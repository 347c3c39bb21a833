#include "simulate/usage_curve.hpp"

#include <algorithm>

namespace trireme::simulate {

void UsageCurve::set(MonoTime now, double used) {
  if (now > since_) add(since_, now, used_);
  since_ = std::max(since_, now);
  used_ = used;
}

void UsageCurve::finish(MonoTime end) {
  set(end, 0);
}

void UsageCurve::add(MonoTime from, MonoTime to, double used) {
  total_ += used * static_cast<double>(to - from) / 1e9;
  while (to > cell_ * static_cast<MonoTime>(cells)) {
    for (std::size_t i = 0; i < cells; ++i) sums_[i] = i < cells / 2 ? sums_[2 * i] + sums_[2 * i + 1] : 0;
    cell_ *= 2;
  }
  for (MonoTime at = from; at < to;) {
    const auto cell = static_cast<std::size_t>(at / cell_);
    const MonoTime end = std::min(to, static_cast<MonoTime>(cell + 1) * cell_);
    sums_[cell] += used * static_cast<double>(end - at) / 1e9;
    at = end;
  }
}

double UsageCurve::until(MonoTime end) const {
  double sum = 0;
  for (std::size_t i = 0; i < cells; ++i) {
    const MonoTime from = static_cast<MonoTime>(i) * cell_;
    if (from >= end) break;
    const MonoTime left = end - from;
    sum += left >= cell_ ? sums_[i] : sums_[i] * static_cast<double>(left) / static_cast<double>(cell_);
  }
  return sum;
}

std::vector<double> UsageCurve::means(MonoTime end, std::size_t parts) const {
  std::vector<double> out(parts, 0);
  if (end <= 0) return out;
  // A cell that lies in two parts is divided between them.
  for (std::size_t i = 0; i < cells; ++i) {
    const double from = static_cast<double>(i) * static_cast<double>(cell_);
    const double to = std::min(from + static_cast<double>(cell_), static_cast<double>(end));
    if (to <= from) break;
    const double scale = static_cast<double>(parts) / static_cast<double>(end);
    for (auto part = static_cast<std::size_t>(from * scale); part < parts; ++part) {
      const double begin = std::max(from, static_cast<double>(part) / scale);
      const double stop = std::min(to, static_cast<double>(part + 1) / scale);
      if (stop <= begin) break;
      out[part] += sums_[i] * (stop - begin) / (to - from);
    }
  }
  for (double& sum : out) sum /= static_cast<double>(end) / static_cast<double>(parts) / 1e9;
  return out;
}

}  // namespace trireme::simulate
