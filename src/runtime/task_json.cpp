#include "runtime/task_json.hpp"

#include <nlohmann/json.hpp>

#include "core/run_paths.hpp"

namespace trireme {

using Json = nlohmann::ordered_json;

Json task_json(const pilot::Pilot& pilot, const observe::RunView& view, const RunInfo& info, TaskIndex task) {
  const TaskDescription description = pilot.task(task);
  const std::string& id = description.id;
  const TaskState state = pilot.task_state(task);
  Json out{{"id", id}, {"name", description.name}, {"state", to_string(state)}, {"final", is_final(state)}};
  const observe::TaskRecord* record = view.find_task(id);
  if (record == nullptr) return out;
  out["attempts"] = record->attempts();
  if (!record->reason.empty()) out["reason"] = record->reason;
  if (const observe::AttemptPart* part = record->verdict()) {
    if (is_final(state)) out["exit_code"] = part->exit_code;
    out["rank"] = part->rank;
    out["folder"] = RunPaths(info.run_dir).attempt(id, part->attempt).string();
  }
  return out;
}

Json service_json(const observe::ServiceRecord& service) {
  Json replicas = Json::array();
  for (std::uint32_t i = 0; i < service.replicas; ++i) {
    const observe::ReplicaRecord* life = service.newest(i);
    Json one{{"replica", i}, {"state", life != nullptr ? to_string(life->state) : to_string(ReplicaState::waiting)}};
    if (life != nullptr) {
      one["attempt"] = life->attempt;
      one["rank"] = life->rank;
      if (!life->reason.empty()) one["reason"] = life->reason;
    }
    replicas.push_back(std::move(one));
  }
  return {{"name", service.name},        {"path", "/services/" + service.name + "/"},
          {"ready", service.is_ready()}, {"models", service.models},
          {"remotes", service.remotes},  {"replicas", std::move(replicas)}};
}

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace trireme
