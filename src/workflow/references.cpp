#include "workflow/references.hpp"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace trireme::workflow {
namespace {

using Index = std::uint32_t;

/// Where item `i` of a text or a list of texts stands.
Position item_at(const Node& node, std::size_t i) {
  return node.is_list() && i < node.items.size() ? node.items[i].at : node.at;
}

/// "tasks.train.after[1]".
std::string item_path(std::string_view section, const std::string& name, std::string_view key, const Node& node,
                      std::size_t i) {
  std::string out = std::string(section) + "." + name + "." + std::string(key);
  return node.is_list() ? out + "[" + std::to_string(i) + "]" : out;
}

/// The names of one section, with the one check that all references need.
class Known {
 public:
  Known(std::string_view what, const std::vector<std::string_view>& names,
        const std::function<bool(std::string_view)>& beyond)
      : what_(what), names_(names), beyond_(beyond), set_(names.begin(), names.end()) {}

  bool has(std::string_view name) const { return set_.contains(name) || (beyond_ && beyond_(name)); }

  void check(std::string_view name, Position at, const std::string& path, Diagnostics& diagnostics) const {
    if (has(name)) return;
    diagnostics.error(at, path, "there is no " + std::string(what_) + " " + in_quotes(name), "",
                      did_you_mean(name, names_));
  }

 private:
  std::string_view what_;
  const std::vector<std::string_view>& names_;
  const std::function<bool(std::string_view)>& beyond_;
  std::unordered_set<std::string_view> set_;
};

/// Who waits for whom. The nodes are the instances and, behind them, one group per task name, which waits for all of its
/// instances: so `after: [train]` is one edge, however many instances there are.
class Order {
 public:
  Order(const Names& names, const Tasks& tasks, Diagnostics& diagnostics)
      : tasks_(tasks), diagnostics_(diagnostics), known_("task", names.tasks, names.beyond.task) {
    const auto count = static_cast<Index>(tasks.all.size());
    waits_for_.resize(count);
    for (Index i = 0; i < count; ++i) {
      instances_.emplace(tasks.all[i].id, i);
      const auto [group, fresh] = groups_.emplace(tasks.all[i].name, static_cast<Index>(waits_for_.size()));
      if (fresh) waits_for_.emplace_back();
      waits_for_[group->second].push_back({i, 0});
    }
  }

  void check() {
    for (Index i = 0; i < tasks_.all.size(); ++i) add_edges(i);
    find_cycle();
  }

 private:
  struct Edge {
    Index to;
    Index item;  ///< of `after`
  };

  void add_edges(Index i) {
    const TaskDescription& task = tasks_.all[i];
    for (Index item = 0; item < task.after.size(); ++item) {
      const std::string& name = task.after[item];
      const Node& after = *tasks_.origins[i].after;
      const std::string path = item_path("tasks", task.name, "after", after, item);
      if (name == task.name || name == task.id) {
        diagnostics_.error(item_at(after, item), path, "the task comes after itself");
      } else if (const auto group = groups_.find(name); group != groups_.end()) {
        waits_for_[i].push_back({group->second, item});
      } else if (const auto instance = instances_.find(name); instance != instances_.end()) {
        waits_for_[i].push_back({instance->second, item});
      } else if (!known_.has(name)) {
        unknown(name, item_at(after, item), path);
      }
    }
  }

  void unknown(const std::string& name, Position at, const std::string& path) {
    const std::string base = name.substr(0, name.find('['));
    if (base == name || !known_.has(base)) {
      known_.check(name, at, path, diagnostics_);
      return;
    }
    const auto group = groups_.find(base);
    if (group == groups_.end()) return;  // that task could not be read: its instances are not known
    const auto& members = waits_for_[group->second];
    diagnostics_.error(at, path, "there is no task " + in_quotes(name), "",
                       "the first instance is " + in_quotes(tasks_.all[members.front().to].id));
  }

  /// Depth first, without recursion: a chain may be a million tasks long.
  void find_cycle() {
    enum class Mark : std::uint8_t { fresh, open, done };
    std::vector<Mark> marks(waits_for_.size(), Mark::fresh);
    struct Step {
      Index node;
      Index next;  ///< edge to follow next
    };
    for (Index start = 0; start < tasks_.all.size(); ++start) {
      if (marks[start] != Mark::fresh) continue;
      std::vector<Step> way{{start, 0}};
      marks[start] = Mark::open;
      while (!way.empty()) {
        Step& step = way.back();
        if (step.next == waits_for_[step.node].size()) {
          marks[step.node] = Mark::done;
          way.pop_back();
          continue;
        }
        const Index to = waits_for_[step.node][step.next++].to;
        if (marks[to] == Mark::open) {
          std::vector<std::pair<Index, Index>> cycle;  // node and the edge that was taken
          auto from = std::find_if(way.begin(), way.end(), [&](const Step& other) { return other.node == to; });
          for (; from != way.end(); ++from) cycle.emplace_back(from->node, from->next - 1);
          report(cycle);
          return;
        }
        if (marks[to] == Mark::fresh) {
          marks[to] = Mark::open;
          way.push_back({to, 0});
        }
      }
    }
  }

  /// Says "a -> b -> a", by names where those tell the tasks apart, else by ids.
  void report(std::vector<std::pair<Index, Index>> cycle) {
    const auto is_group = [&](const auto& step) { return step.first >= tasks_.all.size(); };
    std::erase_if(cycle, is_group);
    std::unordered_set<std::string_view> names;
    for (const auto& [node, edge] : cycle) names.insert(tasks_.all[node].name);
    const bool by_name = names.size() == cycle.size();
    constexpr std::size_t longest = 10;
    std::string text;
    for (std::size_t i = 0; i < std::min(cycle.size(), longest); ++i) {
      const TaskDescription& task = tasks_.all[cycle[i].first];
      text += (by_name ? task.name : task.id) + " -> ";
    }
    if (cycle.size() > longest) text += "… -> ";
    const auto [node, edge] = cycle.front();
    const TaskDescription& first = tasks_.all[node];
    const Index item = waits_for_[node][edge].item;
    const Node& after = *tasks_.origins[node].after;
    diagnostics_.error(item_at(after, item), item_path("tasks", first.name, "after", after, item),
                       "tasks wait for each other: " + text + (by_name ? first.name : first.id));
  }

  const Tasks& tasks_;
  Diagnostics& diagnostics_;
  Known known_;
  std::unordered_map<std::string_view, Index> instances_;  ///< by id
  std::unordered_map<std::string_view, Index> groups_;     ///< by name
  std::vector<std::vector<Edge>> waits_for_;
};

}  // namespace

void check_references(const Names& names, const Tasks& tasks, const Services& services, Diagnostics& diagnostics) {
  const Known known_services("service", names.services, names.beyond.service);
  const Known known_environments("environment", names.environments, names.beyond.environment);
  for (std::size_t i = 0; i < services.all.size(); ++i) {
    const ServiceDescription& service = services.all[i];
    const ServiceOrigin& origin = services.origins[i];
    for (std::size_t item = 0; item < service.uses.size(); ++item) {
      const Position at = item_at(*origin.uses, item);
      const std::string path = item_path("services", service.name, "uses", *origin.uses, item);
      if (service.uses[item] == service.name) {
        diagnostics.error(at, path, "the service uses itself");
      } else {
        known_services.check(service.uses[item], at, path, diagnostics);
      }
    }
    for (std::size_t item = 0; item < service.after.size(); ++item) {
      const Position at = item_at(*origin.after, item);
      const std::string path = item_path("services", service.name, "after", *origin.after, item);
      if (service.after[item] == service.name) {
        diagnostics.error(at, path, "the service starts after itself");
      } else {
        known_services.check(service.after[item], at, path, diagnostics);
      }
    }
    if (!service.environment.empty()) {
      known_environments.check(service.environment, origin.environment->at, "services." + service.name + ".environment",
                               diagnostics);
    }
  }
  for (std::size_t i = 0; i < tasks.all.size(); ++i) {
    const TaskDescription& task = tasks.all[i];
    const TaskOrigin& origin = tasks.origins[i];
    for (std::size_t item = 0; item < task.services.size(); ++item) {
      if (known_services.has(task.services[item])) continue;
      known_services.check(task.services[item], item_at(*origin.services, item),
                           item_path("tasks", task.name, "services", *origin.services, item), diagnostics);
    }
    if (!task.environment.empty()) {
      known_environments.check(task.environment, origin.environment->at, "tasks." + task.name + ".environment",
                               diagnostics);
    }
  }
  Order(names, tasks, diagnostics).check();
}

}  // namespace trireme::workflow
