// What attempts and replicas share of their node. Made and owned by the Agent, outlives them all; used on its loop only.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/messages.hpp"
#include "core/run_info.hpp"
#include "core/run_paths.hpp"
#include "launch/program.hpp"
#include "node/allocator.hpp"
#include "node/environments.hpp"
#include "node/file_worker.hpp"
#include "node/launch_method.hpp"
#include "node/output_collector.hpp"
#include "node/ports.hpp"
#include "node/processes.hpp"
#include "node/topology.hpp"
#include "node/variables.hpp"

namespace boost::asio {
class io_context;
}

namespace trireme {

/// What an agent calls; all on its loop.
struct AgentHooks {
  std::function<void(FromAgent message)> send;
  /// Take no new requests for that replica, and call `done` when those in flight are answered. The agent goes on without it
  /// when the service's drain time is over.
  std::function<void(ReplicaId replica, std::function<void()> done)> drain_replica;
  /// The names of the services known now, for the environment of tasks.
  std::function<std::vector<std::string>()> service_names;
  /// To the agent of another rank, for MPI tasks: arrives at its on_peer_message().
  std::function<void(Rank to, std::string message)> send_peer;
  /// Something that a person should know and that no message tells.
  std::function<void(const std::string& text)> warn;
};

struct NodeContext {
  boost::asio::io_context& loop;
  const AgentHooks& hooks;
  RunInfo run;
  RunPaths paths;
  Rank rank = 0;
  NodeResources node;
  std::string host;
  std::filesystem::path tmp_folder;
  ProxyAccess proxy;
  std::string python;  ///< folder of the Python module; empty where it was not found
  Variables base;
  Processes& processes;
  FileWorker& files;
  OutputCollector& output;
  ResourceQueue& resources;
  Environments& environments;
  PortPicker& ports;
  const Hosts& hosts;
  const LaunchMethods& methods;
  Surroundings surroundings;
  ProgramKinds& programs;
};

}  // namespace trireme
