// What tasks and services have in common: what to run, and in which surroundings.
#pragma once

#include <string>
#include <vector>

#include "core/template.hpp"
#include "workflow/reader.hpp"

namespace trireme::workflow {

/// Reads `command` and `script`. Reports where both are given, and, unless `optional`, where neither is: at `owner`.
void read_program(Fields& fields, const Reader& reader, const Value& owner, bool optional,
                  std::vector<Template>& command, Template& script);

/// Checks the name of a task, service, environment or of the workflow: it is part of paths, ids and variables.
bool check_name(const Reader& reader, const Value& key, const std::string& name);

}  // namespace trireme::workflow
