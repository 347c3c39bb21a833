#include "core/task_family.hpp"

#include <algorithm>
#include <charconv>
#include <functional>
#include <numeric>
#include <unordered_set>

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
  return list_.empty() ? std::to_string(first_ + static_cast<std::int64_t>(i) * step_) : list_[i];
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
  const auto above = static_cast<std::uint64_t>(number) - static_cast<std::uint64_t>(first_);
  const std::uint64_t place = above / static_cast<std::uint64_t>(step_);
  // "007" is a number, but not a value.
  return place < size_ && at(place) == value ? std::optional(place) : std::nullopt;
}

std::optional<std::uint64_t> VariableValues::first_repeated() const {
  std::optional<std::uint64_t> first;
  // Equal values are neighbours here, in the order of their places.
  for (std::size_t i = 1; i < sorted_.size(); ++i) {
    if (list_[sorted_[i]] == list_[sorted_[i - 1]] && (!first || sorted_[i] < *first)) first = sorted_[i];
  }
  return first;
}

TaskFamily::TaskFamily(TaskDescription task, std::vector<FamilyVariable> variables, bool zipped)
    : shared_(std::move(task)), variables_(std::move(variables)) {
  std::uint64_t size = 1;
  const bool by_rows = zipped && variables_.size() > 1;
  if (by_rows) {
    size = variables_.front().values.size();
  } else {
    strides_.resize(variables_.size());
    for (std::size_t i = variables_.size(); i-- > 0;) {
      strides_[i] = size;
      const std::uint64_t values = variables_[i].values.size();
      size = size > 0 && values > most_instances / size ? most_instances : size * values;
    }
  }
  size_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(size, most_instances));
  if (!by_rows) return;
  rows_.reserve(size_);
  for (std::uint32_t i = 0; i < size_; ++i) rows_.emplace_back(std::hash<std::string_view>()(id(i)), i);
  std::sort(rows_.begin(), rows_.end());
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

std::optional<std::uint32_t> TaskFamily::find(std::string_view wanted) const {
  if (single()) return wanted == shared_.id ? std::optional(0u) : std::nullopt;
  if (!wanted.starts_with(shared_.name) || !wanted.ends_with(']')) return std::nullopt;
  if (!strides_.empty()) {
    const auto found = match(wanted.substr(shared_.name.size()), 0, 0);
    return found && *found < size_ ? std::optional(static_cast<std::uint32_t>(*found)) : std::nullopt;
  }
  const std::size_t hash = std::hash<std::string_view>()(wanted);
  for (auto row = std::lower_bound(rows_.begin(), rows_.end(), std::pair(hash, 0u));
       row != rows_.end() && row->first == hash; ++row) {
    if (id(row->second) == wanted) return row->second;
  }
  return std::nullopt;
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
      const std::uint64_t instance = before + *at * strides_[variable];
      if (last) return instance;
      if (const auto whole = match(rest.substr(end), variable + 1, instance)) return whole;
    }
    if (last) break;
  }
  return std::nullopt;
}

std::optional<std::uint32_t> TaskFamily::first_repeated() const {
  std::optional<std::uint32_t> first;
  const auto consider = [&](std::uint64_t instance) {
    if (instance < size_ && (!first || instance < *first)) first = static_cast<std::uint32_t>(instance);
  };
  if (!rows_.empty()) {
    for (std::size_t i = 1; i < rows_.size(); ++i) {
      for (std::size_t j = i; j-- > 0 && rows_[j].first == rows_[i].first;) {
        if (id(rows_[j].second) != id(rows_[i].second)) continue;
        consider(rows_[i].second);
        break;
      }
    }
    return first;
  }
  const auto holds_comma = [](const FamilyVariable& variable) {
    const auto& list = variable.values.list();
    return std::any_of(list.begin(), list.end(),
                       [](const auto& value) { return value.find(',') != std::string::npos; });
  };
  if (variables_.size() > 1 && std::any_of(variables_.begin(), variables_.end(), holds_comma)) {
    std::unordered_set<std::string> ids;
    for (std::uint32_t i = 0; i < size_; ++i) {
      if (!ids.insert(id(i)).second) return i;
    }
    return std::nullopt;
  }
  // Without commas an id can be taken apart in one way only, so that equal ids have equal values.
  for (std::size_t i = 0; i < variables_.size(); ++i) {
    if (const auto place = variables_[i].values.first_repeated()) consider(*place * strides_[i]);
  }
  return first;
}

}  // namespace trireme
