// Which task an id means. The instances of a family are not written down one by one: their ids are taken apart.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "core/ids.hpp"
#include "core/task_family.hpp"

namespace trireme {

class TaskNames {
 public:
  /// The ids of a family whose instances are the tasks from `first` on. It must live as long as this.
  void add(const TaskFamily& family, TaskIndex first);
  std::optional<TaskIndex> find(std::string_view id) const;
  /// An id of the family that belongs to a task already.
  std::optional<std::string> clash(const TaskFamily& family) const;

 private:
  struct Entry {
    const TaskFamily* family;
    TaskIndex first;
  };
  std::unordered_map<std::string_view, TaskIndex> single_;
  std::unordered_set<std::string_view> bracketed_;  ///< what stands before the bracket in ids of single tasks
  std::unordered_multimap<std::string_view, Entry> families_;
};

}  // namespace trireme
