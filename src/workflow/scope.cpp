#include "workflow/scope.hpp"

#include <algorithm>
#include <array>

namespace trireme::workflow {
namespace {

constexpr std::array<std::string_view, 8> in_tasks{"host",    "run_dir", "scratch",  "workflow_dir",
                                                   "task_id", "rank",    "task_dir", "attempt"};
constexpr std::array<std::string_view, 11> in_services{
    "host", "run_dir", "scratch", "workflow_dir", "port", "socket", "key", "replica", "rank", "head", "head_port"};
constexpr std::array<std::string_view, 4> everywhere{"host", "run_dir", "scratch", "workflow_dir"};

bool contains(std::span<const std::string_view> names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

const std::span<const std::string_view> task_names = in_tasks;
const std::span<const std::string_view> service_names = in_services;
const std::span<const std::string_view> common_names = everywhere;

Parameter* Parameters::find(std::string_view name) {
  for (Parameter& parameter : all_) {
    if (parameter.name == name) return &parameter;
  }
  return nullptr;
}

bool Parameters::is_broken(std::string_view name) const {
  return std::find(broken_.begin(), broken_.end(), name) != broken_.end();
}

std::vector<std::string_view> Parameters::names() const {
  std::vector<std::string_view> out;
  for (const Parameter& parameter : all_) out.push_back(parameter.name);
  return out;
}

std::optional<std::size_t> Scope::find_variable(std::string_view name) const {
  if (variables_ == nullptr) return std::nullopt;
  for (std::size_t i = 0; i < variables_->size(); ++i) {
    if ((*variables_)[i].first == name) return i;
  }
  return std::nullopt;
}

bool Scope::has_value(std::string_view name) const {
  if (is_variable(name) || name == "workflow_dir") return true;
  const Parameter* parameter = parameters_.find(name);
  return parameter != nullptr && !parameter->is_list;
}

bool Scope::stays_open(std::string_view name, Need need) const {
  const auto variable = open_ == nullptr ? std::nullopt : find_variable(name);
  return variable && open_->met[*variable] >= need;
}

std::optional<std::string> Scope::value(std::string_view name) const {
  if (const auto variable = find_variable(name)) {
    if (open_ != nullptr) open_->value_used = true;
    return (*variables_)[*variable].second;
  }
  if (name == "workflow_dir") return std::string(workflow_dir_);
  if (Parameter* parameter = parameters_.find(name); parameter != nullptr && !parameter->is_list) {
    parameter->used = true;
    return parameter->values.front();
  }
  return std::nullopt;
}

const Parameter* Scope::list(std::string_view name) const {
  Parameter* parameter = parameters_.find(name);
  if (parameter == nullptr || !parameter->is_list) return nullptr;
  parameter->used = true;
  return parameter;
}

bool Scope::at_runtime(std::string_view name) const {
  return contains(runtime_names_, name);
}

std::vector<std::string_view> Scope::names() const {
  std::vector<std::string_view> out = parameters_.names();
  if (variables_ != nullptr) {
    for (const auto& variable : *variables_) out.push_back(variable.first);
  }
  out.insert(out.end(), runtime_names_.begin(), runtime_names_.end());
  return out;
}

std::string_view place_of(std::string_view runtime_name) {
  if (contains(everywhere, runtime_name)) return "where a task or service starts";
  return contains(in_tasks, runtime_name) ? "in tasks" : "in services";
}

bool is_identifier(std::string_view text) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  if (text.empty() || !letter(text.front())) return false;
  return std::all_of(text.begin(), text.end(), [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

}  // namespace trireme::workflow
