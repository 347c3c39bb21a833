#include "pilot/room.hpp"

#include <algorithm>
#include <cassert>

namespace trireme::pilot {
namespace {

/// Whole GPUs that a request of at least one GPU takes.
std::uint32_t whole_gpus(MilliGpus wanted) {
  return (wanted + whole_gpu - 1) / whole_gpu;
}

}  // namespace

Room::Room(const Resources& total) : cores_(total.cores), gpu_sum_(total.gpus), memory_(total.memory) {
  whole_free_ = total.gpus / whole_gpu;
  gpus_.assign(whole_free_, static_cast<std::uint16_t>(whole_gpu));
  if (total.gpus % whole_gpu != 0) gpus_.push_back(static_cast<std::uint16_t>(total.gpus % whole_gpu));
}

std::uint32_t Room::gpu_ranks(MilliGpus per_rank) const {
  if (per_rank >= whole_gpu) return whole_free_ / whole_gpus(per_rank);
  std::uint32_t ranks = 0;
  for (MilliGpus free : gpus_) ranks += free / per_rank;
  return ranks;
}

std::uint32_t Room::ranks_by(const Resources& per_rank) const {
  std::uint64_t ranks = per_rank.cores > 0 ? cores_ / per_rank.cores : coreless_;
  if (per_rank.memory > 0) ranks = std::min(ranks, memory_ / per_rank.memory);
  if (per_rank.gpus > 0) ranks = std::min<std::uint64_t>(ranks, gpu_ranks(per_rank.gpus));
  return static_cast<std::uint32_t>(ranks);
}

Grant Room::take(const Resources& per_rank, std::uint32_t ranks) {
  assert(ranks_that_fit(per_rank) >= ranks);
  Grant grant{.ranks = ranks, .gpus = {}};
  cores_ -= per_rank.cores * ranks;
  memory_ -= per_rank.memory * ranks;
  if (per_rank.cores == 0) coreless_ -= ranks;
  if (per_rank.gpus == 0) return grant;

  const bool share = per_rank.gpus < whole_gpu;
  const std::uint32_t pieces = share ? ranks : ranks * whole_gpus(per_rank.gpus);
  const MilliGpus piece = share ? per_rank.gpus : whole_gpu;
  for (std::uint32_t i = 0; i < pieces; ++i) {
    auto best = gpus_.end();
    for (auto gpu = gpus_.begin(); gpu != gpus_.end(); ++gpu) {
      if (*gpu >= piece && (best == gpus_.end() || *gpu < *best)) best = gpu;
      if (*gpu == piece) break;
    }
    if (*best == whole_gpu) --whole_free_;
    *best = static_cast<std::uint16_t>(*best - piece);
    gpu_sum_ -= piece;
    grant.gpus.push_back(static_cast<std::uint16_t>(best - gpus_.begin()));
  }
  return grant;
}

void Room::give_back(const Resources& per_rank, const Grant& grant) {
  cores_ += per_rank.cores * grant.ranks;
  memory_ += per_rank.memory * grant.ranks;
  if (per_rank.cores == 0) coreless_ += grant.ranks;
  const MilliGpus piece = std::min(per_rank.gpus, whole_gpu);
  for (std::uint16_t gpu : grant.gpus) {
    gpus_[gpu] = static_cast<std::uint16_t>(gpus_[gpu] + piece);
    if (gpus_[gpu] == whole_gpu) ++whole_free_;
    gpu_sum_ += piece;
  }
}

}  // namespace trireme::pilot
