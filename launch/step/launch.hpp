// Launch methods whose ranks another launcher starts: one step per task, of srun's, mpiexec's, or of a PMIx runtime (launch/dvm).
//
// Each agent starts, for each of its ranks, a holder (shim.cpp) that stands for it; the agent of the first ranks also starts the
// launcher, which starts the shim once for each rank where the scheduler has put it. Holder and shim find each other on their node by
// the attempt's name, so nothing passes between agents, and a rank's life is its holder's. What the launchers differ in is a function
// that makes the launcher's command. Belongs to the agent's loop.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "launch/step/commands.hpp"
#include "node/launch_method.hpp"

namespace trireme::step {

struct StepRequest {
  std::string name;  ///< of the attempt, for files: "step-7-0"
  Placement placement;
  std::vector<std::string> rank;  ///< what is to be started as each rank
};

/// The launcher's process.
struct StepCommand {
  std::vector<std::string> argv;
  Variables variables;
  bool ends_with_ranks = true;  ///< by itself; else it is ended when those here are gone
};
using StepStarter = Result<StepCommand> (*)(const LaunchContext& context, StepRequest request);

Result<StepCommand> start_by_srun(const LaunchContext& context, StepRequest request);
Result<StepCommand> start_by_mpiexec(const LaunchContext& context, StepRequest request);

class StepLaunch final : public LaunchMethod {
 public:
  StepLaunch(const LaunchContext& context, std::string_view name, StepStarter starter);
  ~StepLaunch() override;

  std::string_view name() const override { return name_; }
  void prepare(const LaunchPart& part, MpiKind kind, LaunchEvents events) override;
  void release(LaunchId attempt) override;
  void close() override;

 private:
  class Attempt;

  LaunchContext context_;
  std::string name_;
  StepStarter starter_;
  std::map<LaunchId, std::shared_ptr<Attempt>> attempts_;
  /// Launchers whose ranks here are gone, until they are gone themselves.
  std::map<LaunchId, std::shared_ptr<Attempt>> ending_;
};

}  // namespace trireme::step
