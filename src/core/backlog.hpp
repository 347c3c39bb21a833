// What an agent was sent ahead of its turn: attempts that take the place of others which end on its node. Pure.
//
// An attempt that was sent ahead has no resources of its own. When an attempt ends that asks for the same, the first of the
// backlog takes over what that one had: one for one, so that the pilot's count of what is free stays exact, and nobody has to
// be asked. In the order in which they came; the pilot sends nothing ahead that somebody else should overtake, and recalls it
// when somebody does.
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <optional>
#include <unordered_set>
#include <utility>
#include <vector>

#include "core/defaults.hpp"
#include "core/messages.hpp"

namespace trireme {

/// Whether attempts at a task may be sent ahead, and hand on their place: one process on one node, that asks for nothing but
/// an amount of things.
inline bool may_be_ahead(const TaskDescription& task) {
  return task.ranks == 1 && task.mpi == MpiKind::none && !task.exclusive && task.colocate.empty() && !task.function;
}

class Backlog {
 public:
  /// False if it is full, and the order untouched.
  bool add(StartTask& order) {
    if (orders_.size() >= defaults::node_backlog_most) return false;
    orders_.push_back(std::move(order));
    return true;
  }
  /// Takes out the first that asks for this.
  std::optional<StartTask> next(const Resources& each) {
    const auto found = std::find_if(orders_.begin(), orders_.end(),
                                    [&](const StartTask& order) { return order.task.per_rank == each; });
    if (found == orders_.end()) return std::nullopt;
    StartTask order = std::move(*found);
    orders_.erase(found);
    return order;
  }
  /// Takes out those of these that are here.
  std::vector<AttemptId> withdraw(const std::vector<AttemptId>& ids) {
    const std::unordered_set<AttemptId> wanted(ids.begin(), ids.end());
    std::vector<AttemptId> out;
    std::erase_if(orders_, [&](const StartTask& order) {
      if (!wanted.contains(order.id)) return false;
      out.push_back(order.id);
      return true;
    });
    return out;
  }
  /// Takes out all.
  std::vector<AttemptId> clear() {
    std::vector<AttemptId> out;
    for (const StartTask& order : std::exchange(orders_, {})) out.push_back(order.id);
    return out;
  }
  std::size_t size() const { return orders_.size(); }

 private:
  std::deque<StartTask> orders_;
};

}  // namespace trireme
