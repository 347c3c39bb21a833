// How the scheduler changes a node: all that is counted over nodes is kept in step. For the scheduler's own files.
#pragma once

#include "pilot/scheduler.hpp"

namespace trireme::pilot {

/// Changes what a node has free, and what else decides how much of it can be used.
template <typename Change>
void Scheduler::change_free(Rank rank, Change change) {
  Node& node = at(rank);
  std::uint32_t before[measures];
  for (std::size_t m = 0; m < measures; ++m) before[m] = amount(node.free, static_cast<Measure>(m));
  count(rank, false);
  change(node);
  count(rank, true);
  for (std::size_t m = 0; m < measures; ++m) {
    by_amount_[m].move(before[m], amount(node.free, static_cast<Measure>(m)), rank);
  }
}

/// Changes who may use a node, and nothing of what it has.
template <typename Change>
void Scheduler::change_standing(Rank rank, Change change) {
  count(rank, false);
  change(at(rank));
  count(rank, true);
}

}  // namespace trireme::pilot
