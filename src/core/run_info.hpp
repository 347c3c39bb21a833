// What every rank knows of the run that it takes part in. Rank 0 makes it; it is broadcast once at the start.
#pragma once

#include <string>
#include <vector>

#include "core/description.hpp"

namespace trireme {

struct RunInfo {
  std::string run_id;                                ///< unique; carried as TRIREME_RUN_ID by every process of the run
  std::string name;                                  ///< of the workflow
  std::string run_dir;                               ///< absolute path, seen by all nodes
  std::string workflow_dir;                          ///< absolute path of the workflow file's folder
  std::string inference_token;                       ///< OPENAI_API_KEY of tasks: opens the models
  std::string control_token;                         ///< TRIREME_TOKEN of tasks: opens /runtime too
  std::vector<EnvironmentDescription> environments;  ///< of the workflow
  std::string launcher = "auto";                     ///< the launch method for MPI tasks, or auto
  std::string dvm_uri;                               ///< of a PMIx runtime for the method `dvm`, or empty
  OutputMode output = OutputMode::files;             ///< of tasks that do not say their own; never `inherit`
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(run_id, name, run_dir, workflow_dir, inference_token, control_token, environments, launcher, dvm_uri,
            output);
  }
};

}  // namespace trireme
