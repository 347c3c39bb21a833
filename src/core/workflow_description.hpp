// A whole workflow, as the workflow file or the API gave it.
#pragma once

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
  std::vector<TaskDescription> tasks;
  std::vector<TaskFamily> families;  ///< more tasks: those with many instances
  bool stop_on_failure = false;      ///< `on_failure: stop`
  bool operator==(const WorkflowDescription&) const = default;
};

}  // namespace trireme
