// One life of one replica of a service, on the node of its rank 0.
//
//   provision -> preparing -> starting (probed until it answers) -> ready -> draining -> ending -> over
//
// Its processes are a group (rank_group.hpp) with rank 0 among them; where it has ranks on other nodes, their agents are told
// where this is (replica_part.hpp). It is ready when its probe is content, its processes live, and the one who listens on its
// port is of rank 0's process tree: a stranger's server on that port would answer as happily. If a stranger is found there, a
// replica of one rank is started again with another port, which the pilot does not notice. While it is ready its liveness is
// probed if the service asks for that. When it ends without having been asked to, its ReplicaEnded tells why, with the end of its
// log. Belongs to the agent's loop.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "node/node_context.hpp"
#include "node/probe.hpp"
#include "node/rank_group.hpp"
#include "node/replica_plan.hpp"

namespace trireme {

class Replica final : public std::enable_shared_from_this<Replica> {
 public:
  using Over = std::function<void(ReplicaEnded)>;

  /// `over` is called once, as the last thing.
  Replica(NodeContext& node, StartReplica order, Over over);
  ~Replica();

  void start();
  /// Drains it first where it is ready, unless it is given no time. May be called again to give it less.
  void stop(Drain drain);
  /// Ends it: the run is over.
  void end_now();

 private:
  enum class Phase { provision, preparing, starting, ready, draining, ending, over };
  struct Timers;

  Status choose_ports();
  void tell_others();
  void prepare_start();
  Status watch_output(const std::string& path);
  void start_processes(ReplicaPlan plan);
  void started(const spawner::Started& report, const std::string& launch);
  void ending();
  void processes_over(GroupEnd over);

  ListenAddress address() const;
  bool sees_listener() const;
  void probe();
  void on_probed(const std::optional<std::string>& why_not);
  void become_ready();
  void watch();
  void on_watched(const std::optional<std::string>& why_not);
  std::unique_ptr<Look> look(Probe::Kind kind, const std::string& argument, Duration deadline, Look::Callback callback);

  bool may_take_another_port() const;
  void take_another_port(const std::string& why);
  void give_up(std::string why);
  void end_processes();
  void close_to_requests();
  void quiet();
  void fail(const std::string& why);
  void add_words_of_logs(const GroupEnd& over);
  void finish();

  NodeContext& node_;
  const StartReplica order_;
  const ServiceDescription& service_;
  Over over_;
  Phase phase_ = Phase::provision;
  std::unique_ptr<Timers> timers_;
  std::stop_source stop_;  ///< for file work

  const bool uses_port_;
  ReplicaValues values_;
  Provision provision_;
  std::shared_ptr<RankGroup> group_;
  pid_t pid_ = 0;  ///< of rank 0; 0 until it runs
  std::uint32_t starts_ = 0;
  bool told_started_ = false;
  bool asked_to_end_ = false;
  bool was_ready_ = false;
  bool was_starting_ = false;       ///< when it began to end
  bool another_port_ = false;       ///< it is being ended to be started with another port
  std::optional<std::string> why_;  ///< we are ending it because it does not do what it should

  std::string probe_argument_;
  std::string watch_argument_;
  std::shared_ptr<GrowingFile> output_;
  std::unique_ptr<Look> look_;
  std::string last_answer_;  ///< why the last look was not content
  MonoTime started_at_ = 0;
  std::uint32_t failures_ = 0;
  AttemptEnd end_;
};

}  // namespace trireme
