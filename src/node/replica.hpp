// One life of one replica of a service on this node.
//
//   environment -> resources -> preparing -> starting (probed until it answers) -> ready -> draining -> ending -> over
//
// It is ready when its probe is content, its process lives, and the one who listens on its port is of its process tree: a
// stranger's server on that port would answer as happily. If a stranger is found there, the replica is started again with
// another port, which the pilot does not notice. While it is ready its liveness is probed if the service asks for that. When it
// ends without having been asked to, its ReplicaEnded tells why, with the end of its log. Belongs to the agent's loop.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "node/node_context.hpp"
#include "node/probe.hpp"
#include "node/workplace.hpp"

namespace trireme {

class Replica final : public ProcessOwner, public std::enable_shared_from_this<Replica> {
 public:
  using Over = std::function<void(ReplicaEnded)>;

  /// `over` is called once, as the last thing.
  Replica(NodeContext& node, StartReplica request, Over over);
  ~Replica();

  void start();
  /// Drains it first where it is ready.
  void stop();
  /// Ends it at once: the run is over.
  void end_now();

  void on_process_started(ProcessId id, const spawner::Started& report) override;
  void on_process_failed(ProcessId id, const spawner::Failed& report) override;
  void on_process_ended(ProcessId id, const spawner::Ended& report) override;
  void on_process_lost(ProcessId id, const Error& why) override;

 private:
  enum class Phase { environment, resources, preparing, starting, ready, draining, ending, over };
  struct Timers;

  void ask_for_resources();
  void prepare_start();
  void start_process(spawner::Spawn spawn);
  Result<spawner::Spawn> plan();
  Template::Lookup lookup() const;
  bool mentioned(std::string_view name) const;

  void probe();
  void on_probed(const std::optional<std::string>& why_not);
  void become_ready();
  void watch();
  void on_watched(const std::optional<std::string>& why_not);
  std::unique_ptr<Look> look(Probe::Kind kind, const std::string& argument, Duration deadline, Look::Callback callback);

  void take_another_port(const std::string& why);
  void give_up(std::string why);
  void end_process();
  void close_to_requests();
  void quiet();
  void fail(const std::string& why);
  void fail_with_log(AttemptEnd end);
  void finish();

  NodeContext& node_;
  const StartReplica request_;
  const ServiceDescription& service_;
  Over over_;
  Phase phase_ = Phase::environment;
  std::unique_ptr<Timers> timers_;
  std::stop_source stop_;

  std::filesystem::path folder_;
  std::filesystem::path scratch_;
  bool uses_port_ = false;
  ListenAddress address_;
  std::string key_;
  Environments::Made changes_;
  ResourceQueue::Ticket ticket_ = 0;
  std::vector<Allocation> allocations_;
  Preparation preparation_;

  ProcessId process_ = 0;
  pid_t pid_ = 0;
  std::uint32_t starts_ = 0;
  bool told_started_ = false;
  bool asked_to_end_ = false;
  bool was_ready_ = false;
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
