// How long requests took, as a bounded histogram from which percentiles are read.
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

}  // namespace trireme
