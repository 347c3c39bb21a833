// What a run is given while it is on: tasks and services as JSON, with the keys of the workflow file and under the same checks
// (docs/spec/http.md, "/runtime/tasks").
//
// Tasks are a map of names, as in the file, or a list whose entries may have `name` and `id`. Errors name the key path.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/description.hpp"
#include "workflow/diagnostic.hpp"
#include "workflow/references.hpp"

namespace trireme {

struct Submission {
  std::vector<TaskDescription> tasks;
  std::vector<ServiceDescription> services;
  std::uint64_t unnamed = 0;  ///< tasks that were given a number for a name
  std::string text;           ///< as JSON again, with the ids of unnamed tasks written out
  std::vector<Diagnostic> errors;
  bool ok() const { return errors.empty(); }
};

/// Reads the `tasks` and `services` of a JSON text. `beyond` is what they may refer to in the run; an unnamed task is called
/// "task" with the id "task[N]", counted from `next_number`.
Submission load_submission(std::string_view json, std::string_view workflow_dir, const workflow::Beyond& beyond,
                           std::uint64_t next_number = 0);

/// A YAML or JSON text as JSON; the diagnostics of what is no such text.
struct JsonText {
  std::string json;
  std::vector<Diagnostic> errors;
};
JsonText json_of_document(std::string_view text, const std::string& file);

}  // namespace trireme
