#include "pilot/plan.hpp"

#include <utility>
#include <variant>

#include "pilot/pilot.hpp"

namespace trireme::pilot {
namespace {

/// Writes down what the pilot wants to start; replicas get ready and all else ends when asked to by
/// `answer`.
class Draft final : public Output {
 public:
  explicit Draft(Plan& plan) : plan_(plan) {}

  void send(Rank to, ToAgent message) override {
    if (auto* start = std::get_if<StartReplica>(&message)) {
      if (start->first_rank == 0) plan_.replicas.push_back({start->service.name, start->id.replica, {}});
      plan_.replicas.back().parts.push_back({to, start->local_ranks});
      if (start->first_rank > 0) return;
      answers_.emplace_back(to, ReplicaReady{.endpoint = {.id = start->id, .rank = to, .socket = "", .key = ""}});
    } else if (auto* stop = std::get_if<StopReplica>(&message)) {
      answers_.emplace_back(
          to, ReplicaEnded{.id = stop->id, .end = {.outcome = Outcome::cancelled, .reason = "", .usage = {}}});
    } else if (auto* task = std::get_if<StartTask>(&message)) {
      if (task->first_rank == 0) plan_.tasks.push_back({std::move(task->task.id), wave_, {}});
      plan_.tasks.back().parts.push_back({to, task->local_ranks});
      ended_.emplace_back(to, TaskEnded{.id = task->id, .end = {.reason = "", .usage = {}}});
    } else if (std::holds_alternative<ShutdownAgent>(message)) {
      answers_.emplace_back(to, AgentDone{});
    }
  }
  void record(EventBody) override {}
  void publish(ServiceEndpoint) override {}

  /// Gives the pilot all answers but the ends of tasks; then these, as one wave. False if there was
  /// nothing to say.
  bool answer(Pilot& pilot) {
    while (!answers_.empty()) {
      for (const auto& [rank, message] : std::exchange(answers_, {})) pilot.on_message(rank, message, 0);
    }
    if (ended_.empty()) return false;
    plan_.waves = ++wave_;
    for (const auto& [rank, message] : std::exchange(ended_, {})) pilot.on_message(rank, message, 0);
    return true;
  }

 private:
  Plan& plan_;
  std::uint32_t wave_ = 0;
  std::vector<std::pair<Rank, FromAgent>> answers_;
  std::vector<std::pair<Rank, FromAgent>> ended_;
};

}  // namespace

Result<Plan> make_plan(WorkflowDescription workflow, const std::vector<Resources>& nodes) {
  Plan plan;
  Draft draft(plan);
  Pilot pilot({.expected_nodes = static_cast<std::uint32_t>(nodes.size())}, draft);
  if (Status status = pilot.submit_all(std::move(workflow)); !status) return status.error();
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    pilot.on_node_joined(static_cast<Rank>(i), {.host = "", .resources = nodes[i], .proxy_url = "", .warnings = {}}, 0);
  }
  if (Status status = pilot.start(0); !status) return status.error();
  pilot.close(0);
  while (draft.answer(pilot)) {
  }
  return plan;
}

}  // namespace trireme::pilot
