// The seats of replicas.
#include <cassert>

#include "pilot/scheduler_changes.hpp"

namespace trireme::pilot {

std::optional<Seat> Scheduler::assign(const Resources& per_replica, std::span<const Rank> siblings) {
  const Measure measure = measure_of(per_replica);
  std::vector<std::uint32_t> taken(nodes_.size(), 0);
  for (Rank rank : siblings) ++taken[static_cast<std::size_t>(rank)];
  const auto better = [&](Rank a, Rank b) {
    const auto x = static_cast<std::size_t>(a);
    const auto y = static_cast<std::size_t>(b);
    const std::uint64_t room_x = amount(nodes_[x].beside, measure);
    const std::uint64_t room_y = amount(nodes_[y].beside, measure);
    if (seat_policy_ == SeatPolicy::pack) return room_x < room_y;
    if (taken[x] != taken[y]) return taken[x] < taken[y];
    const bool now_x = nodes_[x].free.ranks_that_fit(per_replica) > 0;
    const bool now_y = nodes_[y].free.ranks_that_fit(per_replica) > 0;
    if (now_x != now_y) return now_x;
    if (room_x != room_y) return room_x > room_y;
    return nodes_[x].beside.cores() > nodes_[y].beside.cores();
  };
  std::optional<Rank> best;
  for (Rank rank = 0; rank < static_cast<Rank>(nodes_.size()); ++rank) {
    const Node& node = at(rank);
    if (!node.alive || node.beside.ranks_that_fit(per_replica) == 0) continue;
    if (!best || better(rank, *best)) best = rank;
  }
  if (!best) return std::nullopt;
  change_standing(*best, [](Node& node) {
    ++node.unoccupied;
    ++node.seats;
  });
  ++unoccupied_;
  std::optional<Seat> seat(std::in_place);
  seat->rank = *best;
  seat->beside = at(*best).beside.take(per_replica, 1);
  capacity_changed();
  return seat;
}

bool Scheduler::occupy(Seat& seat, const Resources& per_replica) {
  const Node& node = at(seat.rank);
  assert(node.alive && !seat.occupied);
  if (node.exclusive || node.free.ranks_that_fit(per_replica) == 0) return false;
  change_free(seat.rank, [&](Node& here) {
    seat.free = here.free.take(per_replica, 1);
    ++here.taken;
    --here.unoccupied;
  });
  --unoccupied_;
  seat.occupied = true;
  ++running_;
  freed(seat.rank);
  return true;
}

void Scheduler::leave(Seat& seat, const Resources& per_replica) {
  assert(seat.occupied && !seat.leaving);
  seat.leaving = true;
  if (!alive(seat.rank)) return;
  change_standing(seat.rank, [&](Node& node) {
    node.beside.give_back(per_replica, seat.beside);
    --node.seats;
  });
  capacity_changed();
}

void Scheduler::vacate(const Seat& seat, const Resources& per_replica) {
  if (!alive(seat.rank)) return;
  change_free(seat.rank, [&](Node& node) {
    if (!seat.leaving) {
      node.beside.give_back(per_replica, seat.beside);
      --node.seats;
    }
    if (seat.occupied) {
      node.free.give_back(per_replica, seat.free);
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
