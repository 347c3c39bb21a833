// What a node has free, counted so that what is handed out can be found there.
//
// Cores and memory are plain amounts. GPUs are counted one by one, because two halves of two GPUs
// are not a GPU: a share (under one GPU) goes to the GPU with the least room that still holds it,
// and whole GPUs are those that nobody shares. Agents choose in the same way, so that what the
// pilot counts as free is there. Requests above one GPU are rounded up to whole ones.
//
// A search looks at many rooms and finds most of them too full, so a room is one cache line, and that it lacks something is
// seen by comparing, without a division.
#pragma once

#include <boost/container/small_vector.hpp>
#include <cstdint>

#include "core/defaults.hpp"
#include "core/resources.hpp"

namespace trireme::pilot {

/// What was taken out of a Room; needed to give it back.
struct Grant {
  std::uint32_t ranks = 0;
  boost::container::small_vector<std::uint16_t, 4> gpus;  ///< the GPUs, in the order in which the ranks took them
};

class Room {
 public:
  Room() = default;
  explicit Room(const Resources& total);

  /// How many ranks that want this much each could be put here.
  std::uint32_t ranks_that_fit(const Resources& per_rank) const { return lacks(per_rank) ? 0 : ranks_by(per_rank); }
  /// Takes room for `ranks` ranks. They must fit.
  Grant take(const Resources& per_rank, std::uint32_t ranks);
  /// Gives back what `take` took for the same request.
  void give_back(const Resources& per_rank, const Grant& grant);

  std::uint32_t cores() const { return cores_; }
  std::uint64_t memory() const { return memory_; }
  /// The sum over all GPUs, in thousandths.
  MilliGpus gpus() const { return gpu_sum_; }
  /// How many more ranks without a core of their own may come here.
  std::uint32_t coreless() const { return coreless_; }

 private:
  /// One rank wants more of something than there is in all.
  bool lacks(const Resources& per_rank) const {
    return cores_ < per_rank.cores || gpu_sum_ < per_rank.gpus || memory_ < per_rank.memory;
  }
  std::uint32_t ranks_by(const Resources& per_rank) const;
  std::uint32_t gpu_ranks(MilliGpus per_rank) const;

  std::uint32_t cores_ = 0;
  std::uint32_t coreless_ = defaults::coreless_per_node;
  MilliGpus gpu_sum_ = 0;
  std::uint32_t whole_free_ = 0;  ///< GPUs that nobody uses
  std::uint64_t memory_ = 0;
  boost::container::small_vector<std::uint16_t, 8> gpus_;  ///< free thousandths of each
};

}  // namespace trireme::pilot
