// Which names in braces have a value where a text stands, and what it is when the workflow is loaded.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "workflow/diagnostic.hpp"

namespace trireme::workflow {

/// A parameter of the workflow, as the file or --set gave it.
struct Parameter {
  std::string name;
  Position at;
  bool is_list = false;
  std::vector<std::string> values;  ///< one unless it is a list
  bool used = false;                ///< by a text that was read
};

class Parameters {
 public:
  void add(Parameter parameter) { all_.push_back(std::move(parameter)); }
  /// A parameter whose value could not be read: that has been reported, and its uses need not be.
  void add_broken(std::string name) { broken_.push_back(std::move(name)); }
  bool is_broken(std::string_view name) const;
  Parameter* find(std::string_view name);
  const std::vector<Parameter>& all() const { return all_; }
  std::vector<std::string_view> names() const;

 private:
  std::vector<Parameter> all_;
  std::vector<std::string> broken_;
};

/// The variables of one instance of a `foreach`, in order.
using Variables = std::vector<std::pair<std::string, std::string>>;

/// The names that the runtime fills in, by where they have a value.
extern const std::span<const std::string_view> task_names;
extern const std::span<const std::string_view> service_names;
extern const std::span<const std::string_view> common_names;

/// Values and names for the texts of one part of the file. Refers to what it is made of.
class Scope {
 public:
  Scope(Parameters& parameters, std::string_view workflow_dir, std::span<const std::string_view> runtime_names,
        const Variables* variables = nullptr)
      : parameters_(parameters), workflow_dir_(workflow_dir), runtime_names_(runtime_names), variables_(variables) {}

  /// What is known now: a variable, `workflow_dir`, or a parameter (which counts as used) that is no list.
  std::optional<std::string> value(std::string_view name) const;
  /// The list parameter of that name, which counts as used.
  const Parameter* list(std::string_view name) const;
  /// Whether the runtime will know the name here.
  bool at_runtime(std::string_view name) const;
  /// Every name that may stand here.
  std::vector<std::string_view> names() const;
  std::string_view workflow_dir() const { return workflow_dir_; }
  Parameters& parameters() const { return parameters_; }

 private:
  Parameters& parameters_;
  std::string_view workflow_dir_;
  std::span<const std::string_view> runtime_names_;
  const Variables* variables_;
};

/// "in services", "in tasks": where a runtime name belongs.
std::string_view place_of(std::string_view runtime_name);

/// Whether `text` can be a placeholder: letters, digits and underscores, not starting with a digit.
bool is_identifier(std::string_view text);

}  // namespace trireme::workflow
