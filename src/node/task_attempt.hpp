// One attempt at a task, as far as it runs on this node.
//
//   provision -> preparing (folder, inputs) -> running (rank_group.hpp) -> storing (what was written, outputs)
//   -> over
//
// Cores and GPUs are given back when the processes are gone, before outputs are stored. A cancel ends the attempt in whatever
// state it is; file work under way is told to stop and waited for. Where output is not kept in files, an attempt that
// ended well leaves no file of ours, and no folder unless the task has left something in it. Belongs to the agent's loop.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "node/attempt.hpp"
#include "node/node_context.hpp"
#include "node/provision.hpp"
#include "node/rank_group.hpp"
#include "node/workplace.hpp"

namespace trireme {

class TaskAttempt final : public Attempt, public std::enable_shared_from_this<TaskAttempt> {
 public:
  TaskAttempt(NodeContext& node, StartTask part, Over over);
  /// File work under way is told to stop.
  ~TaskAttempt() override;
  TaskAttempt(const TaskAttempt&) = delete;
  TaskAttempt& operator=(const TaskAttempt&) = delete;

  void start() override;
  void cancel(const std::string& reason) override;

 private:
  enum class Phase { provision, preparing, running, storing, over };

  void plan();
  Status plan_files();
  Status plan_processes();
  Template::Lookup lookup(std::uint32_t rank) const;
  Result<std::string> output_path(const Template& named, bool is_stderr, std::uint32_t rank);
  Status add_moves(const std::vector<Staging>& stagings, bool outputs, std::vector<FileMove>& moves);
  void run();
  void started(const spawner::Started& report);
  std::size_t last_words_bytes() const;
  void add_last_words(const std::string& words);
  void processes_over(GroupEnd end);
  void written(const Status& kept);
  void store();
  void tidy() const;
  void fail(const Error& error);
  void finish();

  NodeContext& node_;
  const StartTask part_;
  Over over_;
  Phase phase_ = Phase::provision;
  std::stop_source stop_;  ///< for file work
  std::optional<std::string> cancelled_;

  std::filesystem::path folder_;
  std::filesystem::path scratch_;  ///< empty where no template names it
  ChosenMethod method_;
  const OutputMode output_;  ///< never `inherit`
  OutputCollector::Streams streams_;
  Provision provision_;
  Preparation preparation_;
  std::vector<FileMove> outputs_;
  std::vector<RankProcess> ranks_;  ///< until they run
  std::shared_ptr<RankGroup> group_;

  std::string last_words_;  ///< the stderr of the rank that ended the attempt, whose end goes into the reason
  bool told_started_ = false;
  AttemptEnd end_;
};

}  // namespace trireme
