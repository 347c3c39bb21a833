// The workflow file: from YAML to descriptions that are checked as far as that is possible without a machine.
//
// docs/spec/workflow.md is the contract. Everything that is wrong is reported at once, each with file, line, column and key.
// A text that no machine could read (10,000 levels deep, aliases that explode) is an error like any other.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/units.hpp"
#include "core/workflow_description.hpp"
#include "workflow/diagnostic.hpp"

namespace trireme {

struct LoadResult {
  WorkflowDescription workflow;  ///< complete only without errors
  std::vector<Diagnostic> errors;
  std::vector<Diagnostic> warnings;
  std::vector<Duration> runtimes;  ///< of a replay: how long each of its tasks takes

  bool ok() const { return errors.empty(); }
};

/// Loads a workflow file. Each of `settings` is a "NAME=VALUE" of --set.
/// An instance in WfFormat, known by its content, becomes its replay, `time_scale` times as long as it once was.
LoadResult load_workflow(const std::filesystem::path& file, const std::vector<std::string>& settings = {},
                         std::optional<double> time_scale = {});

/// Loads a workflow from a text. `file` is its name in messages; `directory`, an absolute path, is its {workflow_dir}. More than
/// `most_tasks` tasks are an error.
LoadResult load_workflow_text(std::string_view text, const std::string& file, const std::filesystem::path& directory,
                              const std::vector<std::string>& settings = {},
                              std::size_t most_tasks = defaults::workflow_tasks);

/// For `validate --json`: {"valid": …, "errors": […], "warnings": […]}, each entry with file, line, column, key, message,
/// expected, hint, and text, which is all of it on one line.
std::string diagnostics_json(const LoadResult& result);

}  // namespace trireme
