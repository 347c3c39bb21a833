#include "core/events.hpp"

#include <array>

namespace trireme {

std::string_view kind_name(const EventBody& body) {
  constexpr std::array<std::string_view, std::variant_size_v<EventBody>> names{
      "run_started",     "node_joined",      "node_lost",     "task_submitted",   "task_changed",
      "attempt_placed",  "attempt_started",  "attempt_ended", "service_declared", "replica_changed",
      "epoch_published", "requests_counted", "warning",       "run_draining",     "run_ended",
      "workflow_grew"};
  return names.at(body.index());
}

}  // namespace trireme
