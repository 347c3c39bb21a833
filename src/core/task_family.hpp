// Tasks that differ only in the values of some variables: the instances of a `foreach`.
//
// One description is kept for all of them, with the variables still open in its texts; an instance is written out when it
// starts, or when somebody asks for it. So ten million instances cost what their number costs and not what their texts do.
// Instances are numbered from 0: the last variable turns fastest, or, where the values are zipped, instance i takes value i of
// each variable. A task by itself is a family of one.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/description.hpp"

namespace trireme {

/// The values of one variable: a list, or an arithmetic progression that is never written out.
class VariableValues {
 public:
  explicit VariableValues(std::vector<std::string> list);
  /// `count` whole numbers from `first` on, `step` apart.
  VariableValues(std::int64_t first, std::uint64_t count, std::int64_t step = 1)
      : first_(first), step_(step), size_(count) {}

  std::uint64_t size() const { return size_; }
  std::string at(std::uint64_t i) const;
  /// The place of a value; of equal ones the first.
  std::optional<std::uint64_t> find(std::string_view value) const;
  /// The first place whose value an earlier place has too.
  std::optional<std::uint64_t> first_repeated() const;
  /// What was given as a list; empty where the values are numbers.
  const std::vector<std::string>& list() const { return list_; }
  bool operator==(const VariableValues&) const = default;

 private:
  std::vector<std::string> list_;
  std::int64_t first_ = 0;
  std::int64_t step_ = 1;
  std::uint64_t size_ = 0;
  std::vector<std::uint32_t> sorted_;  ///< the places of the list, by value
};

struct FamilyVariable {
  std::string name;
  VariableValues values;
  bool operator==(const FamilyVariable&) const = default;
};

/// Makes an instance of what instances have in common: its id, and the values in its texts.
void write_out(TaskDescription& shared, const std::vector<std::string>& variables,
               const std::vector<std::string>& values);

class TaskFamily {
 public:
  static constexpr std::uint32_t most_instances = std::numeric_limits<std::uint32_t>::max();

  /// A task by itself. Implicit: wherever many tasks may stand one may.
  TaskFamily(TaskDescription task) : shared_(std::move(task)) {}
  /// Instances of `task`, whose id is made of its name and the variables. Zipped variables have equally many values. Whoever makes
  /// more than `most_instances` has only the first of them.
  TaskFamily(TaskDescription task, std::vector<FamilyVariable> variables, bool zipped);

  std::uint32_t size() const { return size_; }
  bool single() const { return variables_.empty(); }
  /// What all instances have in common: everything but the id and the texts.
  const TaskDescription& shared() const { return shared_; }
  /// "train[seed=1,method=lora]", or the task's own id.
  std::string id(std::uint32_t instance) const;
  TaskDescription instance(std::uint32_t instance) const;
  std::vector<std::string> variable_names() const;
  /// The instance's own, in the order of the names.
  std::vector<std::string> values(std::uint32_t instance) const;
  /// The instance of that id.
  std::optional<std::uint32_t> find(std::string_view id) const;
  /// The first instance whose id an earlier one has too. Of a cross product no ids are written out for it, unless a value holds a
  /// comma.
  std::optional<std::uint32_t> first_repeated() const;
  /// Of a task by itself: that task, without a copy.
  TaskDescription release() && { return std::move(shared_); }
  bool operator==(const TaskFamily&) const = default;

 private:
  std::uint64_t place(std::size_t variable, std::uint32_t instance) const;
  std::optional<std::uint64_t> match(std::string_view rest, std::size_t variable, std::uint64_t instance) const;

  TaskDescription shared_;
  std::vector<FamilyVariable> variables_;
  std::vector<std::uint64_t> strides_;  ///< instances from one value of a variable to its next; empty where zipped
  std::vector<std::pair<std::size_t, std::uint32_t>> rows_;  ///< where zipped: the instances by the hash of their ids
  std::uint32_t size_ = 1;
};

}  // namespace trireme
