// One attempt at a task, as far as it runs on this node.
//
//   environment -> resources -> preparing (folder, inputs) -> wiring (launch method) -> running -> storing (what was
//   written, outputs) -> over
//
// Ranks of one part run as processes of their own; the part is over when all of them have ended, and when one fails, or the
// launch method says that they cannot go on, the others are stopped. The first culprit is the one that is named. Cores and GPUs are given back when the processes are gone, before outputs are stored. A cancel ends the attempt in
// whatever state it is; file work under way is told to stop and waited for. Where output is not kept in files, an attempt that
// ended well leaves no file of ours, and no folder unless the task has left something in it. Belongs to the agent's loop.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "node/attempt.hpp"
#include "node/node_context.hpp"
#include "node/workplace.hpp"

namespace trireme {

class TaskAttempt final : public Attempt, public ProcessOwner, public std::enable_shared_from_this<TaskAttempt> {
 public:
  TaskAttempt(NodeContext& node, StartTask part, Over over);
  /// File work under way is told to stop.
  ~TaskAttempt() override;
  TaskAttempt(const TaskAttempt&) = delete;
  TaskAttempt& operator=(const TaskAttempt&) = delete;

  void start() override;
  void cancel(const std::string& reason) override;

  void on_process_started(ProcessId id, const spawner::Started& report) override;
  void on_process_failed(ProcessId id, const spawner::Failed& report) override;
  void on_process_ended(ProcessId id, const spawner::Ended& report) override;
  void on_process_lost(ProcessId id, const Error& why) override;

 private:
  enum class Phase { environment, resources, preparing, wiring, running, storing, over };

  void ask_for_resources();
  void plan();
  Status plan_files();
  Status plan_processes();
  Template::Lookup lookup(std::uint32_t rank) const;
  Result<std::string> output_path(const Template& named, bool is_stderr, std::uint32_t rank);
  Status add_moves(const std::vector<Staging>& stagings, bool outputs, std::vector<FileMove>& moves);
  void wire();
  void run(std::vector<RankWiring> wiring);
  void process_over(ProcessId id, AttemptEnd end);
  void add_usage(const Usage& usage);
  void broken(const LaunchTrouble& trouble);
  void end_badly(AttemptEnd end, std::optional<std::uint32_t> culprit);
  std::size_t last_words_bytes() const;
  void add_last_words(const std::string& words);
  void all_processes_over();
  void written(const Status& kept);
  void store();
  void tidy() const;
  void fail(const Error& error);
  void finish();

  NodeContext& node_;
  const StartTask part_;
  Over over_;
  Phase phase_ = Phase::environment;
  std::stop_source stop_;  ///< for file work
  std::optional<std::string> cancelled_;

  std::filesystem::path folder_;
  std::filesystem::path scratch_;  ///< empty where no template names it
  ChosenMethod method_;
  const OutputMode output_;  ///< never `inherit`
  OutputCollector::Streams streams_;
  Environments::Made changes_;
  ResourceQueue::Ticket ticket_ = 0;
  std::vector<Allocation> allocations_;  ///< one for each rank here
  Preparation preparation_;
  std::vector<FileMove> outputs_;
  std::vector<RankProcess> ranks_;

  struct Running {
    std::uint32_t rank;
    std::string stderr_path;
  };
  std::map<ProcessId, Running> running_;
  std::string last_words_;  ///< the stderr of the rank that ended the attempt, whose end goes into the reason
  bool ending_ = false;     ///< the processes have been told to stop
  bool told_started_ = false;
  AttemptEnd end_;
};

}  // namespace trireme
