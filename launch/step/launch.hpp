// The launch methods `srun` and `mpiexec`: a task's ranks are started by the site's own launcher, one step per task.
//
// Each agent starts, for each of its ranks, a holder (shim.cpp) that stands for it; the agent of the first ranks also starts the
// launcher, which starts the shim once for each rank where the scheduler has put it. Holder and shim find each other on their node by
// the attempt's name, so nothing passes between agents, and a rank's life is its holder's. Belongs to the agent's loop.
#pragma once

#include <map>
#include <memory>

#include "launch/step/commands.hpp"
#include "node/launch_method.hpp"

namespace trireme::step {

enum class Launcher : bool { srun, mpiexec };

class StepLaunch final : public LaunchMethod {
 public:
  StepLaunch(const LaunchContext& context, Launcher launcher);
  ~StepLaunch() override;

  std::string_view name() const override { return launcher_ == Launcher::srun ? "srun" : "mpiexec"; }
  /// Only where it is asked for: what needs no launcher is tens of times faster without one.
  bool fits(MpiKind) const override { return false; }
  void prepare(const StartTask& part, MpiKind kind, LaunchEvents events) override;
  void release(AttemptId attempt) override;
  void close() override;

 private:
  class Attempt;

  LaunchContext context_;
  Launcher launcher_;
  std::map<AttemptId, std::shared_ptr<Attempt>> attempts_;
  /// Launchers whose ranks here are gone, until they are gone themselves.
  std::map<AttemptId, std::shared_ptr<Attempt>> ending_;
};

}  // namespace trireme::step
