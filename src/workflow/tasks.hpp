// `tasks:` into families of tasks.
//
// A task with a `foreach` is read once for all of its instances, with the variables left open in its texts. Where anything else
// in it asks for the value of a variable, or a text whose meaning is looked at here does, it is read once for each instance
// instead, and each is a family of its own. What comes of it is the same, but for what it costs. Each reading says by itself what
// it needs of variables, and without a word it needs their values (Need in scope.hpp): so a new key is right before it is cheap.
#pragma once

#include <vector>

#include "core/task_family.hpp"
#include "workflow/reader.hpp"

namespace trireme::workflow {

/// Where the tasks of a family came from, for messages about what it refers to. Null where the file has no such key.
struct TaskOrigin {
  const Node* task = nullptr;
  const Node* after = nullptr;
  const Node* services = nullptr;
  const Node* environment = nullptr;
};

struct Tasks {
  std::vector<TaskFamily> all;
  std::vector<TaskOrigin> origins;  ///< of each
};

/// Reads all tasks; more than `most` are an error. References to other parts of the file are not checked here.
Tasks read_tasks(const Value& section, Parameters& parameters, std::string_view workflow_dir, std::size_t most,
                 Diagnostics& diagnostics);

/// `output`, of a task or of all.
void read_output(Fields& fields, OutputMode& out);

}  // namespace trireme::workflow
