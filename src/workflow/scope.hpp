// Which names in braces have a value where a text stands, and what it is when the workflow is loaded.
#pragma once

#include <cstdint>
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

/// What the reading of a text needs of the variables in it; and of a variable, what all of its values meet. Each includes those
/// above it.
enum class Need : std::uint8_t {
  nothing,  ///< the text is kept as it is, and not looked at
  filled,   ///< no value is empty
  plain,  ///< letters, digits, `_`, `-` and, but for the first character, `.`: what is asked of a path has one answer for all
  value,  ///< the value itself; no variable meets that
};

/// Variables of a task that is read once for all of its instances. Where a text needs no more of a variable than it meets, it
/// stays open. Any other use of its value is noted here: then what was read is right for the one instance only that has it.
struct OpenVariables {
  std::vector<Need> met;  ///< by each of the scope's variables
  bool value_used = false;
};

/// The names that the runtime fills in, by where they have a value.
extern const std::span<const std::string_view> task_names;
extern const std::span<const std::string_view> service_names;
extern const std::span<const std::string_view> common_names;

/// Values and names for the texts of one part of the file. Refers to what it is made of.
class Scope {
 public:
  Scope(Parameters& parameters, std::string_view workflow_dir, std::span<const std::string_view> runtime_names,
        const Variables* variables = nullptr, OpenVariables* open = nullptr)
      : parameters_(parameters),
        workflow_dir_(workflow_dir),
        runtime_names_(runtime_names),
        variables_(variables),
        open_(open) {}

  /// What is known now: a variable, `workflow_dir`, or a parameter that is no list. It counts as used.
  std::optional<std::string> value(std::string_view name) const;
  /// Whether there is a value for it now.
  bool has_value(std::string_view name) const;
  /// Whether the name is a variable that can stay open in a text which needs this of it.
  bool stays_open(std::string_view name, Need need) const;
  bool is_variable(std::string_view name) const { return find_variable(name).has_value(); }
  /// The list parameter of that name, which counts as used.
  const Parameter* list(std::string_view name) const;
  /// Whether the runtime will know the name here.
  bool at_runtime(std::string_view name) const;
  /// Every name that may stand here.
  std::vector<std::string_view> names() const;
  std::string_view workflow_dir() const { return workflow_dir_; }
  Parameters& parameters() const { return parameters_; }

 private:
  std::optional<std::size_t> find_variable(std::string_view name) const;

  Parameters& parameters_;
  std::string_view workflow_dir_;
  std::span<const std::string_view> runtime_names_;
  const Variables* variables_;
  OpenVariables* open_;
};

/// "in services", "in tasks": where a runtime name belongs.
std::string_view place_of(std::string_view runtime_name);

/// Whether `text` can be a placeholder: letters, digits and underscores, not starting with a digit.
bool is_identifier(std::string_view text);

}  // namespace trireme::workflow
