// Where a shape goes: the searches over nodes.
#include <algorithm>
#include <cassert>

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
  if (wide_.empty() || !usable(rank)) return;
  const ShapeIndex kept_for = at(rank).kept_for;
  for (ShapeIndex shape : wide_) {
    Queue& queue = shapes_[shape.value];
    const std::uint64_t ranks = ranks_on(queue.shape, rank, true);
    const std::uint64_t change = add ? ranks : -ranks;
    queue.room[1] += change;
    if (!kept_for.valid() || kept_for == shape) queue.room[0] += change;
  }
}

void Scheduler::recount(ShapeIndex shape) {
  Queue& queue = shapes_[shape.value];
  queue.room = {};
  for (Rank rank = 0; rank < static_cast<Rank>(nodes_.size()); ++rank) {
    if (!usable(rank)) continue;
    const std::uint32_t ranks = ranks_on(queue.shape, rank, true);
    queue.room[1] += ranks;
    const ShapeIndex kept_for = at(rank).kept_for;
    if (!kept_for.valid() || kept_for == shape) queue.room[0] += ranks;
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
std::optional<Rank> Scheduler::find_node(ShapeIndex of) {
  const Queue& queue = shapes_[of.value];
  const Shape& shape = queue.shape;
  const Measure measure = measure_of(shape.per_rank);
  const auto fits = [&](Rank rank) {
    return may_use(of, rank) && ranks_on(shape, rank, true) >= shape.ranks && may_begin(shape, rank);
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
  const auto least = least_amount(shape.per_rank, shape.ranks, measure);
  if (!least) return std::nullopt;
  return large ? index(measure).tightest(*least, fits) : index(measure).roomiest(*least, fits);
}

/// What a node must have free at least for so many ranks; none if no node ever has.
std::optional<std::uint32_t> Scheduler::least_amount(const Resources& per_rank, std::uint32_t ranks, Measure measure) {
  const std::uint64_t wanted = measure == Measure::gpus
                                   ? (std::uint64_t{ranks} * per_rank.gpus + whole_gpu - 1) / whole_gpu
                                   : std::uint64_t{ranks} * std::max(per_rank.cores, 1u);
  if (wanted > ~std::uint32_t{0}) return std::nullopt;
  return static_cast<std::uint32_t>(wanted);
}

std::uint32_t Scheduler::room_now(ShapeIndex of, std::uint32_t most) const {
  const Shape& shape = shapes_[of.value].shape;
  const Measure measure = measure_of(shape.per_rank);
  const auto least = least_amount(shape.per_rank, shape.ranks, measure);
  if (!least) return 0;
  std::uint64_t room = 0;
  index(measure).roomiest(*least, [&](Rank rank) {
    if (usable(rank) && !at(rank).kept_for.valid()) room += ranks_on(shape, rank, true);
    return room >= most;
  });
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(room, most));
}

void Scheduler::put(ShapeIndex of, Rank rank, std::uint32_t ranks, std::vector<Part>& parts) {
  Queue& queue = shapes_[of.value];
  const Shape& shape = queue.shape;
  ++running_;
  queue.running += ranks;
  parts.push_back({.rank = rank, .first_rank = 0, .local_ranks = ranks, .grant = {}});
  change_free(rank, [&](Node& node) {
    ++node.taken;
    if (shape.ranks > 1) ++node.wide;
    node.exclusive = shape.exclusive;
    parts.back().grant = shape.exclusive ? node.free.take(whole(node), 1) : node.free.take(shape.per_rank, ranks);
  });
  if (at(rank).kept_for == of) let_go(rank);
}

bool Scheduler::place(ShapeIndex of, std::vector<Part>& parts) {
  parts.clear();
  const Queue& queue = shapes_[of.value];
  const Shape& shape = queue.shape;
  if (shape.ranks > 1 && queue.room[1] < shape.ranks) return false;
  if (shape.ranks > 1 && queue.room[0] < shape.ranks &&
      std::none_of(keepers_.begin(), keepers_.end(), [&](ShapeIndex keeper) { return more_urgent(of, keeper); })) {
    return false;
  }
  if (const auto rank = find_node(of)) {
    put(of, *rank, shape.ranks, parts);
  } else if (shape.ranks == 1 || !place_over_nodes(of, parts)) {
    return false;
  }
  settle_colocation(shape, parts);
  return true;
}

bool Scheduler::place_over_nodes(ShapeIndex of, std::vector<Part>& parts) {
  const Shape& shape = shapes_[of.value].shape;
  struct Candidate {
    std::uint32_t ranks;
    Rank rank;
  };
  std::vector<Candidate> candidates;
  std::uint64_t room = 0;
  for (Rank rank = 0; rank < static_cast<Rank>(nodes_.size()); ++rank) {
    if (!may_use(of, rank)) continue;
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
    put(of, at->rank, at->ranks, parts);
    left -= at->ranks;
  }
  while (at + 1 != candidates.end() && (at + 1)->ranks >= left && (at + 1)->ranks < at->ranks) ++at;
  put(of, at->rank, left, parts);

  std::sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) { return a.rank < b.rank; });
  std::uint32_t first = 0;
  for (Part& part : parts) {
    part.first_rank = first;
    first += part.local_ranks;
  }
  return true;
}

}  // namespace trireme::pilot
