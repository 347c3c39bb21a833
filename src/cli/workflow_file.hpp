// The workflow file as `run`, `validate` and `plan` take it.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/command.hpp"
#include "core/units.hpp"
#include "core/workflow_description.hpp"
#include "workflow/load.hpp"

namespace trireme::cli {

struct WorkflowArguments {
  std::string file;
  std::vector<std::string> settings;  ///< of --set
  std::optional<double> time_scale;
};

/// FILE, --set and --time-scale.
void add_workflow_arguments(CLI::App& command, WorkflowArguments& arguments);

/// What --launcher takes.
std::vector<std::string> launcher_names();

/// Every error on a line of its own, and how many there are.
Error as_error(const std::string& file, const std::vector<Diagnostic>& errors);

/// Loads the file; its warnings and errors are said, and an Error means that it cannot be used. `runtimes` gets how long each
/// task takes, where the file says it.
Result<WorkflowDescription> load(const WorkflowArguments& arguments, Context& context,
                                 std::vector<Duration>* runtimes = nullptr);

}  // namespace trireme::cli
