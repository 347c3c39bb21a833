// Nodes that are kept for a shape: those that it empties, because it would else wait for ever, and those that it inherits.
#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "core/defaults.hpp"
#include "pilot/scheduler_changes.hpp"

namespace trireme::pilot {
namespace {

/// Nodes looked at for a task of one rank: to find the very best costs more than it brings.
constexpr std::size_t looked_at_for_one = 256;

/// How long it takes until so much is free, if each of those who use the rest may end at any time: in mean lengths of a task. For
/// all of n to end that is the n-th harmonic number.
double expected_wait(std::uint64_t wanted, std::uint64_t free, std::uint64_t most, std::uint64_t tasks) {
  free = std::min(free, most);
  if (free >= wanted || tasks == 0) return 0;
  const std::uint64_t used = most - free;
  const std::uint64_t ends = std::min(((wanted - free) * tasks + used - 1) / used, tasks);
  constexpr double euler = 0.5772;
  const auto n = static_cast<double>(tasks);
  return ends == tasks ? std::log(n) + euler : std::log(n / static_cast<double>(tasks - ends));
}

}  // namespace

// --- who may use what is kept --------------------------------------------------------------------

bool Scheduler::more_urgent(ShapeIndex shape, ShapeIndex keeper) const {
  const TaskQueue& ours = shapes_[shape.value].tasks;
  const TaskQueue& others = shapes_[keeper.value].tasks;
  return !ours.empty() && (others.empty() || ours.front().priority > others.front().priority);
}

/// Whether one of the first shape waits, and before any of the other.
bool Scheduler::before(ShapeIndex shape, ShapeIndex other) const {
  if (!shape.valid() || shape == other) return false;
  const TaskQueue& ours = shapes_[shape.value].tasks;
  const TaskQueue& others = shapes_[other.value].tasks;
  return !ours.empty() && (others.empty() || ours.front().before(others.front()));
}

bool Scheduler::may_use(ShapeIndex shape, Rank rank) const {
  const ShapeIndex keeper = at(rank).kept_for;
  return usable(rank) && (!keeper.valid() || keeper == shape || more_urgent(shape, keeper));
}

void Scheduler::keep(Rank rank, ShapeIndex shape) {
  if (at(rank).kept_for == shape) return;
  if (at(rank).kept_for.valid()) let_go(rank);
  change_standing(rank, [&](Node& node) { node.kept_for = shape; });
  std::vector<Rank>& kept = shapes_[shape.value].kept;
  if (kept.empty()) keepers_.push_back(shape);
  kept.push_back(rank);
}

void Scheduler::let_go(Rank rank) {
  const ShapeIndex keeper = at(rank).kept_for;
  change_standing(rank, [](Node& node) { node.kept_for = {}; });
  std::vector<Rank>& kept = shapes_[keeper.value].kept;
  std::erase(kept, rank);
  if (kept.empty()) std::erase(keepers_, keeper);
  freed(rank);
}

void Scheduler::let_go_all(ShapeIndex shape) {
  if (ShapeIndex& holder = holder_like(shape); holder == shape) holder = {};
  const std::vector<Rank>& kept = shapes_[shape.value].kept;
  while (!kept.empty()) let_go(kept.back());
}

// --- reservations --------------------------------------------------------------------------------

/// Those of one rank as soon as they were overtaken often enough. Those of several, some of which run, get nodes for one more only
/// if they have fallen further behind since they last did.
bool Scheduler::may_reserve(ShapeIndex shape) {
  const Queue& queue = shapes_[shape.value];
  if (holder_like(shape).valid() || queue.overtaken < defaults::overtakes || !possible(shape)) return false;
  if (queue.shape.ranks == 1) return true;
  if (queue.running > 0 && ahead_of_turn(shape) > queue.behind_then - worth_a_change) return false;
  goal_ = queue.running + queue.shape.ranks;
  return true;
}

double Scheduler::expected_wait(const Node& node, const Resources& per_rank, std::uint32_t ranks) {
  const std::uint64_t tasks = node.taken - (node.seats - node.unoccupied);
  double wait = 0;
  for (const Measure measure : {Measure::cores, Measure::gpus}) {
    if (measure == Measure::gpus ? per_rank.gpus == 0 : per_rank.cores == 0) continue;
    const std::uint64_t wanted = least_amount(per_rank, ranks, measure).value_or(0);
    wait =
        std::max(wait, pilot::expected_wait(wanted, amount(node.free, measure), amount(node.beside, measure), tasks));
  }
  return wait;
}

/// Nodes with tasks of several ranks come last: those will be inherited as they are.
void Scheduler::reserve(ShapeIndex holder) {
  const Shape& shape = shapes_[holder.value].shape;
  struct Candidate {
    std::uint32_t now;
    bool wide;
    double wait;
    std::uint32_t ranks;
    Rank rank;
    bool before(const Candidate& other) const {
      return std::tuple(other.now, wide, wait, rank) < std::tuple(now, other.wide, other.wait, other.rank);
    }
  };
  std::vector<Candidate> candidates;
  index(measure_of(shape.per_rank)).roomiest(0, [&](Rank rank) {
    const std::uint32_t ranks = ranks_on(shape, rank, false);
    const ShapeIndex keeper = at(rank).kept_for;
    const bool kept = keeper.valid() && keeper != holder && (shape.ranks == 1 || !before(holder, keeper));
    if (ranks == 0 || kept || !may_begin(shape, rank)) return false;
    const double wait = expected_wait(at(rank), shape.per_rank, std::min(ranks, shape.ranks));
    candidates.push_back({ranks_on(shape, rank, true), at(rank).wide > 0, wait, ranks, rank});
    return shape.ranks == 1 && candidates.size() == looked_at_for_one;
  });
  const std::size_t most = std::min<std::size_t>(candidates.size(), shape.ranks);
  std::partial_sort(candidates.begin(), candidates.begin() + static_cast<std::ptrdiff_t>(most), candidates.end(),
                    [](const Candidate& a, const Candidate& b) { return a.before(b); });
  let_go_all(holder);
  std::uint64_t ranks = 0;
  for (std::size_t i = 0; i < most && ranks < shape.ranks; ++i) {
    keep(candidates[i].rank, holder);
    ranks += candidates[i].ranks;
  }
  holder_like(holder) = holder;
}

/// A node that has all the room for the holder that it can ever have is kept for it, too.
void Scheduler::capture(Rank rank, ShapeIndex holder) {
  if (!holder.valid() || at(rank).kept_for.valid()) return;
  const Shape& shape = shapes_[holder.value].shape;
  const std::uint32_t ranks = ranks_on(shape, rank, true);
  if (ranks > 0 && ranks == ranks_on(shape, rank, false)) keep(rank, holder);
}

// --- heirs ---------------------------------------------------------------------------------------

/// How far the first of a shape that waits is ahead of the first of others, in tasks, as a part of what runs now; below 0 where it
/// is behind, and infinite where one of both is more urgent.
double Scheduler::ahead_of_turn(ShapeIndex shape) const {
  const auto other = std::find_if(order_.begin(), order_.end(), [&](const Turn& turn) { return turn.shape != shape; });
  if (other == order_.end()) return 0;
  const Entry head = shapes_[shape.value].tasks.front();
  constexpr double infinite = std::numeric_limits<double>::infinity();
  if (head.priority != other->head.priority) return head.priority > other->head.priority ? -infinite : infinite;
  const double distance = static_cast<double>(head.task.value) - static_cast<double>(other->head.task.value);
  return distance / static_cast<double>(std::max<std::uint64_t>(running_, 1));
}

/// Whether the next of a shape keeps the node that ranks of another have left. To give such nodes to small tasks whenever wide
/// ones are a little early would mean to empty others soon, which takes several times as long as a task, in which they idle. So
/// that is only done where one is far ahead of its turn; and then for as many nodes as one task has, and for more where that did
/// not help.
bool Scheduler::inherits(ShapeIndex index, std::uint32_t ranks) {
  Queue& queue = shapes_[index.value];
  if (queue.shape.ranks == 1 || queue.tasks.empty()) return false;
  const double ahead = ahead_of_turn(index);
  if (std::isinf(ahead)) return ahead < 0;
  if (ahead <= most_ahead) queue.ahead_then = most_ahead;
  if (queue.to_give_up == 0) {
    if (ahead < queue.ahead_then + worth_a_change) return true;
    queue.ahead_then = ahead;
    queue.to_give_up = queue.shape.ranks;
  }
  queue.to_give_up -= std::min(queue.to_give_up, ranks);
  return false;
}

/// A task that inherited its nodes passes somebody who comes first.
void Scheduler::let_pass(Queue& first, Queue& heir) {
  if (++first.passed < defaults::overtakes) return;
  first.passed = 0;
  heir.to_give_up = heir.shape.ranks;
}

/// Who gets the node of a part that has ended, if somebody waits for whole nodes: whoever of several ranks is first, before those
/// of one rank, which find room more easily.
void Scheduler::hand_on(ShapeIndex from, const Part& part) {
  if (before(holders_[1], from)) capture(part.rank, holders_[1]);
  if (!at(part.rank).kept_for.valid() && inherits(from, part.local_ranks)) keep(part.rank, from);
  capture(part.rank, holders_[1]);
  capture(part.rank, holders_[0]);
}

/// A task of the shape has left its queue: who comes next need not have the same right to what is kept.
void Scheduler::settle_kept(ShapeIndex shape) {
  Queue& queue = shapes_[shape.value];
  const bool wide = queue.shape.ranks > 1;
  const bool holds = holder_like(shape) == shape;
  const double ahead = queue.tasks.empty() ? 0 : ahead_of_turn(shape);
  if (ahead >= 0) queue.behind_then = worth_a_change;
  if (queue.kept.empty() && !holds) return;
  const bool met = holds && wide && queue.running >= goal_;
  if (met) queue.behind_then = std::min(ahead, 0.0);
  if (queue.tasks.empty() || met || (wide ? ahead > most_ahead : queue.kept.empty() || queue.overtaken == 0)) {
    let_go_all(shape);
  } else if (wide && holds) {
    reserve(shape);
  }
}

}  // namespace trireme::pilot
