// Nodes by how much of one thing they have free, found without looking at those that have too little.
//
// One bucket per amount, each a set of ranks as bits, so that a change costs the setting of two bits and a search reads
// buckets from the amount that is wanted on. Within a bucket the lowest rank comes first.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/ids.hpp"

namespace trireme::pilot {

class RankSet {
 public:
  void insert(Rank rank);
  void erase(Rank rank);
  bool empty() const { return size_ == 0; }
  /// The lowest rank from `from` on; -1 if there is none.
  Rank next(Rank from) const;

 private:
  std::vector<std::uint64_t> bits_;
  std::vector<std::uint64_t> words_;  ///< which of `bits_` are not 0
  std::uint32_t size_ = 0;
};

class NodeIndex {
 public:
  void insert(std::uint32_t amount, Rank rank);
  void erase(std::uint32_t amount, Rank rank) { buckets_[amount].erase(rank); }
  void move(std::uint32_t from, std::uint32_t to, Rank rank);

  /// The first node that `fits`, among those with `least` or more: from the least amount up.
  template <typename Fits>
  std::optional<Rank> tightest(std::uint32_t least, Fits fits) const {
    for (std::size_t amount = least; amount < buckets_.size(); ++amount) {
      if (const auto rank = first_in(buckets_[amount], fits)) return rank;
    }
    return std::nullopt;
  }
  /// The same from the largest amount down.
  template <typename Fits>
  std::optional<Rank> roomiest(std::uint32_t least, Fits fits) const {
    for (std::size_t amount = buckets_.size(); amount-- > least;) {
      if (const auto rank = first_in(buckets_[amount], fits)) return rank;
    }
    return std::nullopt;
  }

 private:
  template <typename Fits>
  static std::optional<Rank> first_in(const RankSet& bucket, Fits& fits) {
    if (bucket.empty()) return std::nullopt;
    for (Rank rank = bucket.next(0); rank >= 0; rank = bucket.next(rank + 1)) {
      if (fits(rank)) return rank;
    }
    return std::nullopt;
  }

  std::vector<RankSet> buckets_;  ///< by amount
};

}  // namespace trireme::pilot
