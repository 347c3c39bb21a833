// What the ranks of a replica are started with: their command lines, environments and files, out of the templates of its
// service and what is known of where it is. Made on the agent's loop, without I/O.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "launch/wireup/messages.hpp"
#include "node/node_context.hpp"
#include "node/provision.hpp"
#include "node/workplace.hpp"

namespace trireme {

/// The values of templates that are not the same for all replicas.
struct ReplicaValues {
  wireup::HeadAddress head;       ///< as rank 0's node has chosen it
  std::filesystem::path folder;   ///< of this life
  std::filesystem::path scratch;  ///< on this node; empty where no template names it
};

struct ReplicaPlan {
  Preparation preparation;
  std::vector<RankProcess> ranks;  ///< those that run here
  ChosenMethod method;
  std::string ready_argument;  ///< of the probes
  std::string live_argument;
};

/// `append`: to the logs of an earlier start of the same life.
Result<ReplicaPlan> plan_replica(NodeContext& node, const StartReplica& order, const Provision& provision,
                                 const ReplicaValues& values, bool append);

/// Whether a template of the service names this.
bool mentions(const ServiceDescription& service, std::string_view name);
/// The folder of this life in which its logs are, and the scratch folder on this node; that is empty where nothing names it.
ReplicaValues replica_values(const NodeContext& node, const StartReplica& order);

/// Why a replica ends that was asked to.
inline constexpr std::string_view stopped_on_request = "stopped on request";
/// What is told of a replica's end here; its scratch folder goes.
AttemptEnd finished(const NodeContext& node, const ReplicaValues& values, AttemptEnd end, bool was_asked);

/// "; the end of its stderr: …": of the first of these logs that has a text. Blocks.
std::string words_of_logs(const std::vector<std::filesystem::path>& logs);

}  // namespace trireme
