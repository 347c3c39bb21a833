// The ranks of a replica on a node other than that of its rank 0.
//
//   provision -> head (until rank 0's node has told where that is) -> preparing -> running (rank_group.hpp) -> over
//
// Nobody sends them requests: rank 0 is probed, and answers (replica.hpp). They run until they are told to end; if one ends
// before, the others here are ended, ReplicaEnded tells why, with the end of its log, and the pilot ends the whole replica. It waits for the head as long as
// the pilot lets it: that knows whether the head's node still lives. Belongs to the agent's loop.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <stop_token>

#include "node/node_context.hpp"
#include "node/rank_group.hpp"
#include "node/replica_plan.hpp"

namespace trireme {

class ReplicaPart final : public std::enable_shared_from_this<ReplicaPart> {
 public:
  using Over = std::function<void(ReplicaEnded)>;

  /// `over` is called once, as the last thing.
  ReplicaPart(NodeContext& node, StartReplica order, Over over);

  void start();
  void on_head(wireup::HeadAddress head);
  void end_now();

 private:
  enum class Phase { provision, head, preparing, running, over };

  void prepare_start();
  void run(ReplicaPlan plan);
  void processes_over(GroupEnd over);
  void fail(const std::string& why);
  void finish();

  NodeContext& node_;
  const StartReplica order_;
  Over over_;
  Phase phase_ = Phase::provision;
  std::stop_source stop_;  ///< for file work
  ReplicaValues values_;
  bool knows_head_ = false;
  bool asked_to_end_ = false;
  Provision provision_;
  std::shared_ptr<RankGroup> group_;
  AttemptEnd end_;
};

}  // namespace trireme
