#include "pilot/graph.hpp"

#include <algorithm>

namespace trireme::pilot {

template <typename Visit>
void Graph::for_each_after(Vertex from, Visit visit) const {
  const std::uint32_t follower = at(from).follower;
  const std::uint32_t last = at(from).last_edge;
  if (follower != none) visit(unpack(follower));
  if (last == none) return;
  std::uint32_t edge = last;
  do {
    edge = edges_[edge].next;
    visit(unpack(edges_[edge].to));
  } while (edge != last);
}

TaskIndex Graph::add(std::string_view group) {
  const TaskIndex task{static_cast<std::uint32_t>(tasks_.size())};
  tasks_.emplace_back();
  if (!group.empty()) join_group({task.value, false}, group);
  return task;
}

void Graph::join_group(Vertex member, std::string_view name) {
  auto [entry, is_new] = by_name_.try_emplace(name, static_cast<std::uint32_t>(groups_.size()));
  if (is_new) {
    groups_.emplace_back();
    group_broken_by_.emplace_back();
  } else if (groups_[entry->second].sealed) {
    const Vertex sealed{entry->second, true};
    entry->second = static_cast<std::uint32_t>(groups_.size());
    groups_.push_back({.standing = at(sealed).standing == Standing::broken ? Standing::broken : Standing::open});
    group_broken_by_.push_back(group_broken_by_[sealed.index]);
    if (at(sealed).open > 0) connect(sealed, {entry->second, true});
  }
  connect(member, {entry->second, true});
}

void Graph::connect(Vertex from, Vertex to) {
  ++at(to).open;
  Node& node = at(from);
  if (node.follower == none) {
    node.follower = pack(to);
    return;
  }
  const auto edge = static_cast<std::uint32_t>(edges_.size());
  if (node.last_edge == none) {
    edges_.push_back({pack(to), edge});
  } else {
    edges_.push_back({pack(to), edges_[node.last_edge].next});
    edges_[node.last_edge].next = edge;
  }
  node.last_edge = edge;
}

std::optional<Graph::Vertex> Graph::find_group(std::string_view name) const {
  const auto group = by_name_.find(name);
  return group == by_name_.end() ? std::nullopt : std::optional(Vertex{group->second, true});
}

std::optional<TaskIndex> Graph::wait_for(TaskIndex task, Vertex before) {
  Node& node = at(before);
  if (node.standing == Standing::broken) {
    return before.group ? group_broken_by_[before.index] : TaskIndex{before.index};
  }
  node.sealed = true;
  const bool over = before.group ? node.open == 0 : node.standing == Standing::done;
  if (!over) connect(before, {task.value, false});
  return std::nullopt;
}

bool Graph::release(TaskIndex task) {
  Node& node = tasks_[task.value];
  return --node.open == 0 && node.standing == Standing::open;
}

void Graph::done(TaskIndex task, std::vector<TaskIndex>& released) {
  tasks_[task.value].standing = Standing::done;
  std::vector<Vertex>& finished = finished_;
  finished.assign(1, {task.value, false});
  for (std::size_t i = 0; i < finished.size(); ++i) {
    for_each_after(finished[i], [&](Vertex v) {
      Node& node = at(v);
      if (--node.open > 0 || node.standing != Standing::open) return;
      if (v.group) {
        finished.push_back(v);
      } else {
        released.push_back({v.index});
      }
    });
  }
}

void Graph::broke(TaskIndex task, std::vector<Broken>& broken) {
  tasks_[task.value].standing = Standing::broken;
  struct Step {
    Vertex vertex;
    TaskIndex after;
  };
  std::vector<Step> steps{{{task.value, false}, task}};
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const Step step = steps[i];
    for_each_after(step.vertex, [&](Vertex v) {
      Node& node = at(v);
      if (node.standing != Standing::open) return;
      node.standing = Standing::broken;
      if (v.group) {
        group_broken_by_[v.index] = step.after;
        steps.push_back({v, step.after});
      } else {
        broken.push_back({{v.index}, step.after, task});
        steps.push_back({v, {v.index}});
      }
    });
  }
}

Status Graph::check_acyclic(TaskIndex from, const std::function<std::string(TaskIndex)>& name) const {
  // Take away what waits for nothing, again and again; what is left waits for a cycle. Tasks are
  // 0..n-1, groups that they lead to follow.
  const std::size_t n = tasks_.size() - from.value;
  std::unordered_map<std::uint32_t, std::size_t> group_slots;
  std::vector<std::uint32_t> groups;
  const auto slot = [&](Vertex v) {
    if (!v.group) return static_cast<std::size_t>(v.index - from.value);
    const auto [known, is_new] = group_slots.try_emplace(v.index, n + groups.size());
    if (is_new) groups.push_back(v.index);
    return known->second;
  };
  const auto vertex = [&](std::size_t i) {
    return i < n ? Vertex{static_cast<std::uint32_t>(i) + from.value, false} : Vertex{groups[i - n], true};
  };
  std::vector<std::uint32_t> incoming(n, 0);
  for (std::size_t i = 0; i < incoming.size(); ++i) {
    for_each_after(vertex(i), [&](Vertex v) {
      const std::size_t at = slot(v);
      if (at >= incoming.size()) incoming.resize(at + 1, 0);
      ++incoming[at];
    });
  }
  std::vector<std::size_t> order;
  order.reserve(incoming.size());
  for (std::size_t i = 0; i < incoming.size(); ++i) {
    if (incoming[i] == 0) order.push_back(i);
  }
  for (std::size_t k = 0; k < order.size(); ++k) {
    for_each_after(vertex(order[k]), [&](Vertex v) {
      if (--incoming[slot(v)] == 0) order.push_back(slot(v));
    });
  }
  if (order.size() == incoming.size()) return {};

  // Each vertex that is left has one before it that is left too: walking back must come round.
  std::vector<std::size_t> before(incoming.size(), incoming.size());
  std::size_t at = incoming.size();
  for (std::size_t i = 0; i < incoming.size(); ++i) {
    if (incoming[i] == 0) continue;
    at = i;
    for_each_after(vertex(i), [&](Vertex v) { before[slot(v)] = i; });
  }
  for (std::size_t i = 0; i < incoming.size(); ++i) at = before[at];
  std::string text;
  std::size_t named = 0;
  std::size_t first = incoming.size();
  for (std::size_t i = at;; i = before[i]) {
    if (i < n) {
      if (i == first) break;
      if (first == incoming.size()) first = i;
      if (++named > 8) break;
      text += (text.empty() ? "" : ", which waits for ") + name({static_cast<std::uint32_t>(i) + from.value});
    }
  }
  const std::string first_name = name({static_cast<std::uint32_t>(first) + from.value});
  text += named > 8 ? ", and so on" : ", which waits for " + first_name;
  return Error{.what = "tasks wait for each other: " + text,
               .where = "task " + first_name,
               .hint = "take one of them out of `after`",
               .code = ExitCode::usage};
}

}  // namespace trireme::pilot
