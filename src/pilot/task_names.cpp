#include "pilot/task_names.hpp"

namespace trireme::pilot {
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

bool TaskNames::clashes(const TaskFamily& family) const {
  if (family.single()) return find(family.shared().id).has_value();
  const std::string_view name = family.shared().name;
  if (!families_.contains(name) && !bracketed_.contains(name)) return false;
  for (std::uint32_t i = 0; i < family.size(); ++i) {
    if (find(family.id(i))) return true;
  }
  return false;
}

}  // namespace trireme::pilot
