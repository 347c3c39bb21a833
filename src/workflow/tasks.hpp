// `tasks:` into TaskDescriptions.
#pragma once

#include <unordered_map>
#include <vector>

#include "core/description.hpp"
#include "workflow/reader.hpp"

namespace trireme::workflow {

/// Where a task came from, for messages about what it refers to. Null where the file has no such key.
struct TaskOrigin {
  const Node* task = nullptr;
  const Node* after = nullptr;
  const Node* services = nullptr;
  const Node* environment = nullptr;
};

struct Tasks {
  std::vector<TaskDescription> all;
  std::vector<TaskOrigin> origins;  ///< of each
};

/// Reads all tasks, every instance of them; more than `most` are an error. References to other parts of the file are not checked here.
Tasks read_tasks(const Value& section, Parameters& parameters, std::string_view workflow_dir, std::size_t most,
                 Diagnostics& diagnostics);

/// `output`, of a task or of all.
void read_output(Fields& fields, OutputMode& out);

}  // namespace trireme::workflow
