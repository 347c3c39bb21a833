#include "pilot/scheduler.hpp"

#include <algorithm>
#include <cassert>
#include <limits>

#include "core/defaults.hpp"

namespace trireme::pilot {

Scheduler::Measure Scheduler::measure_of(const Resources& per_rank) {
  if (per_rank.gpus > 0) return Measure::gpus;
  return per_rank.cores > 0 ? Measure::cores : Measure::coreless;
}

std::uint64_t Scheduler::amount(const Room& room, Measure measure) {
  switch (measure) {
    case Measure::cores:
      return room.cores();
    case Measure::gpus:
      return room.gpus();
    case Measure::coreless:
      return room.coreless();
  }
  return 0;
}

// --- nodes ---------------------------------------------------------------------------------------

/// Changes what a node has free and keeps the indices in step.
template <typename Change>
void Scheduler::change_free(Rank rank, Change change) {
  Room& free = nodes_[static_cast<std::size_t>(rank)].free;
  std::uint64_t before[3];
  for (std::size_t m = 0; m < 3; ++m) before[m] = amount(free, static_cast<Measure>(m));
  change(free);
  free_cores_ += free.cores() - before[0];
  for (std::size_t m = 0; m < 3; ++m) {
    const std::uint64_t after = amount(free, static_cast<Measure>(m));
    if (after == before[m]) continue;
    auto entry = by_amount_[m].extract({before[m], rank});
    entry.value().first = after;
    by_amount_[m].insert(std::move(entry));
  }
}

void Scheduler::add_node(Rank rank, const Resources& total) {
  const auto slot = static_cast<std::size_t>(rank);
  if (nodes_.size() <= slot) nodes_.resize(slot + 1);
  assert(!nodes_[slot].alive);
  Node& node = nodes_[slot];
  node = {
      .alive = true, .reserved = false, .unoccupied = 0, .total = total, .free = Room(total), .beside = Room(total)};
  for (std::size_t m = 0; m < 3; ++m) {
    by_amount_[m].insert({amount(node.free, static_cast<Measure>(m)), rank});
  }
  free_cores_ += node.free.cores();
  capacity_changed();
}

void Scheduler::remove_node(Rank rank) {
  if (!alive(rank)) return;
  Node& node = nodes_[static_cast<std::size_t>(rank)];
  for (std::size_t m = 0; m < 3; ++m) {
    by_amount_[m].erase({amount(node.free, static_cast<Measure>(m)), rank});
  }
  free_cores_ -= node.free.cores();
  node = {};
  capacity_changed();
}

bool Scheduler::alive(Rank rank) const {
  return rank >= 0 && static_cast<std::size_t>(rank) < nodes_.size() && nodes_[static_cast<std::size_t>(rank)].alive;
}

/// What can ever fit has changed; a reservation may stand for nodes that no longer do.
void Scheduler::capacity_changed() {
  ++capacity_;
  lift_reservation();
  ++version_;
}

// --- queues --------------------------------------------------------------------------------------

ShapeIndex Scheduler::shape_index(const Shape& shape) {
  const auto at = std::lower_bound(known_.begin(), known_.end(), shape,
                                   [](const auto& entry, const Shape& s) { return entry.first < s; });
  if (at != known_.end() && at->first == shape) return at->second;
  const ShapeIndex index{static_cast<std::uint32_t>(shapes_.size())};
  shapes_.push_back({.shape = shape, .heap = {}});
  known_.insert(at, {shape, index});
  return index;
}

/// Puts a queue where its head belongs. `before` is the head that it was ordered by.
void Scheduler::head_changed(ShapeIndex shape, std::optional<Entry> before) {
  Queue& queue = shapes_[shape.value];
  queue.blocked_at = 0;
  if (before) {
    auto turn = order_.extract({*before, shape});
    if (queue.heap.empty()) return;
    turn.value().head = queue.heap.front();
    order_.insert(std::move(turn));
  } else {
    order_.insert({queue.heap.front(), shape});
  }
}

void Scheduler::enqueue(TaskIndex task, ShapeIndex shape, std::int32_t priority) {
  if (queued_.size() <= task.value) queued_.resize(std::max<std::size_t>(task.value + 1, queued_.size() * 2));
  assert(!queued_[task.value]);
  queued_[task.value] = true;
  auto& heap = shapes_[shape.value].heap;
  const std::optional<Entry> before = heap.empty() ? std::nullopt : std::optional(heap.front());
  heap.push_back({priority, task});
  std::push_heap(heap.begin(), heap.end());
  if (!before || heap.front().task != before->task) head_changed(shape, before);
}

/// Takes the head off, and with it those behind that were removed before.
TaskIndex Scheduler::pop(ShapeIndex shape) {
  Queue& queue = shapes_[shape.value];
  const Entry head = queue.heap.front();
  queued_[head.task.value] = false;
  do {
    std::pop_heap(queue.heap.begin(), queue.heap.end());
    queue.heap.pop_back();
  } while (!queue.heap.empty() && !queued_[queue.heap.front().task.value]);
  queue.overtaken = 0;
  head_changed(shape, head);
  if (holder_ == shape) lift_reservation();
  return head.task;
}

void Scheduler::remove(TaskIndex task, ShapeIndex shape) {
  assert(queued_[task.value]);
  if (shapes_[shape.value].heap.front().task == task) {
    pop(shape);
  } else {
    queued_[task.value] = false;
  }
}

bool Scheduler::next(Placement& out) {
  bool behind_holder = false;
  for (auto turn = order_.begin(); turn != order_.end(); ++turn) {
    const ShapeIndex shape = turn->shape;
    Queue& queue = shapes_[shape.value];
    if (queue.blocked_at != version_) {
      if (place(queue.shape, !behind_holder, out.parts)) {
        for (auto passed = order_.begin(); passed != turn; ++passed) {
          ++shapes_[passed->shape.value].overtaken;
        }
        out.task = pop(shape);
        return true;
      }
      queue.blocked_at = version_;
      if (!possible(shape)) {
        stranded_.push_back(shape);
        continue;
      }
    }
    if (!holder_.valid() && queue.overtaken >= defaults::overtakes && possible(shape)) reserve(shape);
    if (holder_ == shape) behind_holder = true;
  }
  return false;
}

void Scheduler::release(ShapeIndex shape, const Part& part) {
  if (!alive(part.rank)) return;
  change_free(part.rank, [&](Room& free) { free.give_back(shapes_[shape.value].shape.per_rank, part.grant); });
  ++version_;
}

bool Scheduler::possible(ShapeIndex shape) {
  Queue& queue = shapes_[shape.value];
  if (queue.checked_at == capacity_) return queue.possible;
  queue.checked_at = capacity_;
  std::uint64_t ranks = 0;
  for (const Node& node : nodes_) {
    if (node.alive) ranks += node.beside.ranks_that_fit(queue.shape.per_rank);
    if (ranks >= queue.shape.ranks) break;
  }
  queue.possible = ranks >= queue.shape.ranks;
  return queue.possible;
}

std::vector<std::pair<TaskIndex, ShapeIndex>> Scheduler::take_stranded() {
  std::vector<std::pair<TaskIndex, ShapeIndex>> tasks;
  for (ShapeIndex shape : std::exchange(stranded_, {})) {
    if (possible(shape)) continue;
    while (!shapes_[shape.value].heap.empty()) tasks.emplace_back(pop(shape), shape);
  }
  return tasks;
}

// --- placing -------------------------------------------------------------------------------------

bool Scheduler::usable(Rank rank, bool reserved_too) const {
  const Node& node = nodes_[static_cast<std::size_t>(rank)];
  return node.unoccupied == 0 && (reserved_too || !node.reserved);
}

std::optional<Rank> Scheduler::find_node(const Shape& shape, bool reserved_too) {
  const Measure measure = measure_of(shape.per_rank);
  const auto& nodes = index(measure);
  const auto fits = [&](Rank rank) {
    return usable(rank, reserved_too) &&
           nodes_[static_cast<std::size_t>(rank)].free.ranks_that_fit(shape.per_rank) >= shape.ranks;
  };
  const std::uint64_t wanted = std::uint64_t{shape.ranks} *
                               (measure == Measure::gpus ? shape.per_rank.gpus : std::max(shape.per_rank.cores, 1u));
  constexpr Rank lowest = std::numeric_limits<Rank>::min();

  if (shape.ranks > 1 || shape.per_rank.cores > 1) {
    for (auto node = nodes.lower_bound({wanted, lowest}); node != nodes.end(); ++node) {
      if (fits(node->second)) return node->second;
    }
    return std::nullopt;
  }
  // From the most room down; among equals the lowest rank first.
  for (auto end = nodes.end(); end != nodes.begin();) {
    const std::uint64_t room = std::prev(end)->first;
    if (room < wanted) break;
    const auto first = nodes.lower_bound({room, lowest});
    for (auto node = first; node != end; ++node) {
      if (fits(node->second)) return node->second;
    }
    end = first;
  }
  return std::nullopt;
}

void Scheduler::put(const Shape& shape, Rank rank, std::uint32_t ranks, std::vector<Part>& parts) {
  parts.push_back({.rank = rank, .first_rank = 0, .local_ranks = ranks, .grant = {}});
  change_free(rank, [&](Room& free) { parts.back().grant = free.take(shape.per_rank, ranks); });
}

bool Scheduler::place(const Shape& shape, bool reserved_too, std::vector<Part>& parts) {
  parts.clear();
  if (const auto rank = find_node(shape, reserved_too)) {
    put(shape, *rank, shape.ranks, parts);
    return true;
  }
  return shape.ranks > 1 && place_over_nodes(shape, reserved_too, parts);
}

bool Scheduler::place_over_nodes(const Shape& shape, bool reserved_too, std::vector<Part>& parts) {
  if (std::uint64_t{shape.per_rank.cores} * shape.ranks > free_cores_) return false;
  struct Candidate {
    std::uint32_t ranks;
    Rank rank;
  };
  std::vector<Candidate> candidates;
  std::uint64_t room = 0;
  for (Rank rank = 0; rank < static_cast<Rank>(nodes_.size()); ++rank) {
    const Node& node = nodes_[static_cast<std::size_t>(rank)];
    if (!node.alive || !usable(rank, reserved_too)) continue;
    const std::uint32_t ranks = node.free.ranks_that_fit(shape.per_rank);
    if (ranks == 0) continue;
    candidates.push_back({ranks, rank});
    room += ranks;
  }
  if (room < shape.ranks) return false;

  // The fullest parts first; the rest goes where it fits most closely.
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return a.ranks > b.ranks; });
  std::uint32_t left = shape.ranks;
  auto at = candidates.begin();
  for (; at->ranks < left; ++at) {
    put(shape, at->rank, at->ranks, parts);
    left -= at->ranks;
  }
  while (at + 1 != candidates.end() && (at + 1)->ranks >= left && (at + 1)->ranks < at->ranks) ++at;
  put(shape, at->rank, left, parts);

  std::sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) { return a.rank < b.rank; });
  std::uint32_t first = 0;
  for (Part& part : parts) {
    part.first_rank = first;
    first += part.local_ranks;
  }
  return true;
}

void Scheduler::reserve(ShapeIndex shape) {
  const Resources& per_rank = shapes_[shape.value].shape.per_rank;
  const Measure measure = measure_of(per_rank);
  std::vector<Rank> nodes;
  for (Rank rank = 0; rank < static_cast<Rank>(nodes_.size()); ++rank) {
    const Node& node = nodes_[static_cast<std::size_t>(rank)];
    if (node.alive && node.beside.ranks_that_fit(per_rank) > 0) nodes.push_back(rank);
  }
  const auto nearer = [&](Rank a, Rank b) {
    const Room& x = nodes_[static_cast<std::size_t>(a)].free;
    const Room& y = nodes_[static_cast<std::size_t>(b)].free;
    return std::pair(x.ranks_that_fit(per_rank), amount(x, measure)) >
           std::pair(y.ranks_that_fit(per_rank), amount(y, measure));
  };
  std::stable_sort(nodes.begin(), nodes.end(), nearer);
  std::uint64_t ranks = 0;
  for (Rank rank : nodes) {
    if (ranks >= shapes_[shape.value].shape.ranks) break;
    Node& node = nodes_[static_cast<std::size_t>(rank)];
    node.reserved = true;
    ranks += node.beside.ranks_that_fit(per_rank);
  }
  holder_ = shape;
}

void Scheduler::lift_reservation() {
  if (!holder_.valid()) return;
  for (Node& node : nodes_) node.reserved = false;
  holder_ = {};
  ++version_;
}

// --- seats ---------------------------------------------------------------------------------------

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
    const Node& node = nodes_[static_cast<std::size_t>(rank)];
    if (!node.alive || node.beside.ranks_that_fit(per_replica) == 0) continue;
    if (!best || better(rank, *best)) best = rank;
  }
  if (!best) return std::nullopt;
  Node& node = nodes_[static_cast<std::size_t>(*best)];
  ++node.unoccupied;
  Seat seat{.rank = *best, .occupied = false, .beside = node.beside.take(per_replica, 1), .free = {}};
  capacity_changed();
  return seat;
}

bool Scheduler::occupy(Seat& seat, const Resources& per_replica) {
  Node& node = nodes_[static_cast<std::size_t>(seat.rank)];
  assert(node.alive && !seat.occupied);
  if (node.free.ranks_that_fit(per_replica) == 0) return false;
  change_free(seat.rank, [&](Room& free) { seat.free = free.take(per_replica, 1); });
  seat.occupied = true;
  --node.unoccupied;
  ++version_;
  return true;
}

void Scheduler::vacate(const Seat& seat, const Resources& per_replica) {
  if (!alive(seat.rank)) return;
  Node& node = nodes_[static_cast<std::size_t>(seat.rank)];
  node.beside.give_back(per_replica, seat.beside);
  if (seat.occupied) {
    change_free(seat.rank, [&](Room& free) { free.give_back(per_replica, seat.free); });
  } else {
    --node.unoccupied;
  }
  capacity_changed();
}

}  // namespace trireme::pilot
