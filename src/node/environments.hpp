// The workflow's environments on this node: each is made once, when the first task names it, and its variables are kept.
//
// bash runs the setup in the workflow's folder and then writes its variables to a file; what differs from before is the
// environment. Tasks that name it meanwhile wait. A setup that fails, or calls exit, fails every task that names it, with the
// end of its output; that it was cut short by the loss of the spawner is not kept, so the next task tries again.
// Belongs to the rank's event loop.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/description.hpp"
#include "core/result.hpp"
#include "node/file_worker.hpp"
#include "node/processes.hpp"
#include "node/variables.hpp"

namespace trireme {

class Environments {
 public:
  using Made = std::shared_ptr<const VariableChanges>;
  using Callback = std::function<void(Result<Made>)>;

  struct Options {
    Variables base;                    ///< what setups start from
    std::filesystem::path log_folder;  ///< NAME.log is what a setup printed
    std::filesystem::path tmp_folder;
    std::filesystem::path workflow_dir;  ///< where setups run
    Template::Lookup lookup;             ///< of placeholders in a setup
  };

  Environments(Processes& processes, FileWorker& files, Options options);
  ~Environments();
  Environments(const Environments&) = delete;
  Environments& operator=(const Environments&) = delete;

  /// Makes the name known; a description that is known already stays.
  void define(EnvironmentDescription description);
  /// Calls back, at once if it is known how it came out.
  void get(const std::string& name, Callback callback);
  /// Ends setups that are running; who waits for them hears that it failed.
  void stop(std::chrono::milliseconds grace);

 private:
  class Setup;

  Processes& processes_;
  FileWorker& files_;
  Options options_;
  std::map<std::string, std::shared_ptr<Setup>, std::less<>> setups_;
};

}  // namespace trireme
