// `function:` and `args:` of a task: a call in a warm executor instead of a command (docs/spec/functions.md).
#pragma once

#include "core/description.hpp"
#include "workflow/reader.hpp"

namespace trireme::workflow {

/// Reads `function` and `args`, where the task has a function: tasks whose results are arguments are added to `after`. Reports
/// keys that a function cannot have. False where the task has none.
bool read_function(Fields& fields, const Reader& reader, TaskDescription& task);

}  // namespace trireme::workflow
