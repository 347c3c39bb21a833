#include "observe/report/bins.hpp"

#include <algorithm>
#include <cmath>

namespace trireme::observe::report {

Bins::Bins(Duration total, std::size_t count)
    : width_s_(total > Duration(0) ? seconds(total) / static_cast<double>(count) : 0),
      parts_(width_s_ > 0 ? count : 0),
      changes_(parts_.size() + 1) {}

/// In bins from the beginning.
double Bins::position(Duration time) const {
  return std::clamp(seconds(time) / width_s_, 0.0, static_cast<double>(parts_.size()));
}

void Bins::add(Duration from, Duration to, double weight) {
  if (parts_.empty() || from >= to) return;
  const double begin = position(from);
  const double end = position(to);
  const auto first = static_cast<std::size_t>(begin);
  const auto last = static_cast<std::size_t>(end);
  if (first == parts_.size()) return;
  if (first == last) {
    parts_[first] += (end - begin) * weight;
    return;
  }
  parts_[first] += (static_cast<double>(first + 1) - begin) * weight;
  changes_[first + 1] += weight;
  changes_[last] -= weight;
  if (last < parts_.size()) parts_[last] += (end - static_cast<double>(last)) * weight;
}

void Bins::count(Duration at) {
  if (parts_.empty()) return;
  parts_[std::min(static_cast<std::size_t>(position(at)), parts_.size() - 1)] += 1 / width_s_;
}

std::vector<double> Bins::means() const {
  std::vector<double> out = parts_;
  double whole = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    whole += changes_[i];
    out[i] += whole;
  }
  return out;
}

GrowingBins::GrowingBins(std::size_t count, Duration width) : count_(2 * count), width_s_(seconds(width)) {}

void GrowingBins::add(Duration from, Duration to, double weight) {
  const double begin = std::max(seconds(from), 0.0);
  const double end = seconds(to);
  if (begin >= end || weight == 0) return;
  while (end > width_s_ * static_cast<double>(count_)) {
    for (std::size_t i = 0; i < amounts_.size(); i += 2) {
      amounts_[i / 2] = amounts_[i] + (i + 1 < amounts_.size() ? amounts_[i + 1] : 0);
    }
    amounts_.resize((amounts_.size() + 1) / 2);
    width_s_ *= 2;
  }
  const auto first = static_cast<std::size_t>(begin / width_s_);
  const auto last = std::min(static_cast<std::size_t>(std::ceil(end / width_s_)), count_);
  if (amounts_.size() < last) amounts_.resize(last);
  reach_s_ = std::max(reach_s_, end);
  for (std::size_t i = first; i < last; ++i) {
    const double low = static_cast<double>(i) * width_s_;
    amounts_[i] += std::max(0.0, std::min(end, low + width_s_) - std::max(begin, low)) * weight;
  }
}

void GrowingBins::pour_into(Bins& bins) const {
  for (std::size_t i = 0; i < amounts_.size(); ++i) {
    const double from = static_cast<double>(i) * width_s_;
    // Nothing in the last one is later than what came last.
    const double to = std::min(from + width_s_, reach_s_);
    const auto time = [](double at) { return Duration(std::llround(at * 1e9)); };
    if (amounts_[i] > 0) bins.add(time(from), time(to), amounts_[i] / (to - from));
  }
}

}  // namespace trireme::observe::report
