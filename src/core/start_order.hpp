// The order to start a part of an attempt, as the pilot gives it: the task is named by its family and not written out. What
// becomes of it on its way to the node: fabric/orders.hpp.
#pragma once

#include <cstdint>
#include <span>

#include "core/ids.hpp"
#include "core/messages.hpp"
#include "core/task_family.hpp"

namespace trireme {

struct StartOrder {
  AttemptId id;
  std::uint32_t first_rank = 0;
  std::uint32_t local_ranks = 1;
  const TaskFamily& family;
  std::uint32_t instance = 0;
  std::span<const RankBlock> layout;  ///< of an MPI task
  bool ahead = false;                 ///< of its turn

  StartTask message() const {
    return {.id = id,
            .first_rank = first_rank,
            .local_ranks = local_ranks,
            .task = family.instance(instance),
            .layout = {layout.begin(), layout.end()},
            .ahead = ahead};
  }
};

}  // namespace trireme
