// How long requests took: bounded histograms from which percentiles are read, and sums for mean and deviation.
//
// Four buckets to each doubling from 1 µs to over 20 minutes: a percentile is within 10 % of the truth. Only buckets that
// hold something are kept, in order, so that a sample on its way to the event log is small. Histograms of the same kind of
// requests can be added. Pure; whoever owns it is its one user.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/units.hpp"

namespace trireme {

class LatencyHistogram {
 public:
  void add(Duration took);
  void add(const LatencyHistogram& other);
  /// What has come in since this histogram was as `earlier`.
  LatencyHistogram since(const LatencyHistogram& earlier) const;
  std::uint64_t count() const;
  /// The time within which that part (0 to 1) of the requests ended; none where there were no requests.
  std::optional<Duration> quantile(double part) const;

  bool operator==(const LatencyHistogram&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(buckets_);
  }

 private:
  struct Bucket {
    std::uint8_t index = 0;
    std::uint64_t count = 0;
    bool operator==(const Bucket&) const = default;
    template <typename Archive>
    void serialize(Archive& archive) {
      archive(index, count);
    }
  };
  void add(std::uint8_t index, std::uint64_t count);

  std::vector<Bucket> buckets_;  ///< by index
};

/// The times of many requests: percentiles from the histogram, mean and standard deviation from exact sums.
struct Times {
  double sum_s = 0;
  double squares_s2 = 0;  ///< the sum of their squares
  LatencyHistogram histogram;

  void add(Duration took);
  void add(const Times& other);
  /// None where there were no requests.
  std::optional<Duration> mean() const;
  std::optional<Duration> deviation() const;

  bool operator==(const Times&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(sum_s, squares_s2, histogram);
  }
};

/// The parts of the response times of answered requests (Merzky et al. 2025), as the proxy sees them that the client called.
struct ResponseTimes {
  Times communication;  ///< the rest: to the rank of the replica and back
  Times service;        ///< until the attempt that was answered set out: in queues, and in attempts that failed
  Times inference;      ///< the replica's, from the request's way to it to the last byte of its answer

  void add(const ResponseTimes& other);
  bool operator==(const ResponseTimes&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(communication, service, inference);
  }
};

}  // namespace trireme
