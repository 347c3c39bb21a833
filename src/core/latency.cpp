#include "core/latency.hpp"

#include <algorithm>
#include <cmath>

namespace trireme {
namespace {

constexpr double first_bound_ns = 1000;
constexpr double per_doubling = 4;
constexpr std::uint8_t last_bucket = 122;

std::uint8_t bucket_of(Duration took) {
  const auto ns = static_cast<double>(took.count());
  if (ns <= first_bound_ns) return 0;
  return static_cast<std::uint8_t>(
      std::min<double>(std::ceil(std::log2(ns / first_bound_ns) * per_doubling), last_bucket));
}

/// The middle of a bucket, on the scale of its bounds.
Duration middle(std::uint8_t bucket) {
  return Duration(std::llround(first_bound_ns * std::exp2((bucket - 0.5) / per_doubling)));
}

}  // namespace

void LatencyHistogram::add(std::uint8_t index, std::uint64_t count) {
  const auto place = std::lower_bound(buckets_.begin(), buckets_.end(), index,
                                      [](const Bucket& bucket, std::uint8_t wanted) { return bucket.index < wanted; });
  if (place != buckets_.end() && place->index == index) {
    place->count += count;
  } else {
    buckets_.insert(place, {index, count});
  }
}

void LatencyHistogram::add(Duration took) {
  add(bucket_of(took), 1);
}

void LatencyHistogram::add(const LatencyHistogram& other) {
  for (const Bucket& bucket : other.buckets_) add(bucket.index, bucket.count);
}

LatencyHistogram LatencyHistogram::since(const LatencyHistogram& earlier) const {
  LatencyHistogram fresh;
  auto before = earlier.buckets_.begin();
  for (const Bucket& bucket : buckets_) {
    while (before != earlier.buckets_.end() && before->index < bucket.index) ++before;
    const bool known = before != earlier.buckets_.end() && before->index == bucket.index;
    const std::uint64_t old = known ? std::min(before->count, bucket.count) : 0;
    if (bucket.count > old) fresh.buckets_.push_back({bucket.index, bucket.count - old});
  }
  return fresh;
}

std::uint64_t LatencyHistogram::count() const {
  std::uint64_t all = 0;
  for (const Bucket& bucket : buckets_) all += bucket.count;
  return all;
}

std::optional<Duration> LatencyHistogram::quantile(double part) const {
  const std::uint64_t all = count();
  if (all == 0) return std::nullopt;
  const auto rank = static_cast<std::uint64_t>(std::ceil(part * static_cast<double>(all)));
  std::uint64_t below = 0;
  for (const Bucket& bucket : buckets_) {
    below += bucket.count;
    if (below >= rank) return middle(bucket.index);
  }
  return middle(buckets_.back().index);
}

void Times::add(Duration took) {
  const double taken = seconds(took);
  sum_s += taken;
  squares_s2 += taken * taken;
  histogram.add(took);
}

void Times::add(const Times& other) {
  sum_s += other.sum_s;
  squares_s2 += other.squares_s2;
  histogram.add(other.histogram);
}

std::optional<Duration> Times::mean() const {
  const auto count = static_cast<double>(histogram.count());
  if (count == 0) return std::nullopt;
  return Duration(std::llround(sum_s / count * 1e9));
}

std::optional<Duration> Times::deviation() const {
  const auto count = static_cast<double>(histogram.count());
  if (count == 0) return std::nullopt;
  const double mean_s = sum_s / count;
  return Duration(std::llround(std::sqrt(std::max(squares_s2 / count - mean_s * mean_s, 0.0)) * 1e9));
}

void ResponseTimes::add(const ResponseTimes& other) {
  communication.add(other.communication);
  service.add(other.service);
  inference.add(other.inference);
}

}  // namespace trireme
