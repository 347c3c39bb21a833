#include "core/task_names.hpp"

namespace trireme {
namespace {

/// "train" of "train[seed=1]"; nothing without a bracket.
std::string_view before_bracket(std::string_view id) {
  const std::size_t bracket = id.find('[');
  return bracket == std::string_view::npos ? std::string_view{} : id.substr(0, bracket);
}

}  // namespace

void TaskNames::add(const TaskFamily& family, TaskIndex first) {
  if (!family.single()) {
    families_.emplace(family.shared().name, Entry{&family, first});
    return;
  }
  const std::string_view id = family.shared().id;
  single_.emplace(id, first);
  if (const std::string_view base = before_bracket(id); !base.empty()) bracketed_.insert(base);
}

std::optional<TaskIndex> TaskNames::find(std::string_view id) const {
  if (const auto found = single_.find(id); found != single_.end()) return found->second;
  const auto [begin, end] = families_.equal_range(before_bracket(id));
  for (auto entry = begin; entry != end; ++entry) {
    if (const auto instance = entry->second.family->find(id)) return TaskIndex{entry->second.first.value + *instance};
  }
  return std::nullopt;
}

std::optional<std::string> TaskNames::clash(const TaskFamily& family) const {
  const std::string_view name = family.shared().name;
  // Ids of several families can only be equal if their names are, so that mostly no id is written out.
  if (!family.single() && !families_.contains(name) && !bracketed_.contains(name)) return std::nullopt;
  for (std::uint32_t i = 0; i < family.size(); ++i) {
    if (auto id = family.id(i); find(id)) return id;
  }
  return std::nullopt;
}

}  // namespace trireme
