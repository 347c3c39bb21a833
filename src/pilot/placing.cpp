// Where a shape goes: the searches over nodes, and the reservation for what would else wait for ever.
#include <algorithm>
#include <cassert>
#include <tuple>

#include "core/defaults.hpp"
#include "pilot/scheduler_changes.hpp"

namespace trireme::pilot {
namespace {

/// Nodes looked at one by one for a request that was blocked; where more came free since, the index is faster.
constexpr std::uint64_t freed_looked_at = 64;

}  // namespace

/// All that an exclusive attempt takes.
Resources Scheduler::whole(const Node& node) {
  return {node.total.cores, node.total.gpus / whole_gpu * whole_gpu, node.total.memory};
}

bool Scheduler::usable(Rank rank, bool reserved_too) const {
  const Node& node = at(rank);
  return node.alive && node.unoccupied == 0 && !node.exclusive && (reserved_too || !node.reserved);
}

/// How many ranks of the shape a node could take: now, or when no task runs.
std::uint32_t Scheduler::ranks_on(const Shape& shape, Rank rank, bool now) const {
  const Node& node = at(rank);
  if (shape.exclusive && (now ? node.taken : node.seats) > 0) return 0;
  if (shape.colocate.valid()) {
    const auto& chosen = colocations_[shape.colocate.value].nodes;
    if (!chosen.empty() && std::find(chosen.begin(), chosen.end(), rank) == chosen.end()) return 0;
  }
  const std::uint32_t ranks = (now ? node.free : node.beside).ranks_that_fit(shape.per_rank);
  if (shape.ranks_per_node == 0) return ranks;
  const std::uint32_t wanted = std::min(shape.ranks_per_node, shape.ranks);
  return ranks >= wanted ? wanted : 0;
}

std::uint64_t Scheduler::ranks_beside_seats(const Shape& shape) const {
  std::uint64_t ranks = 0;
  for (Rank rank = 0; rank < static_cast<Rank>(nodes_.size()); ++rank) {
    if (at(rank).alive) ranks += ranks_on(shape, rank, false);
  }
  return ranks;
}

/// Takes a node into the counts of room for shapes with several ranks, or out of them.
void Scheduler::count(Rank rank, bool add) {
  if (wide_.empty() || !usable(rank, true)) return;
  const bool reserved = at(rank).reserved;
  for (ShapeIndex shape : wide_) {
    Queue& queue = shapes_[shape.value];
    const std::uint64_t ranks = ranks_on(queue.shape, rank, true);
    const std::uint64_t change = add ? ranks : -ranks;
    queue.room[1] += change;
    if (!reserved) queue.room[0] += change;
  }
}

void Scheduler::recount(ShapeIndex shape) {
  Queue& queue = shapes_[shape.value];
  queue.room = {};
  for (Rank rank = 0; rank < static_cast<Rank>(nodes_.size()); ++rank) {
    if (!usable(rank, true)) continue;
    const std::uint32_t ranks = ranks_on(queue.shape, rank, true);
    queue.room[1] += ranks;
    if (!at(rank).reserved) queue.room[0] += ranks;
  }
}

// --- colocation ----------------------------------------------------------------------------------

/// Whether a colocation may begin on this node: there must be room for each of its shapes at one time or another.
bool Scheduler::may_begin(const Shape& shape, Rank rank) const {
  if (!shape.colocate.valid()) return true;
  const Colocation& colocation = colocations_[shape.colocate.value];
  if (!colocation.nodes.empty()) return true;
  return std::all_of(colocation.shapes.begin(), colocation.shapes.end(),
                     [&](ShapeIndex other) { return ranks_on(shapes_[other.value].shape, rank, false) > 0; });
}

void Scheduler::settle_colocation(const Shape& shape, const std::vector<Part>& parts) {
  if (!shape.colocate.valid()) return;
  Colocation& colocation = colocations_[shape.colocate.value];
  if (!colocation.nodes.empty()) return;
  for (const Part& part : parts) colocation.nodes.push_back(part.rank);
  for (ShapeIndex other : colocation.shapes) {
    shapes_[other.value].checked_at = 0;
    if (shapes_[other.value].shape.ranks > 1) recount(other);
  }
}

// --- searching -----------------------------------------------------------------------------------

/// A node that holds all ranks.
std::optional<Rank> Scheduler::find_node(const Queue& queue, bool reserved_too) {
  const Shape& shape = queue.shape;
  const Measure measure = measure_of(shape.per_rank);
  const auto fits = [&](Rank rank) {
    return usable(rank, reserved_too) && ranks_on(shape, rank, true) >= shape.ranks && may_begin(shape, rank);
  };
  // Where somebody waits for several nodes, small tasks too leave large holes large.
  const bool large = shape.ranks > 1 || shape.per_rank.cores > 1 || !wide_.empty();
  const bool few = freed_before_ + freed_.size() - queue.blocked_at <= freed_looked_at;
  if (queue.blocked_at >= freed_before_ && few) {
    std::optional<Rank> best;
    for (std::size_t i = queue.blocked_at - freed_before_; i < freed_.size(); ++i) {
      const Rank rank = freed_[i];
      if (rank == best || !fits(rank)) continue;
      if (best) {
        const std::uint32_t here = amount(at(rank).free, measure);
        const std::uint32_t there = amount(at(*best).free, measure);
        const bool better = here == there ? rank < *best : large ? here < there : here > there;
        if (!better) continue;
      }
      best = rank;
    }
    return best;
  }
  const auto least = least_amount(shape, measure);
  if (!least) return std::nullopt;
  return large ? index(measure).tightest(*least, fits) : index(measure).roomiest(*least, fits);
}

/// What a node must have free at least for all ranks; none if no node ever has.
std::optional<std::uint32_t> Scheduler::least_amount(const Shape& shape, Measure measure) {
  const std::uint64_t wanted = measure == Measure::gpus
                                   ? (std::uint64_t{shape.ranks} * shape.per_rank.gpus + whole_gpu - 1) / whole_gpu
                                   : std::uint64_t{shape.ranks} * std::max(shape.per_rank.cores, 1u);
  if (wanted > ~std::uint32_t{0}) return std::nullopt;
  return static_cast<std::uint32_t>(wanted);
}

std::uint32_t Scheduler::room_now(ShapeIndex of, std::uint32_t most) const {
  const Shape& shape = shapes_[of.value].shape;
  const Measure measure = measure_of(shape.per_rank);
  const auto least = least_amount(shape, measure);
  if (!least) return 0;
  std::uint64_t room = 0;
  index(measure).roomiest(*least, [&](Rank rank) {
    if (usable(rank, false)) room += ranks_on(shape, rank, true);
    return room >= most;
  });
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(room, most));
}

void Scheduler::put(const Shape& shape, Rank rank, std::uint32_t ranks, std::vector<Part>& parts) {
  ++running_;
  parts.push_back({.rank = rank, .first_rank = 0, .local_ranks = ranks, .grant = {}});
  change_free(rank, [&](Node& node) {
    ++node.taken;
    node.exclusive = shape.exclusive;
    parts.back().grant = shape.exclusive ? node.free.take(whole(node), 1) : node.free.take(shape.per_rank, ranks);
  });
}

bool Scheduler::place(ShapeIndex index, bool reserved_too, std::vector<Part>& parts) {
  parts.clear();
  const Queue& queue = shapes_[index.value];
  if (queue.shape.ranks > 1 && queue.room[reserved_too ? 1 : 0] < queue.shape.ranks) return false;
  if (const auto rank = find_node(queue, reserved_too)) {
    put(queue.shape, *rank, queue.shape.ranks, parts);
  } else if (queue.shape.ranks == 1 || !place_over_nodes(queue.shape, reserved_too, parts)) {
    return false;
  }
  settle_colocation(queue.shape, parts);
  return true;
}

bool Scheduler::place_over_nodes(const Shape& shape, bool reserved_too, std::vector<Part>& parts) {
  struct Candidate {
    std::uint32_t ranks;
    Rank rank;
  };
  std::vector<Candidate> candidates;
  std::uint64_t room = 0;
  for (Rank rank = 0; rank < static_cast<Rank>(nodes_.size()); ++rank) {
    if (!usable(rank, reserved_too)) continue;
    const std::uint32_t ranks = ranks_on(shape, rank, true);
    if (ranks == 0 || !may_begin(shape, rank)) continue;
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

// --- the reservation -----------------------------------------------------------------------------

bool Scheduler::may_use_reserved(const Turn& turn) const {
  return !holder_.valid() || turn.shape == holder_ ||
         turn.head.priority > shapes_[holder_.value].tasks.front().priority;
}

void Scheduler::reserve(ShapeIndex holder) {
  const Shape& shape = shapes_[holder.value].shape;
  const Measure measure = measure_of(shape.per_rank);
  struct Candidate {
    std::uint32_t now;
    std::uint32_t free;
    Rank rank;
  };
  const auto ever = [&](Rank rank) { return ranks_on(shape, rank, false) > 0 && may_begin(shape, rank); };
  // First those where some of it fits now; they have the cores for a rank, as few nodes have when somebody has to wait.
  std::vector<Candidate> best;
  index(Measure::cores).tightest(shape.per_rank.cores, [&](Rank rank) {
    const std::uint32_t now = ranks_on(shape, rank, true);
    if (now > 0 && ever(rank)) best.push_back({now, amount(at(rank).free, measure), rank});
    return false;
  });
  std::sort(best.begin(), best.end(), [](const Candidate& a, const Candidate& b) {
    return std::tuple(b.now, b.free, a.rank) < std::tuple(a.now, a.free, b.rank);
  });
  // Then the others, as many as there are ranks at most: each takes one at least.
  index(measure).roomiest(0, [&](Rank rank) {
    if (best.size() >= shape.ranks) return true;
    if (ranks_on(shape, rank, true) == 0 && ever(rank)) best.push_back({0, 0, rank});
    return false;
  });
  std::uint64_t ranks = 0;
  for (auto one = best.begin(); one != best.end() && ranks < shape.ranks; ++one) {
    keep(one->rank);
    ranks += ranks_on(shape, one->rank, false);
  }
  holder_ = holder;
  heir_ = false;
}

void Scheduler::keep(Rank rank) {
  if (at(rank).reserved) return;
  change_standing(rank, [](Node& node) { node.reserved = true; });
  reserved_.push_back(rank);
}

/// Whether the next of a shape, one of which has just ended, keeps its nodes: no more urgent task waits, and it is ahead of
/// the first in line by no more tasks than run now. Without this, nodes would go back to small tasks whenever wide ones are a
/// little early, and to empty them again takes minutes in which they idle.
bool Scheduler::may_inherit(ShapeIndex index) const {
  const Queue& queue = shapes_[index.value];
  if (queue.shape.ranks == 1 || queue.tasks.empty()) return false;
  const Entry first = order_.front().head;
  const Entry head = queue.tasks.front();
  return head.priority == first.priority && head.task.value - first.task.value <= running_;
}

/// A node that has all the room for the holder that it can ever have is kept for it, too: so the nodes of a wide task whose
/// parts end one after the other go to the next wide one, and nobody has to wait for others to be emptied. An heir keeps all
/// nodes of its predecessor: there is room for it on them once the last part has ended.
void Scheduler::capture(Rank rank) {
  if (at(rank).reserved) return;
  const Shape& shape = shapes_[holder_.value].shape;
  const std::uint32_t ranks = ranks_on(shape, rank, true);
  if (ranks > 0 && (heir_ || ranks == ranks_on(shape, rank, false))) keep(rank);
}

void Scheduler::lift_reservation() {
  if (!holder_.valid()) return;
  holder_ = {};
  heir_ = false;
  std::sort(reserved_.begin(), reserved_.end());
  for (const Rank rank : reserved_) {
    if (!at(rank).reserved) continue;  // it was lost meanwhile
    change_standing(rank, [](Node& node) { node.reserved = false; });
    freed(rank);
  }
  reserved_.clear();
}

}  // namespace trireme::pilot
