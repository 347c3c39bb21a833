#include "pilot/scheduler.hpp"

#include <algorithm>
#include <cassert>

#include "core/defaults.hpp"
#include "pilot/scheduler_changes.hpp"

namespace trireme::pilot {

// --- nodes ---------------------------------------------------------------------------------------

Scheduler::Measure Scheduler::measure_of(const Resources& per_rank) {
  if (per_rank.gpus > 0) return Measure::gpus;
  return per_rank.cores > 0 ? Measure::cores : Measure::coreless;
}

/// GPUs that are only partly free count as whole ones: what fits is seen when a node is looked at.
std::uint32_t Scheduler::amount(const Room& room, Measure measure) {
  switch (measure) {
    case Measure::cores:
      return room.cores();
    case Measure::gpus:
      return (room.gpus() + whole_gpu - 1) / whole_gpu;
    case Measure::coreless:
      return room.coreless();
  }
  return 0;
}

void Scheduler::add_node(Rank rank, const Resources& total) {
  const auto slot = static_cast<std::size_t>(rank);
  if (nodes_.size() <= slot) nodes_.resize(slot + 1);
  assert(!nodes_[slot].alive);
  nodes_[slot] = {.free = Room(total), .alive = true, .total = total, .beside = Room(total)};
  for (std::size_t m = 0; m < measures; ++m) {
    by_amount_[m].insert(amount(nodes_[slot].free, static_cast<Measure>(m)), rank);
  }
  count(rank, true);
  ++living_;
  capacity_changed();
}

void Scheduler::remove_node(Rank rank) {
  if (!alive(rank)) return;
  if (at(rank).kept_for.valid()) let_go(rank);
  count(rank, false);
  for (std::size_t m = 0; m < measures; ++m) {
    by_amount_[m].erase(amount(at(rank).free, static_cast<Measure>(m)), rank);
  }
  running_ -= at(rank).taken;
  unoccupied_ -= at(rank).unoccupied;
  --living_;
  at(rank) = {};
  for (Colocation& colocation : colocations_) {
    if (std::erase(colocation.nodes, rank) == 0) continue;
    for (ShapeIndex shape : colocation.shapes) recount(shape);
  }
  capacity_changed();
}

bool Scheduler::alive(Rank rank) const {
  return rank >= 0 && static_cast<std::size_t>(rank) < nodes_.size() && at(rank).alive;
}

/// What can ever fit has changed; a reservation may stand for nodes that no longer do.
void Scheduler::capacity_changed() {
  ++capacity_;
  while (!keepers_.empty()) let_go_all(keepers_.back());
  for (Queue& queue : shapes_) queue.blocked_at = 0;
}

/// A node may hold more than before.
void Scheduler::freed(Rank rank) {
  // What was blocked before the list was cut looks at all nodes again.
  if (freed_.size() >= 4 * nodes_.size() + 4096) {
    freed_before_ += freed_.size();
    freed_.clear();
  }
  freed_.push_back(rank);
}

// --- queues --------------------------------------------------------------------------------------

ShapeIndex Scheduler::shape_index(const Shape& shape) {
  const auto place = std::lower_bound(known_.begin(), known_.end(), shape,
                                      [](const auto& entry, const Shape& s) { return entry.first < s; });
  if (place != known_.end() && place->first == shape) return place->second;
  const ShapeIndex index{static_cast<std::uint32_t>(shapes_.size())};
  shapes_.push_back({.shape = shape, .tasks = {}});
  known_.insert(place, {shape, index});
  if (shape.colocate.valid()) {
    if (colocations_.size() <= shape.colocate.value) colocations_.resize(shape.colocate.value + std::size_t{1});
    colocations_[shape.colocate.value].shapes.push_back(index);
  }
  return index;
}

/// Puts a queue where its head belongs. `before` is the head that it was ordered by.
void Scheduler::move_turn(ShapeIndex shape, std::optional<Entry> before) {
  Queue& queue = shapes_[shape.value];
  const auto place_of = [&](const Turn& turn) {
    return std::lower_bound(order_.begin(), order_.end(), turn,
                            [](const Turn& a, const Turn& b) { return a.before(b); });
  };
  const bool is_wide = queue.shape.ranks > 1;
  if (!before) {
    const Turn turn{queue.tasks.front(), shape};
    order_.insert(place_of(turn), turn);
    if (is_wide) {
      wide_.push_back(shape);
      recount(shape);
    }
    return;
  }
  const auto old = place_of({*before, shape});
  if (queue.tasks.empty()) {
    order_.erase(old);
    if (is_wide) std::erase(wide_, shape);
    return;
  }
  const Turn turn{queue.tasks.front(), shape};
  const auto place = place_of(turn);
  if (place > old) {
    std::rotate(old, old + 1, place);
    *(place - 1) = turn;
  } else {
    std::rotate(place, old, old + 1);
    *place = turn;
  }
}

void Scheduler::enqueue(TaskIndex task, ShapeIndex shape, std::int32_t priority) {
  if (queued_.size() <= task.value) queued_.resize(std::max<std::size_t>(task.value + 1, queued_.size() * 2));
  assert(!queued_[task.value]);
  queued_[task.value] = true;
  Queue& queue = shapes_[shape.value];
  const std::optional<Entry> before = queue.tasks.empty() ? std::nullopt : std::optional(queue.tasks.front());
  queue.tasks.push({priority, task});
  ++queue.queued;
  if (before && queue.tasks.front() == *before) return;
  // It may come before the holder of a reservation now.
  queue.blocked_at = 0;
  move_turn(shape, before);
}

/// Takes the head off, and with it those behind that were removed before.
TaskIndex Scheduler::pop(ShapeIndex shape) {
  Queue& queue = shapes_[shape.value];
  const Entry head = queue.tasks.front();
  queued_[head.task.value] = false;
  --queue.queued;
  queue.passed = 0;
  do {
    queue.tasks.pop();
  } while (!queue.tasks.empty() && !queued_[queue.tasks.front().task.value]);
  // Who comes next in this queue was overtaken as well, if it was before the other in order.
  if (queue.tasks.empty() || !queue.tasks.front().before(queue.passer)) queue.overtaken = 0;
  move_turn(shape, head);
  settle_kept(shape);
  return head.task;
}

void Scheduler::remove(TaskIndex task, ShapeIndex shape) {
  assert(queued_[task.value]);
  if (shapes_[shape.value].tasks.front().task == task) {
    pop(shape);
  } else {
    queued_[task.value] = false;
    --shapes_[shape.value].queued;
  }
}

bool Scheduler::next(Placement& out) {
  for (std::size_t turn = 0; turn < order_.size(); ++turn) {
    const ShapeIndex shape = order_[turn].shape;
    Queue& queue = shapes_[shape.value];
    const std::uint64_t now = freed_before_ + freed_.size();
    if (queue.blocked_at != now) {
      const bool heir = !queue.kept.empty() && holder_like(shape) != shape;
      if (place(shape, out.parts)) {
        for (std::size_t passed = 0; passed < turn; ++passed) {
          Queue& other = shapes_[order_[passed].shape.value];
          if (heir) {  // it took nothing that others could have had
            let_pass(other, queue);
          } else {
            ++other.overtaken;
            other.passer = order_[turn].head;
          }
        }
        out.task = pop(shape);
        return true;
      }
      queue.blocked_at = now;
      if (!possible(shape)) {
        stranded_.push_back(shape);
        continue;
      }
    }
    if (!may_reserve(shape)) continue;
    const bool others_are_freed = !queue.kept.empty();
    reserve(shape);
    if (others_are_freed) return next(out);
  }
  return false;
}

void Scheduler::release(ShapeIndex index, const Part& part) {
  shapes_[index.value].running -= part.local_ranks;
  if (!alive(part.rank)) return;
  const Shape& shape = shapes_[index.value].shape;
  --running_;
  change_free(part.rank, [&](Node& node) {
    --node.taken;
    if (shape.ranks > 1) --node.wide;
    node.free.give_back(shape.exclusive ? whole(node) : shape.per_rank, part.grant);
    if (shape.exclusive) node.exclusive = false;
  });
  hand_on(index, part);
  freed(part.rank);
}

bool Scheduler::possible(ShapeIndex shape) {
  Queue& queue = shapes_[shape.value];
  if (queue.checked_at == capacity_) return queue.possible;
  queue.checked_at = capacity_;
  queue.possible = ranks_beside_seats(queue.shape) >= queue.shape.ranks;
  return queue.possible;
}

std::vector<std::pair<TaskIndex, ShapeIndex>> Scheduler::take_stranded() {
  std::vector<std::pair<TaskIndex, ShapeIndex>> tasks;
  for (ShapeIndex shape : std::exchange(stranded_, {})) {
    if (possible(shape)) continue;
    while (!shapes_[shape.value].tasks.empty()) tasks.emplace_back(pop(shape), shape);
  }
  return tasks;
}

}  // namespace trireme::pilot
