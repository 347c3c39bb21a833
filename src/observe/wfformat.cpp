#include "observe/wfformat.hpp"

#include <algorithm>
#include <array>
#include <ctime>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

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

/// By the tasks' places: ids that WfFormat allows (letters, digits, "-", "_" and "."), each unique.
std::vector<std::string> make_ids(const RunView& view) {
  std::vector<std::string> out;
  std::unordered_set<std::string> taken;
  out.reserve(view.tasks().size());
  for (const TaskRecord& task : view.tasks()) {
    std::string id = task.id;
    for (char& c : id) {
      const bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
                         c == '.' || c == '-';
      if (!plain) c = '_';
    }
    const std::string base = id;
    for (int i = 2; !taken.insert(id).second; ++i) id = base + "_" + std::to_string(i);
    out.push_back(std::move(id));
  }
  return out;
}

/// The tasks before and after each, all by their places.
struct Order {
  std::vector<std::vector<std::uint32_t>> parents;
  std::vector<std::vector<std::uint32_t>> children;
};

Order make_order(const RunView& view) {
  std::unordered_map<const TaskRecord*, std::uint32_t> places;
  std::unordered_map<std::string_view, std::vector<std::uint32_t>> by_name;
  for (const TaskRecord& task : view.tasks()) {
    const auto place = static_cast<std::uint32_t>(places.size());
    places.emplace(&task, place);
    by_name[task.name].push_back(place);
  }
  Order out{std::vector<std::vector<std::uint32_t>>(places.size()),
            std::vector<std::vector<std::uint32_t>>(places.size())};
  for (std::uint32_t place = 0; const TaskRecord& task : view.tasks()) {
    std::vector<std::uint32_t>& parents = out.parents[place];
    // An entry of `after` means one by its id, or all of that name.
    for (const std::string& entry : task.after) {
      if (const TaskRecord* one = view.find_task(entry)) {
        parents.push_back(places.at(one));
      } else if (const auto group = by_name.find(entry); group != by_name.end()) {
        parents.insert(parents.end(), group->second.begin(), group->second.end());
      }
    }
    std::sort(parents.begin(), parents.end());
    parents.erase(std::unique(parents.begin(), parents.end()), parents.end());
    std::erase(parents, place);
    for (const std::uint32_t parent : parents) out.children[parent].push_back(place);
    ++place;
  }
  return out;
}

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

std::string to_text(const Json& json, int indent = -1) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

/// A list with an item on each line, as `item(i)` makes it.
template <typename Item>
void write_list(std::ostream& out, std::size_t size, Item item) {
  out << '[';
  for (std::size_t i = 0; i < size; ++i) out << (i == 0 ? "\n" : ",\n") << "        " << to_text(item(i));
  out << "\n      ]";
}

}  // namespace

void write_wfformat(const RunView& view, std::ostream& out) {
  const std::vector<std::string> ids = make_ids(view);
  const Order order = make_order(view);
  const auto ids_of = [&](const std::vector<std::uint32_t>& places) {
    Json list = Json::array();
    for (const std::uint32_t place : places) list.push_back(ids[place]);
    return list;
  };
  const Json head{{"name", view.name()},
                  {"description", "A run of Trireme, exported from its event log"},
                  {"createdAt", iso_time(view.last_event())},
                  {"schemaVersion", "1.5"},
                  {"runtimeSystem", {{"name", "Trireme"}, {"version", view.version()}}}};
  const std::string open = to_text(head, 2);
  out << open.substr(0, open.size() - 2) << R"(,
  "workflow": {
    "specification": {
      "tasks": )";
  write_list(out, ids.size(), [&](std::size_t i) {
    return Json{{"name", view.tasks()[i].name},        {"id", ids[i]},
                {"parents", ids_of(order.parents[i])}, {"children", ids_of(order.children[i])},
                {"inputFiles", Json::array()},         {"outputFiles", Json::array()}};
  });
  out << R"(,
      "files": []
    },
    "execution": {
      "makespanInSeconds": )"
      << to_text(seconds(view.active(view.last_event()))) << R"(,
      "executedAt": )"
      << to_text(iso_time(view.started()));
  if (const Json machines = machines_of(view); !machines.empty()) {
    out << ",\n      \"machines\": ";
    write_list(out, machines.size(), [&](std::size_t i) { return machines[i]; });
  }
  out << ",\n      \"tasks\": ";
  write_list(out, ids.size(), [&](std::size_t i) { return execution_of(view, view.tasks()[i], ids[i]); });
  out << "\n    }\n  }\n}\n";
}

}  // namespace trireme::observe
