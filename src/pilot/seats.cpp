// The seats of replicas.
#include <algorithm>
#include <cassert>

#include "pilot/scheduler_changes.hpp"

namespace trireme::pilot {

auto Scheduler::better_seat(const Resources& per_rank, std::span<const Rank> siblings) const {
  std::vector<std::uint32_t> taken(nodes_.size(), 0);
  for (Rank rank : siblings) ++taken[static_cast<std::size_t>(rank)];
  return [this, per_rank, measure = measure_of(per_rank), taken = std::move(taken)](Rank a, Rank b) {
    const auto x = static_cast<std::size_t>(a);
    const auto y = static_cast<std::size_t>(b);
    const std::uint64_t room_x = amount(nodes_[x].beside, measure);
    const std::uint64_t room_y = amount(nodes_[y].beside, measure);
    if (seat_policy_ == SeatPolicy::pack) return room_x < room_y;
    if (taken[x] != taken[y]) return taken[x] < taken[y];
    const bool now_x = nodes_[x].free.ranks_that_fit(per_rank) > 0;
    const bool now_y = nodes_[y].free.ranks_that_fit(per_rank) > 0;
    if (now_x != now_y) return now_x;
    if (room_x != room_y) return room_x > room_y;
    return nodes_[x].beside.cores() > nodes_[y].beside.cores();
  };
}

std::vector<Seat> Scheduler::assign(const SeatRequest& request, std::span<const Rank> siblings) {
  struct Candidate {
    Rank rank;
    std::uint32_t holds;
  };
  const std::uint32_t most =
      request.ranks_per_node == 0 ? request.ranks : std::min(request.ranks_per_node, request.ranks);
  std::vector<Candidate> candidates;
  for (Rank rank = 0; rank < static_cast<Rank>(nodes_.size()); ++rank) {
    const std::uint32_t holds = at(rank).alive ? at(rank).beside.ranks_that_fit(request.per_rank) : 0;
    if (holds > 0) candidates.push_back({rank, std::min(holds, most)});
  }
  const auto better = better_seat(request.per_rank, siblings);
  const auto before = [&](const Candidate& a, const Candidate& b) {
    return a.holds != b.holds ? a.holds > b.holds : better(a.rank, b.rank);
  };
  std::vector<Candidate> chosen;
  std::uint32_t left = request.ranks;
  if (left == 1 && !candidates.empty()) {
    chosen.push_back(*std::min_element(candidates.begin(), candidates.end(), before));
    left = 0;
  }
  // The fullest parts first; the rest goes where it fits most closely.
  if (left > 0) std::stable_sort(candidates.begin(), candidates.end(), before);
  for (auto next = candidates.begin(); left > 0; ++next) {
    if (next == candidates.end()) return {};
    if (request.ranks_per_node > 0 && next->holds < std::min(most, left)) return {};
    if (next->holds >= left) {
      next = std::min_element(
          next,
          std::partition_point(next, candidates.end(), [&](const Candidate& other) { return other.holds >= left; }),
          [](const Candidate& a, const Candidate& b) { return a.holds < b.holds; });
    }
    chosen.push_back({next->rank, std::min(next->holds, left)});
    left -= chosen.back().holds;
  }
  std::vector<Seat> seats;
  for (const Candidate& one : chosen) seats.push_back(take_seat(one.rank, one.holds, request.per_rank));
  capacity_changed();
  return seats;
}

Seat Scheduler::take_seat(Rank rank, std::uint32_t ranks, const Resources& per_rank) {
  change_standing(rank, [](Node& node) {
    ++node.unoccupied;
    ++node.seats;
  });
  ++unoccupied_;
  Seat seat;
  seat.rank = rank;
  seat.ranks = ranks;
  seat.beside = at(rank).beside.take(per_rank, ranks);
  return seat;
}

bool Scheduler::occupy(Seat& seat, const Resources& per_rank) {
  const Node& node = at(seat.rank);
  assert(node.alive && !seat.occupied);
  if (node.exclusive || node.free.ranks_that_fit(per_rank) < seat.ranks) return false;
  change_free(seat.rank, [&](Node& here) {
    seat.free = here.free.take(per_rank, seat.ranks);
    ++here.taken;
    --here.unoccupied;
  });
  --unoccupied_;
  seat.occupied = true;
  ++running_;
  freed(seat.rank);
  return true;
}

void Scheduler::leave(Seat& seat, const Resources& per_rank) {
  assert(seat.occupied && !seat.leaving);
  seat.leaving = true;
  if (!alive(seat.rank)) return;
  change_standing(seat.rank, [&](Node& node) {
    node.beside.give_back(per_rank, seat.beside);
    --node.seats;
  });
  capacity_changed();
}

void Scheduler::vacate(const Seat& seat, const Resources& per_rank) {
  if (!alive(seat.rank)) return;
  change_free(seat.rank, [&](Node& node) {
    if (!seat.leaving) {
      node.beside.give_back(per_rank, seat.beside);
      --node.seats;
    }
    if (seat.occupied) {
      node.free.give_back(per_rank, seat.free);
      --node.taken;
      --running_;
    } else {
      --node.unoccupied;
      --unoccupied_;
    }
  });
  capacity_changed();
}

}  // namespace trireme::pilot
