// What would run where: the real pilot over made-up nodes, with tasks that take no time.
//
// All that can start starts; that is a wave. All of it ends at once, and the next wave starts. So a
// wave holds what the dependencies and the machine allow at one time, and the length of tasks,
// which nobody knows, plays no part.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/ids.hpp"
#include "core/resources.hpp"
#include "core/result.hpp"
#include "core/workflow_description.hpp"

namespace trireme::pilot {

struct PlannedPart {
  Rank rank = 0;
  std::uint32_t local_ranks = 1;
  bool operator==(const PlannedPart&) const = default;
};

struct PlannedReplica {
  std::string service;
  std::uint32_t replica = 0;
  std::vector<PlannedPart> parts;  ///< in the order of ranks
  bool operator==(const PlannedReplica&) const = default;
};

struct PlannedTask {
  std::string id;
  std::uint32_t wave = 0;
  std::vector<PlannedPart> parts;
  bool operator==(const PlannedTask&) const = default;
};

struct Plan {
  std::vector<PlannedReplica> replicas;
  std::vector<PlannedTask> tasks;  ///< in the order in which they start
  std::uint32_t waves = 0;
};

/// `nodes` are the resources of ranks 0, 1, …; an error says what is wrong with the workflow or
/// what does not fit.
Result<Plan> make_plan(WorkflowDescription workflow, const std::vector<Resources>& nodes);

}  // namespace trireme::pilot
