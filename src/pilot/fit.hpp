// Whether a workflow can ever run on a machine, before anything is started.
//
// All replicas live until the last task has ended, so each task must fit beside all of them.
// Replicas are spread over the nodes; where that would leave a task no room they are packed
// instead. The answer is the policy to use, or an Error with ExitCode::does_not_fit that says what
// is needed and what there is.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/description.hpp"
#include "core/ids.hpp"
#include "core/resources.hpp"
#include "core/result.hpp"
#include "pilot/scheduler.hpp"

namespace trireme::pilot {

struct NodeSize {
  Rank rank = 0;
  Resources total;
};
struct ServiceNeed {
  std::string_view name;
  SeatRequest replica;
  std::uint32_t replicas = 1;
};
inline SeatRequest seat_request(const ServiceDescription& service) {
  return {service.per_rank, service.ranks, service.ranks_per_node};
}

/// One task of each shape is enough.
struct TaskNeed {
  std::string id;
  Shape shape;
};

Result<SeatPolicy> check_fit(std::span<const NodeSize> nodes, std::span<const ServiceNeed> services,
                             std::span<const TaskNeed> tasks);

/// The order in which services are given their seats: those with the largest replicas first.
std::vector<std::size_t> seat_order(std::span<const ServiceNeed> services);

/// Why a task fits neither the machine nor what the seats leave of it, as the scheduler knows them.
Error task_does_not_fit(const TaskNeed& task, const Scheduler& scheduler);
Error service_does_not_fit(const ServiceNeed& service, std::uint32_t seated, const Scheduler& scheduler);

}  // namespace trireme::pilot
