#include "workflow/references.hpp"

#include <algorithm>
#include <iterator>
#include <unordered_map>
#include <unordered_set>

#include "core/task_names.hpp"

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

/// Who waits for whom. The vertices are the instances and, behind them, one group per task name, which waits for all of its
/// instances: so `after: [train]` is one edge, however many instances there are. The instances of a family wait for the same, so
/// that edges are kept per family, and where one of them leads to no cycle none does: that one, the first, is all that is
/// followed of a family, unless another is named.
class Order {
 public:
  Order(const Names& names, const Tasks& tasks, Diagnostics& diagnostics)
      : tasks_(tasks), diagnostics_(diagnostics), known_("task", names.tasks, names.beyond.task) {
    edges_.resize(tasks.all.size());
    for (Index i = 0, first = 0; i < tasks.all.size(); ++i) {
      ids_.add(tasks.all[i], {first});
      first_.push_back(first);
      first += tasks.all[i].size();
      const auto [group, fresh] = groups_.emplace(tasks.all[i].shared().name, static_cast<Index>(members_.size()));
      if (fresh) members_.emplace_back();
      members_[group->second].push_back(i);
    }
  }

  void check() {
    for (Index i = 0; i < tasks_.all.size(); ++i) add_edges(i);
    find_cycle();
  }

 private:
  struct Vertex {
    Index number = 0;  ///< of a family, or of a group
    bool group = false;
    Index instance = 0;  ///< of the family
    bool operator==(const Vertex&) const = default;
  };
  struct Edge {
    Vertex to;
    Index item;  ///< of `after`
  };
  struct Step {
    Vertex at;
    Index next;  ///< edge to follow next
  };
  enum class Mark : std::uint8_t { fresh, open, done };

  const TaskDescription& shared(Index family) const { return tasks_.all[family].shared(); }

  void add_edges(Index family) {
    const TaskDescription& task = shared(family);
    for (Index item = 0; item < task.after.size(); ++item) {
      const std::string& name = task.after[item];
      const Node& after = *tasks_.origins[family].after;
      const std::string path = item_path("tasks", task.name, "after", after, item);
      const auto own = tasks_.all[family].find(name);
      if (name == task.name || own) {
        diagnostics_.error(item_at(after, item), path, "the task comes after itself");
        if (own) edges_[family].push_back({{family, false, *own}, item});  // the other instances come after this one
      } else if (const auto group = groups_.find(name); group != groups_.end()) {
        edges_[family].push_back({{group->second, true, 0}, item});
      } else if (const auto instance = ids_.find(name)) {
        edges_[family].push_back({vertex_of(*instance), item});
      } else if (!known_.has(name)) {
        unknown(name, item_at(after, item), path);
      }
    }
  }

  Vertex vertex_of(TaskIndex task) const {
    const auto family = std::prev(std::upper_bound(first_.begin(), first_.end(), task.value));
    return {static_cast<Index>(family - first_.begin()), false, task.value - *family};
  }

  void unknown(const std::string& name, Position at, const std::string& path) {
    const std::string base = name.substr(0, name.find('['));
    if (base == name || !known_.has(base)) {
      known_.check(name, at, path, diagnostics_);
      return;
    }
    const auto group = groups_.find(base);
    if (group == groups_.end()) return;  // that task could not be read: its instances are not known
    diagnostics_.error(at, path, "there is no task " + in_quotes(name), "",
                       "the first instance is " + in_quotes(tasks_.all[members_[group->second].front()].id(0)));
  }

  std::optional<Vertex> follow(const Step& step) const {
    const Index number = step.at.number;
    if (step.at.group) {
      if (step.next == members_[number].size()) return std::nullopt;
      return Vertex{members_[number][step.next], false, 0};
    }
    if (step.next == edges_[number].size()) return std::nullopt;
    return edges_[number][step.next].to;
  }

  /// Depth first, without recursion: a chain may be a million tasks long.
  void find_cycle() {
    std::vector<Mark> family_marks(tasks_.all.size(), Mark::fresh);
    std::vector<Mark> group_marks(members_.size(), Mark::fresh);
    const auto mark = [&](const Vertex& v) -> Mark& { return (v.group ? group_marks : family_marks)[v.number]; };
    for (Index start = 0; start < tasks_.all.size(); ++start) {
      if (family_marks[start] != Mark::fresh) continue;
      std::vector<Step> way{{{start, false, 0}, 0}};
      family_marks[start] = Mark::open;
      while (!way.empty()) {
        const auto to = follow(way.back());
        if (!to) {
          mark(way.back().at) = Mark::done;
          way.pop_back();
          continue;
        }
        ++way.back().next;
        if (mark(*to) == Mark::done || *to == way.back().at) continue;
        if (mark(*to) == Mark::open) {
          // Another instance of the family may be what is open: then this one goes the same way, and comes upon it at once.
          const auto from = std::find_if(way.begin(), way.end(), [&](const Step& other) { return other.at == *to; });
          if (from != way.end()) return report(std::vector<Step>(from, way.end()));
        }
        mark(*to) = Mark::open;
        way.push_back({*to, 0});
      }
    }
  }

  /// Says "a -> b -> a", by names where those tell the tasks apart, else by ids.
  void report(std::vector<Step> cycle) {
    std::erase_if(cycle, [](const Step& step) { return step.at.group; });
    std::unordered_set<std::string_view> names;
    for (const Step& step : cycle) names.insert(shared(step.at.number).name);
    const bool by_name = names.size() == cycle.size();
    const auto name = [&](const Step& step) {
      const TaskFamily& family = tasks_.all[step.at.number];
      return by_name ? family.shared().name : family.id(step.at.instance);
    };
    constexpr std::size_t longest = 10;
    std::string text;
    for (std::size_t i = 0; i < std::min(cycle.size(), longest); ++i) text += name(cycle[i]) + " -> ";
    if (cycle.size() > longest) text += "… -> ";
    const Step& first = cycle.front();
    const Index item = edges_[first.at.number][first.next - 1].item;
    const Node& after = *tasks_.origins[first.at.number].after;
    diagnostics_.error(item_at(after, item), item_path("tasks", shared(first.at.number).name, "after", after, item),
                       "tasks wait for each other: " + text + name(first));
  }

  const Tasks& tasks_;
  Diagnostics& diagnostics_;
  Known known_;
  TaskNames ids_;
  std::vector<Index> first_;  ///< of each family: its first instance, counted through all tasks
  std::unordered_map<std::string_view, Index> groups_;  ///< by name
  std::vector<std::vector<Index>> members_;             ///< of each group: families
  std::vector<std::vector<Edge>> edges_;                ///< of each family
};

/// Services that start after each other: says "a -> b -> a" where the first of them names the next.
void check_order(const Services& services, Diagnostics& diagnostics) {
  std::unordered_map<std::string_view, Index> open;
  for (Index i = 0; i < services.all.size(); ++i) open.emplace(services.all[i].name, i);
  const auto next = [&](Index i) -> std::optional<std::size_t> {
    const auto& after = services.all[i].after;
    const auto found = std::find_if(after.begin(), after.end(), [&](const auto& name) {
      return name != services.all[i].name && open.contains(name);
    });
    if (found == after.end()) return std::nullopt;
    return static_cast<std::size_t>(found - after.begin());
  };
  while (std::erase_if(open, [&](const auto& entry) { return !next(entry.second); }) > 0) {
  }
  // Each of those that are left comes after another of them: following that leads round.
  const auto first = std::find_if(services.all.begin(), services.all.end(),
                                  [&](const ServiceDescription& service) { return open.contains(service.name); });
  if (first == services.all.end()) return;
  auto at = static_cast<Index>(first - services.all.begin());
  std::vector<Index> way;
  while (std::find(way.begin(), way.end(), at) == way.end()) {
    way.push_back(at);
    at = open.at(services.all[at].after[*next(at)]);
  }
  way.erase(way.begin(), std::find(way.begin(), way.end(), at));
  std::string text;
  for (const Index one : way) text += services.all[one].name + " -> ";
  const Node& after = *services.origins[at].after;
  const std::size_t item = *next(at);
  diagnostics.error(item_at(after, item), item_path("services", services.all[at].name, "after", after, item),
                    "services start after each other: " + text + services.all[at].name);
}

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
  check_order(services, diagnostics);
  for (std::size_t i = 0; i < tasks.all.size(); ++i) {
    const TaskDescription& task = tasks.all[i].shared();
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
