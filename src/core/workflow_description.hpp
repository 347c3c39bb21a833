// A workflow as a whole, as its file says it or a program made it: what a run is given at its beginning.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/description.hpp"
#include "core/task_family.hpp"

namespace trireme {

struct WorkflowDescription {
  std::string name;
  std::string directory;  ///< absolute path of the workflow file's folder: {workflow_dir}
  std::vector<EnvironmentDescription> environments;
  std::vector<ServiceDescription> services;
  std::vector<TaskFamily> tasks;            ///< those of a `foreach` together, where they differ in nothing but texts
  bool stop_on_failure = false;             ///< `on_failure: stop`
  OutputMode output = OutputMode::inherit;  ///< of tasks that do not say their own
  bool operator==(const WorkflowDescription&) const = default;

  std::uint64_t task_count() const {
    std::uint64_t count = 0;
    for (const TaskFamily& family : tasks) count += family.size();
    return count;
  }
};

}  // namespace trireme
