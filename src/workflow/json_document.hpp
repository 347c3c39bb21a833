// JSON as the same small tree that a YAML file is read into, and that tree as JSON.
//
// JSON is YAML too, but a program that submits thousands of tasks should not pay for YAML's reader. Bounded like
// document.hpp: depth and size; duplicate keys are errors. There are no positions: the key path is the place.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "workflow/document.hpp"

namespace trireme::workflow {

/// The document in `text`, or nothing after an error that leaves none.
std::optional<Node> read_json(std::string_view text, Diagnostics& diagnostics);

/// The tree as JSON: unquoted numbers, true, false and null are such, everything else is text.
std::string to_json(const Node& node);

}  // namespace trireme::workflow
