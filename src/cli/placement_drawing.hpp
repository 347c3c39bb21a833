// How a plan lies on the cores and GPUs of its nodes, drawn as text: a line per cache, a character per core.
//
//   wave 1, rank 0
//     domain 0, L3 0  -aaaaaaa  cores 0-7   GPU 4 a
//     a  train[seed=1] rank 0: cores 1-7, GPU 4
#pragma once

#include <string>

#include "core/workflow_description.hpp"
#include "node/topology.hpp"
#include "pilot/plan.hpp"

namespace trireme::cli {

/// `workflow` is what the plan was made of, `node` what each rank has. The agents' own allocator chooses, as in a run.
std::string draw_placement(const pilot::Plan& plan, const WorkflowDescription& workflow, const NodeResources& node);

}  // namespace trireme::cli
