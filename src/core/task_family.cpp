#include "core/task_family.hpp"

#include <algorithm>
#include <charconv>
#include <numeric>

namespace trireme {
namespace {

/// Calls `visit` with each text that may hold placeholders.
template <typename Visit>
void each_text(TaskDescription& task, Visit visit) {
  for (Template& argument : task.command) visit(argument);
  for (auto& [variable, value] : task.env) visit(value);
  for (Template* text : {&task.script, &task.cwd, &task.stdin_from, &task.stdout_to, &task.stderr_to}) visit(*text);
  for (auto* stagings : {&task.inputs, &task.outputs}) {
    for (Staging& staging : *stagings) {
      visit(staging.from);
      visit(staging.to);
    }
  }
}

std::string id_of_instance(const std::string& name, const std::vector<std::string>& variables,
                           const std::vector<std::string>& values) {
  std::string id = name;
  for (std::size_t i = 0; i < variables.size(); ++i) id += (i == 0 ? '[' : ',') + variables[i] + '=' + values[i];
  return id + ']';
}

}  // namespace

void write_out(TaskDescription& shared, const std::vector<std::string>& variables,
               const std::vector<std::string>& values) {
  shared.id = id_of_instance(shared.name, variables, values);
  const auto value = [&](std::string_view name) -> std::optional<std::string> {
    const auto found = std::find(variables.begin(), variables.end(), name);
    if (found == variables.end()) return std::nullopt;
    return values[static_cast<std::size_t>(found - variables.begin())];
  };
  each_text(shared, [&](Template& text) { text.bind(value); });
}

VariableValues::VariableValues(std::vector<std::string> list)
    : list_(std::move(list)), size_(list_.size()), sorted_(list_.size()) {
  std::iota(sorted_.begin(), sorted_.end(), 0u);
  std::stable_sort(sorted_.begin(), sorted_.end(), [&](auto a, auto b) { return list_[a] < list_[b]; });
}

std::string VariableValues::at(std::uint64_t i) const {
  return list_.empty() ? std::to_string(first_ + static_cast<std::int64_t>(i)) : list_[i];
}

std::optional<std::uint64_t> VariableValues::find(std::string_view value) const {
  if (!list_.empty()) {
    const auto found =
        std::lower_bound(sorted_.begin(), sorted_.end(), value, [&](auto i, auto v) { return list_[i] < v; });
    return found != sorted_.end() && list_[*found] == value ? std::optional<std::uint64_t>(*found) : std::nullopt;
  }
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc{} || end != value.data() + value.size() || number < first_) return std::nullopt;
  const auto place = static_cast<std::uint64_t>(number - first_);
  // "007" is a number, but not a value.
  return place < size_ && at(place) == value ? std::optional(place) : std::nullopt;
}

TaskFamily::TaskFamily(TaskDescription task, std::vector<FamilyVariable> variables, bool zipped)
    : shared_(std::move(task)), variables_(std::move(variables)) {
  std::uint64_t size = 1;
  if (zipped && !variables_.empty()) {
    size = variables_.front().values.size();
  } else {
    strides_.resize(variables_.size());
    for (std::size_t i = variables_.size(); i-- > 0;) {
      strides_[i] = size;
      size *= variables_[i].values.size();
    }
  }
  size_ = static_cast<std::uint32_t>(size);
}

std::uint64_t TaskFamily::place(std::size_t variable, std::uint32_t instance) const {
  if (strides_.empty()) return instance;
  return instance / strides_[variable] % variables_[variable].values.size();
}

std::string TaskFamily::id(std::uint32_t instance) const {
  return single() ? shared_.id : id_of_instance(shared_.name, variable_names(), values(instance));
}

TaskDescription TaskFamily::instance(std::uint32_t instance) const {
  TaskDescription task = shared_;
  if (!single()) write_out(task, variable_names(), values(instance));
  return task;
}

std::vector<std::string> TaskFamily::variable_names() const {
  std::vector<std::string> names;
  for (const FamilyVariable& variable : variables_) names.push_back(variable.name);
  return names;
}

std::vector<std::string> TaskFamily::values(std::uint32_t instance) const {
  std::vector<std::string> values;
  values.reserve(variables_.size());
  for (std::size_t i = 0; i < variables_.size(); ++i) values.push_back(variables_[i].values.at(place(i, instance)));
  return values;
}

std::optional<std::uint32_t> TaskFamily::find(std::string_view id) const {
  if (single()) return id == shared_.id ? std::optional(0u) : std::nullopt;
  if (!id.starts_with(shared_.name) || !id.ends_with(']')) return std::nullopt;
  const auto found = match(id.substr(shared_.name.size()), 0, 0);
  return found ? std::optional(static_cast<std::uint32_t>(*found)) : std::nullopt;
}

/// Reads "[a=1,b=2]" from its `variable`-th part on. A value may itself hold commas and brackets, so each end is tried.
std::optional<std::uint64_t> TaskFamily::match(std::string_view rest, std::size_t variable,
                                               std::uint64_t before) const {
  const auto& [name, values] = variables_[variable];
  const std::string head = (variable == 0 ? '[' : ',') + name + '=';
  if (!rest.starts_with(head)) return std::nullopt;
  rest.remove_prefix(head.size());
  const bool last = variable + 1 == variables_.size();
  for (std::size_t end = last ? rest.size() - 1 : rest.find(','); end < rest.size(); end = rest.find(',', end + 1)) {
    if (const auto at = values.find(rest.substr(0, end))) {
      const bool zipped = strides_.empty();
      if (zipped && variable > 0 && *at != before) return std::nullopt;
      const std::uint64_t instance = zipped ? *at : before + *at * strides_[variable];
      if (last) return instance;
      if (const auto whole = match(rest.substr(end), variable + 1, instance)) return whole;
    }
    if (last) break;
  }
  return std::nullopt;
}

}  // namespace trireme
