// The launch method `pmi`: MPICH tasks, which we speak PMI-1 to, without hydra.
//
// Each rank is born with a connection to its agent at descriptor 3 (PMI_FD). The agent of each node serves its own ranks; at a
// barrier the agents of the task exchange what the ranks have put. Belongs to the agent's loop.
#pragma once

#include <map>
#include <memory>

#include "node/launch_method.hpp"

namespace trireme::pmi {

class PmiLaunch final : public LaunchMethod {
 public:
  explicit PmiLaunch(const LaunchContext& context);
  ~PmiLaunch() override;

  std::string_view name() const override { return "pmi"; }
  void prepare(const LaunchPart& part, MpiKind kind, LaunchEvents events) override;
  void rank_left(LaunchId attempt, std::uint32_t rank) override;
  void release(LaunchId attempt) override;

 private:
  class Attempt;
  LaunchContext context_;
  std::map<LaunchId, std::shared_ptr<Attempt>> attempts_;
};

}  // namespace trireme::pmi
