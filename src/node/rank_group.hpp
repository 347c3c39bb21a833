// The ranks of an attempt at a task, or of a replica, that run on this node: processes that start together and end together.
//
//   wiring (the launch method) -> running -> over
//
// Each rank is a process of its own. The first that does not end well, or the launch method where it says that they cannot go
// on, decides how the group has ended, and the others are stopped. Of a group that is to last, as a server is, none ends well
// before it is told to. `over` is called once, when all processes are gone, or never came to be. Belongs to the agent's loop;
// its owner keeps it until then.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/states.hpp"
#include "core/units.hpp"
#include "node/node_context.hpp"

namespace trireme {

/// How a group has ended: as its first rank that did not end well, with the times and the usage of all.
struct GroupEnd {
  AttemptEnd end;
  std::optional<spawner::Ended> report;  ///< of the process that decided; none where no process's end did
  std::string stdout_path;               ///< of the rank whose failure it was, or empty
  std::string stderr_path;
};

class RankGroup final : public ProcessOwner, public std::enable_shared_from_this<RankGroup> {
 public:
  struct Options {
    LaunchPart part;
    ChosenMethod method;
    Duration timeout{0};  ///< as the ranks' Spawn has it
    bool lasting = false;
  };
  struct Events {
    std::function<void(std::uint32_t rank, const spawner::Started& report)> started;  ///< of each rank
    std::function<void()> ending;  ///< one did not end well, and the others are being ended
    std::function<void(GroupEnd end)> over;
  };

  RankGroup(NodeContext& node, Options options, Events events);

  /// `ranks` are those of the part, in order; their Spawn has all but its env and what the method adds.
  void start(std::vector<RankProcess> ranks);
  /// The end is `cancelled`, with this reason, unless the group has ended by itself before.
  void stop(const std::string& reason);
  /// The processes here are those of another launcher, which started the ranks somewhere below it.
  bool started_elsewhere() const { return started_elsewhere_; }

  void on_process_started(ProcessId id, const spawner::Started& report) override;
  void on_process_failed(ProcessId id, const spawner::Failed& report) override;
  void on_process_ended(ProcessId id, const spawner::Ended& report) override;
  void on_process_lost(ProcessId id, const Error& why) override;

 private:
  enum class Phase { wiring, running, over };
  struct Running {
    std::uint32_t rank;
    std::string stdout_path;
    std::string stderr_path;
  };

  void run(std::vector<RankWiring> wiring);
  void blame(const Running& process);
  void process_over(ProcessId id, AttemptEnd end, const spawner::Ended* report);
  void add_usage(const Usage& usage);
  void broken(const LaunchTrouble& trouble);
  void end_badly(AttemptEnd end, std::optional<std::uint32_t> culprit);
  void stop_all();
  void finish();

  NodeContext& node_;
  const Options options_;
  Events events_;
  Phase phase_ = Phase::wiring;
  std::vector<RankProcess> ranks_;  ///< until they run
  std::map<ProcessId, Running> running_;
  std::optional<std::string> stopped_;  ///< why
  bool decided_ = false;                ///< how it ends
  bool ending_ = false;                 ///< the processes have been told to stop
  bool any_started_ = false;
  bool started_elsewhere_ = false;
  GroupEnd end_;
};

}  // namespace trireme
