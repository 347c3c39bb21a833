// The parameters of a workflow: what the file says, and what --set puts in its place.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "workflow/document.hpp"
#include "workflow/scope.hpp"

namespace trireme::workflow {

/// Reads `parameters:` (null where the file has none) and applies `settings`, each "NAME=VALUE".
Parameters read_parameters(const Node* map, const std::vector<std::string>& settings, std::string_view workflow_dir,
                           Diagnostics& diagnostics);

/// Warns of parameters that no text used. For the end of the reading.
void warn_of_unused(const Parameters& parameters, Diagnostics& diagnostics);

}  // namespace trireme::workflow
