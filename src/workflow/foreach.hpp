// `foreach`: one description, many instances.
#pragma once

#include <optional>
#include <vector>

#include "core/task_family.hpp"
#include "workflow/reader.hpp"
#include "workflow/scope.hpp"

namespace trireme::workflow {

/// The variables of the instances that a `foreach` asks for: what a TaskFamily is made of.
struct Foreach {
  std::vector<FamilyVariable> variables;  ///< in the order of the file
  bool zipped = false;                    ///< instance i takes value i of each variable

  /// Reads a map of variables (their cross product, the last one turning fastest) or a list of maps (each an instance).
  static std::optional<Foreach> read(const Reader& reader, const Value& value);
};

/// What all of these values meet.
Need met_by(const VariableValues& values);

}  // namespace trireme::workflow
