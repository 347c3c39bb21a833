// The launch method `pmix`: Open MPI and PMIx programs, wired up by our own PMIx servers.
//
// An agent with ranks of a task asks the agent that acts for its host (host.hpp; perhaps itself) to open the task's namespace, is
// told what the ranks find in their environment, and closes it when they are gone. Belongs to the agent's loop.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <map>

#include "launch/pmix/host.hpp"
#include "node/launch_method.hpp"

namespace trireme::pmix {

class PmixLaunch final : public LaunchMethod {
 public:
  explicit PmixLaunch(const LaunchContext& context) : context_(context), host_(context_) {}

  std::string_view name() const override { return "pmix"; }
  void prepare(const LaunchPart& part, MpiKind kind, LaunchEvents events) override;
  void rank_left(LaunchId attempt, std::uint32_t rank) override;
  void release(LaunchId attempt) override;
  void on_message(Rank from, wireup::Message& message) override;
  void on_rank_lost(Rank rank) override;
  void close() override { host_.close(); }

 private:
  struct Attempt {
    Rank host = 0;  ///< the agent that acts for this host
    LaunchEvents events;
    std::unique_ptr<boost::asio::steady_timer> deadline;  ///< until it is opened
  };

  void on_opened(wireup::NamespaceOpened& opened);
  void on_broken(const wireup::AttemptBroken& broken);
  RankWiring wiring_of(const std::vector<std::string>& entries) const;

  LaunchContext context_;
  Host host_;
  std::map<LaunchId, Attempt> attempts_;
};

}  // namespace trireme::pmix
