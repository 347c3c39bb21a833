// Who waits for whom.
//
// Vertices are tasks and groups. A group stands for the tasks that share a name, so that a thousand
// tasks after a thousand others are two thousand edges and not a million. Whoever names a group
// waits for the members that it has at that moment: a group that is waited for is sealed, and
// members that come later form a new one, which also waits for the sealed one.
//
// Each task has a number of things that it still waits for: vertices, and holds that others place
// on it (a service that is not ready). At none it is released. A vertex that ended badly breaks all
// behind it, transitively. Everything is iterative: chains may be as long as there are tasks.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/huge_pages.hpp"
#include "core/ids.hpp"
#include "core/prefetch.hpp"
#include "core/result.hpp"

namespace trireme::pilot {

class Graph {
 public:
  static constexpr std::uint32_t most_tasks = 0x7fffffffu;

  /// A task or a group.
  struct Vertex {
    std::uint32_t index = 0;
    bool group = false;
  };
  /// A task that can never run, because it comes after `after`; `root` is where it began.
  struct Broken {
    TaskIndex task;
    TaskIndex after;
    TaskIndex root;
  };

  /// Adds the next task: its index is the number of tasks added before. It joins the group of that
  /// name, if there is one; the text must live as long as the graph.
  TaskIndex add(std::string_view group);
  std::optional<Vertex> find_group(std::string_view name) const;

  /// Closes a group: members that come later form a new one.
  void seal(Vertex vertex) { at(vertex).sealed = true; }
  /// Makes `task` wait for `before`. Returns the task that broke `before`, if that has happened
  /// already.
  std::optional<TaskIndex> wait_for(TaskIndex task, Vertex before);
  /// One thing more that `task` waits for, until `release`.
  void hold(TaskIndex task) { ++tasks_[task.value].open; }
  /// Whether that was the last thing that `task` waited for.
  bool release(TaskIndex task);
  bool waits(TaskIndex task) const { return tasks_[task.value].open > 0; }

  /// It will soon be asked about.
  void fetch(TaskIndex task) const { prefetch(tasks_[task.value]); }
  /// `task` is done: appends the tasks that wait for nothing any more.
  void done(TaskIndex task, std::vector<TaskIndex>& released);
  /// `task` ended otherwise: appends all that come after it and had not ended.
  void broke(TaskIndex task, std::vector<Broken>& broken);

  /// An error that names tasks which wait for each other, if there are any among those from `first` on. Those before it wait
  /// for none of them, so they need not be looked at again.
  Status check_acyclic(TaskIndex first, const std::function<std::string(TaskIndex)>& name) const;

 private:
  static constexpr std::uint32_t none = 0xffffffffu;
  enum class Standing : std::uint8_t { open, done, broken };
  struct Node {
    std::uint32_t open = 0;          ///< things that it still waits for
    std::uint32_t follower = none;   ///< the first that waits for it: most have one alone, and need no edge
    std::uint32_t last_edge = none;  ///< the edges to the others that do are a ring; this is the last one
    Standing standing = Standing::open;
    bool sealed = false;  ///< groups: somebody waits for it
  };
  struct Edge {
    std::uint32_t to = 0;
    std::uint32_t next = none;
  };

  static constexpr std::uint32_t group_bit = most_tasks + 1;
  static std::uint32_t pack(Vertex v) { return v.index | (v.group ? group_bit : 0); }
  static Vertex unpack(std::uint32_t ref) { return {ref & ~group_bit, (ref & group_bit) != 0}; }
  Node& at(Vertex v) { return v.group ? groups_[v.index] : tasks_[v.index]; }
  const Node& at(Vertex v) const { return v.group ? groups_[v.index] : tasks_[v.index]; }
  void connect(Vertex from, Vertex to);
  void join_group(Vertex member, std::string_view name);
  template <typename Visit>
  void for_each_after(Vertex from, Visit visit) const;

  HugePageVector<Node> tasks_;
  std::vector<Node> groups_;
  std::vector<TaskIndex> group_broken_by_;
  HugePageVector<Edge> edges_;
  std::vector<Vertex> finished_;                                 ///< reused
  std::unordered_map<std::string_view, std::uint32_t> by_name_;  ///< the group that new members join
};

}  // namespace trireme::pilot
