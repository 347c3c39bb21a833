// Endpoint epochs: numbering, batches, acknowledgements and repair at rank 0; order and duplicates
// at every rank.
//
// Pure; no MPI. docs/spec/messages.md, "Endpoint epochs".
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/ids.hpp"

namespace trireme::fabric {

using SteadyTime = std::chrono::steady_clock::time_point;

/// Appends one epoch in the form that broadcasts and repairs carry.
void append_epoch(std::string& out, std::uint64_t number, std::string_view payload);
/// Takes apart what append_epoch put together; false at bytes that are no epoch.
bool read_epochs(std::string_view data,
                 const std::function<void(std::uint64_t number, std::string_view payload)>& each);

/// Rank 0's side.
class EpochLog {
 public:
  explicit EpochLog(Rank ranks);

  std::uint64_t publish(std::string payload, SteadyTime now);
  std::uint64_t last() const { return last_; }

  /// All epochs that were not broadcast yet, up to about `limit` bytes but at least one; empty if
  /// there are none.
  std::string take_batch(std::size_t limit);

  /// `rank` holds everything up to `number`.
  void acknowledge(Rank rank, std::uint64_t number);
  /// `rank` is lost: nothing waits for it any more.
  void forget(Rank rank);
  /// Every living rank holds everything up to this.
  std::uint64_t acknowledged() const { return acknowledged_; }

  /// What `rank` lacks of the epochs published before `cutoff`, apart from what it was sent by an
  /// earlier repair.
  std::vector<std::string> repair(Rank rank, SteadyTime cutoff, std::size_t limit);

 private:
  struct Epoch {
    std::string payload;
    SteadyTime published;
  };
  struct Holder {
    bool living = true;
    std::uint64_t held = 0;
    std::uint64_t repaired = 0;
  };
  const Epoch& at(std::uint64_t number) const { return kept_[number - first_kept_]; }
  void advance();

  std::vector<Holder> holders_;
  std::size_t behind_;  ///< living ranks that hold no more than acknowledged_
  std::uint64_t last_ = 0;
  std::uint64_t batched_ = 0;
  std::uint64_t acknowledged_ = 0;
  std::uint64_t first_kept_ = 1;
  std::deque<Epoch> kept_;
};

/// Every rank's side: delivers each epoch once and in order, by whichever ways they come.
class EpochReceiver {
 public:
  using Deliver = std::function<void(std::uint64_t number, std::string_view payload)>;
  void accept(std::uint64_t number, std::string_view payload, const Deliver& deliver);
  /// The last one delivered.
  std::uint64_t held() const { return held_; }

 private:
  std::uint64_t held_ = 0;
  std::map<std::uint64_t, std::string> early_;
};

}  // namespace trireme::fabric
