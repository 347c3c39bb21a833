#include "observe/wfformat.hpp"

#include <algorithm>
#include <array>
#include <ctime>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <unordered_set>

namespace trireme::observe {
namespace {

using Json = nlohmann::ordered_json;

std::string iso_time(WallTime time) {
  const std::time_t seconds = time / 1'000'000'000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text.data();
}

/// Ids that WfFormat allows: letters, digits, "-", "_" and "."; each unique.
class Ids {
 public:
  explicit Ids(const RunView& view) {
    std::unordered_set<std::string> taken;
    for (const TaskRecord& task : view.tasks()) {
      std::string id = task.id;
      for (char& c : id) {
        const bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
                           c == '.' || c == '-';
        if (!plain) c = '_';
      }
      const std::string base = id;
      for (int i = 2; !taken.insert(id).second; ++i) id = base + "_" + std::to_string(i);
      ids_.emplace(task.id, std::move(id));
    }
  }
  const std::string& of(const std::string& task) const { return ids_.at(task); }

 private:
  std::unordered_map<std::string, std::string> ids_;
};

/// The tasks that each entry of `after` means: one by its id, or all of that name.
class Parents {
 public:
  explicit Parents(const RunView& view) : view_(view) {
    for (const TaskRecord& task : view.tasks()) by_name_[task.name].push_back(&task);
  }
  std::vector<const TaskRecord*> of(const TaskRecord& task) const {
    std::vector<const TaskRecord*> out;
    for (const std::string& entry : task.after) {
      if (const TaskRecord* one = view_.find_task(entry)) {
        out.push_back(one);
      } else if (const auto group = by_name_.find(entry); group != by_name_.end()) {
        out.insert(out.end(), group->second.begin(), group->second.end());
      }
    }
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    std::erase(out, &task);
    return out;
  }

 private:
  const RunView& view_;
  std::unordered_map<std::string, std::vector<const TaskRecord*>> by_name_;
};

Json execution_of(const RunView& view, const TaskRecord& task, const std::string& id) {
  Json out{{"id", id}, {"runtimeInSeconds", 0.0}};
  const AttemptPart* part = task.verdict();
  if (part != nullptr && part->started != 0 && part->ended > part->started) {
    const double runtime = seconds(Duration(part->ended - part->started));
    out["runtimeInSeconds"] = runtime;
    out["executedAt"] = iso_time(part->started);
    const double cpu = seconds(part->usage.user + part->usage.system);
    if (cpu > 0 && runtime > 0) out["avgCPU"] = 100.0 * cpu / runtime;
    if (part->usage.max_rss > 0) out["memoryInBytes"] = part->usage.max_rss;
  }
  out["coreCount"] = std::max<std::uint64_t>(1, std::uint64_t{task.per_rank.cores} * task.ranks);
  if (const std::size_t begin = task.command.find_first_not_of(' '); begin != std::string::npos) {
    const std::size_t space = task.command.find(' ', begin);
    out["command"]["program"] = task.command.substr(begin, space - begin);
    out["command"]["arguments"] = Json::array();
    if (space != std::string::npos && space + 1 < task.command.size()) {
      out["command"]["arguments"].push_back(task.command.substr(space + 1));
    }
  }
  out["priority"] = task.priority;
  Json machines = Json::array();
  if (part != nullptr) {
    for (const AttemptPart& one : task.parts) {
      if (!task.is_of_last_attempt(one)) continue;
      if (const NodeRecord* node = view.node_of(one)) machines.push_back(node->host);
    }
  }
  if (!machines.empty()) out["machines"] = std::move(machines);
  return out;
}

Json machines_of(const RunView& view) {
  Json out = Json::array();
  std::unordered_set<std::string> hosts;
  const auto add = [&](const std::map<Rank, NodeRecord>& nodes) {
    for (const auto& [rank, node] : nodes) {
      if (!hosts.insert(node.host).second) continue;
      Json machine{
          {"nodeName", node.host}, {"system", "linux"}, {"cpu", {{"coreCount", std::max(1u, node.resources.cores)}}}};
      if (node.resources.memory > 0) machine["memoryInBytes"] = node.resources.memory;
      out.push_back(std::move(machine));
    }
  };
  add(view.nodes());
  for (const auto& nodes : view.former_nodes()) add(nodes);
  return out;
}

}  // namespace

std::string wfformat_json(const RunView& view) {
  const Ids ids(view);
  const Parents parents(view);
  Json tasks = Json::array();
  Json executions = Json::array();
  std::unordered_map<const TaskRecord*, Json> children;
  std::vector<std::vector<const TaskRecord*>> all_parents;
  for (const TaskRecord& task : view.tasks()) {
    all_parents.push_back(parents.of(task));
    for (const TaskRecord* parent : all_parents.back()) children[parent].push_back(ids.of(task.id));
  }
  std::size_t i = 0;
  for (const TaskRecord& task : view.tasks()) {
    Json list = Json::array();
    for (const TaskRecord* parent : all_parents[i]) list.push_back(ids.of(parent->id));
    const auto own = children.find(&task);
    tasks.push_back({{"name", task.name},
                     {"id", ids.of(task.id)},
                     {"parents", std::move(list)},
                     {"children", own != children.end() ? own->second : Json::array()},
                     {"inputFiles", Json::array()},
                     {"outputFiles", Json::array()}});
    executions.push_back(execution_of(view, task, ids.of(task.id)));
    ++i;
  }
  Json execution{{"makespanInSeconds", seconds(view.active(view.last_event()))},
                 {"executedAt", iso_time(view.started())},
                 {"tasks", std::move(executions)}};
  if (Json machines = machines_of(view); !machines.empty()) execution["machines"] = std::move(machines);
  const Json out{{"name", view.name()},
                 {"description", "A run of Trireme, exported from its event log"},
                 {"createdAt", iso_time(view.last_event())},
                 {"schemaVersion", "1.5"},
                 {"workflow",
                  {{"specification", {{"tasks", std::move(tasks)}, {"files", Json::array()}}},
                   {"execution", std::move(execution)}}},
                 {"runtimeSystem", {{"name", "Trireme"}, {"version", view.version()}}}};
  return out.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace trireme::observe
