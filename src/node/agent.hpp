// The agent of a node: carries out what the pilot orders and reports what becomes of it.
//
// It lives on the rank's event loop and never blocks it: processes are the spawner's, file work the FileWorker's, probes
// asynchronous. Each order is an object of its own (TaskAttempt, Replica) that is here while it lives; the agent starts them,
// finds them again, and ends them all. For each StartTask there is exactly one TaskEnded, or, if it was sent ahead and never
// started, one TasksReturned; for each StartReplica exactly one ReplicaEnded, and after AgentDone nothing.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/description.hpp"
#include "core/ids.hpp"
#include "core/messages.hpp"
#include "core/run_info.hpp"
#include "node/attempt.hpp"
#include "node/node_context.hpp"
#include "node/process_spawner.hpp"
#include "node/topology.hpp"

namespace trireme {

struct AgentOptions {
  RunInfo run;
  Rank rank = 0;
  std::string host;                               ///< this host's name
  std::optional<Hosts> hosts;                     ///< which ranks share which host; none: this rank is alone
  NodeResources node;                             ///< what this rank may use
  std::string proxy_url;                          ///< of this node's proxy, http://127.0.0.1:PORT
  std::string proxy_socket;                       ///< path of its unix socket
  std::filesystem::path tmp_folder;               ///< the rank's private one (tmp_folder.hpp), which outlives the agent
  std::vector<std::string> base_environment;      ///< NAME=value, scrubbed (spawner/environment.hpp)
  std::vector<std::string> launcher_environment;  ///< NAME=value, what the scrubbing took away
  std::vector<EnvironmentDescription> environments;
  AttemptMaker make_attempt;  ///< null: a TaskAttempt
};

class Agent {
 public:
  Agent(boost::asio::io_context& loop, AgentOptions options, AgentHooks hooks, SpawnerFactory spawner);
  /// Ends what still runs, within a short grace, for which it waits.
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  /// Starts the spawner and sends NodeJoined.
  Status start();
  void on_message(ToAgent message);
  /// What another agent gave to its send_peer.
  void on_peer_message(Rank from, std::string_view message);
  void on_rank_lost(Rank rank);
  /// Makes an environment known that was not in the options; before the first task that names it.
  void define_environment(EnvironmentDescription environment);
  /// The pilot is heard: everything is ended unless it is heard again in time.
  void renew_lease(std::chrono::milliseconds duration);
  /// What ShutdownAgent does: ends everything, sends what became of it, and then AgentDone.
  void shutdown();
  bool done() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace trireme
