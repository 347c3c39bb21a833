// Tasks that are sent ahead of their turn, so that a node starts the next without asking.
//
// Only while nobody else could want the places that they take: tasks of one shape wait and nothing else does, no replica waits
// for its seat, no nodes are kept for anybody. Then the places where such tasks run would go to the next of them anyhow. As
// soon as somebody else waits, all of it is called back; when a more urgent task comes, what is less urgent is; and when nobody
// waits any more and there is room, as much as there is room for, from the nodes that hold most: those are the slow ones.
#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "pilot/tasks.hpp"

namespace trireme::pilot {

void Tasks::tend_backlogs() {
  const Scheduler::Line line = scheduler_.line();
  if (backlogs_.open() > 0) {
    if (line.contested || (line.shape.valid() && line.shape != backlogs_.shape())) {
      call_back_all();
    } else if (line.shape.valid()) {
      const std::int32_t first = scheduler_.first(line.shape).priority;
      if (first > backlogs_.lowest()) call_back(backlogs_.call_back_below(first));
    } else if (std::exchange(looked_for_room_, scheduler_.changes()) != scheduler_.changes()) {
      const std::uint32_t coming = backlogs_.called_back();
      const std::uint32_t room = scheduler_.room_now(backlogs_.shape(), backlogs_.open() + coming);
      if (room > coming) call_back(backlogs_.call_back(room - coming));
    }
  }
  if (!line.contested && line.shape.valid() && (backlogs_.size() == 0 || backlogs_.shape() == line.shape)) {
    fill_backlogs(line.shape);
  }
  scheduler_.set_ahead(backlogs_.open() > 0 ? std::optional(backlogs_.lowest()) : std::nullopt);
}

/// In batches: a node is sent the next when half of what it may hold is gone. Towards the end of the queue that is little, so
/// that what is left goes to those who come free first. Tasks that are over soon, of which a node has none left when more
/// come, are sent twice as many at a time: then a message, a wake and a turn of the loop are for many.
void Tasks::fill_backlogs(ShapeIndex shape) {
  const std::uint32_t most = scheduler_.queued(shape) / std::max(scheduler_.living(), 1u);
  const auto may_go = [&] { return scheduler_.queued(shape) > 0 && family(scheduler_.first(shape).task).may_be_ahead; };
  if (most == 0 || !may_go()) return;
  for (Rank rank : backlogs_.take_changed()) {
    for (std::uint32_t credit = backlogs_.take_credit(rank, shape, most); credit > 0; --credit) {
      if (!may_go()) {
        backlogs_.changed(rank);
        break;
      }
      const std::int32_t priority = scheduler_.first(shape).priority;
      const TaskIndex index = scheduler_.take_first(shape);
      Task& task = tasks_[index.value];
      task.ahead = true;
      task.slot = static_cast<std::uint32_t>(rank);
      backlogs_.push(shape, {rank, index}, priority);
      output_.start_task(rank, {.id = {index, task.attempt},
                                .family = families_[task.family].tasks,
                                .instance = task.instance,
                                .layout = {},
                                .ahead = true});
    }
  }
}

// --- back again ----------------------------------------------------------------------------------

void Tasks::call_back(std::vector<Backlogs::Place> places) {
  std::stable_sort(places.begin(), places.end(), [](const auto& a, const auto& b) { return a.rank < b.rank; });
  for (auto place = places.begin(); place != places.end();) {
    const Rank rank = place->rank;
    RecallTasks order;
    for (; place != places.end() && place->rank == rank; ++place) {
      order.ids.push_back({place->task, tasks_[place->task.value].attempt});
    }
    output_.send(rank, std::move(order));
  }
}

void Tasks::call_back_all() {
  call_back(backlogs_.call_back_all());
}

/// For something that is to become of the task; the first to say so is heard.
void Tasks::call_back_for(TaskIndex index, Wish wish) {
  wishes_.try_emplace(index, std::move(wish));
  const Backlogs::Place place{static_cast<Rank>(tasks_[index.value].slot), index};
  if (backlogs_.call_back_one(place)) call_back({place});
}

bool Tasks::waits_at(Rank rank, AttemptId id) const {
  if (!exists(id.task)) return false;
  const Task& task = tasks_[id.task.value];
  return task.ahead && task.attempt == id.attempt && static_cast<Rank>(task.slot) == rank;
}

void Tasks::on_returned(Rank rank, const TasksReturned& returned) {
  for (const AttemptId id : returned.ids) {
    if (!waits_at(rank, id)) continue;
    backlogs_.remove({rank, id.task});
    leave_backlog(id.task);
    if (state(id.task) == TaskState::ready) scheduler_.enqueue(id.task, shape(id.task), shared(id.task).priority);
  }
  looked_for_room_ = 0;
}

/// It has not been started.
void Tasks::leave_backlog(TaskIndex index) {
  Task& task = tasks_[index.value];
  task.ahead = false;
  task.slot = none;
  if (const auto wish = wishes_.extract(index)) end_task(index, wish.mapped().state, wish.mapped().reason);
}

/// It has taken a place; or its node was lost, and nobody knows.
void Tasks::succeed(TaskIndex index, Part place, bool lost) {
  Task& task = tasks_[index.value];
  backlogs_.remove({place.rank, index});
  looked_for_room_ = 0;
  task.ahead = false;
  Attempt& attempt = open_attempt(index, 1);
  output_.record(events::AttemptPlaced{.attempt = {index, task.attempt}, .rank = place.rank, .local_ranks = 1});
  attempt.parts.push_back({std::move(place), false});
  attempt.asked = lost;  // there is nobody to ask
  const auto wish = wishes_.extract(index);
  if (wish && wish.mapped().state == TaskState::cancelled) {
    end_for(attempt, Ending::cancelled, wish.mapped().reason);
    ask_to_end(attempt, wish.mapped().reason);
  } else if (stopping_) {
    end_for(attempt, Ending::stopped, *stopping_);
    ask_to_end(attempt, *stopping_);
  }
}

}  // namespace trireme::pilot
