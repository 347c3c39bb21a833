// The tasks of a run: their states, their attempts, and who waits for whom.
//
//   waiting --(all it comes after is done, its services are ready)--> ready --(placed)--> running --> done
//      |                                                               ^  |                  |
//      +--> skipped, cancelled                                         |  +--> cancelled,    +--> failed, cancelled
//                                                                      |       failed        |
//                                                                      +-- a retry is left --+
//
// An attempt has one part on each node that it runs on. The first part that does not end well decides how the attempt
// ended; the other parts are then cancelled, and the attempt is over when all have ended. A lost node ends its parts as
// `lost`; such an attempt counts, but uses up a retry only after defaults::node_losses of them.
//
// A ready task may be sent ahead of its turn to a node where others that ask for the same run (backlogs.hpp). It stays ready, and
// the log does not tell of it, until the agent says whose place it has taken: then it was placed there. To be cancelled or
// skipped it is called back first; if it has been started meanwhile, a cancel goes after it.
//
// What is asked at each step (a few words per task) is kept apart from the descriptions, which tasks of one family share and
// which are only read when an attempt starts. Nothing but `needs` scans all tasks.
#pragma once

#include <boost/container/small_vector.hpp>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/description.hpp"
#include "core/huge_pages.hpp"
#include "core/ids.hpp"
#include "core/messages.hpp"
#include "core/states.hpp"
#include "core/task_family.hpp"
#include "core/task_names.hpp"
#include "pilot/backlogs.hpp"
#include "pilot/fit.hpp"
#include "pilot/graph.hpp"
#include "pilot/output.hpp"
#include "pilot/scheduler.hpp"

namespace trireme::pilot {

/// What runs somewhere.
struct RunningPart {
  AttemptId id;
  Rank rank = 0;
};

struct TaskCounts {
  std::uint64_t total = 0;
  std::uint64_t done = 0;
  std::uint64_t failed = 0;
  std::uint64_t cancelled = 0;
  std::uint64_t skipped = 0;
  std::uint64_t running = 0;
  std::uint64_t retried = 0;  ///< attempts beyond the first
  std::uint64_t unfinished() const { return total - done - failed - cancelled - skipped; }
  bool operator==(const TaskCounts&) const = default;
};

class Tasks {
 public:
  /// Nodes are sent at most `backlog` attempts ahead of their turn; up to `backlog_most` if they run out of these.
  Tasks(Scheduler& scheduler, Output& output, std::uint32_t backlog, std::uint32_t backlog_most)
      : scheduler_(scheduler), output_(output), backlogs_(backlog, std::max(backlog, backlog_most)) {}

  /// Makes the name of a service known to tasks submitted from now on.
  void add_service(std::string_view name);

  /// Adds tasks that may refer to each other in any order. Nothing is added if a name is wrong;
  /// after an error about tasks that wait for each other this object is of no use any more.
  Status submit(std::vector<TaskFamily> families);
  /// A former run has done this task: it counts as done. False if there is no such task or it has
  /// started or ended.
  bool mark_done(std::string_view id);
  /// A former run has made that many attempts at this task: numbers go on from there, so that each keeps its own folder.
  void continue_attempts(std::string_view id, std::uint32_t made);
  Status cancel(TaskIndex task, const std::string& reason);

  /// Starts whatever can start, and fails what can never start any more.
  void start_ready();

  void on_started(Rank rank, const TaskStarted& started);
  void on_ended(Rank rank, const TaskEnded& ended);
  /// Changes nothing, but their ends will soon be told (core/prefetch.hpp).
  void fetch(std::span<const RunningPart> parts) const;
  /// Attempts that were sent ahead stand in line again.
  void on_returned(Rank rank, const TasksReturned& returned);
  /// The node is lost: it is told nothing any more, and what it runs becomes known later, with on_node_lost.
  void on_node_silent(Rank rank) { backlogs_.close(rank); }
  /// The scheduler no longer knows the node.
  void on_node_lost(Rank rank, const std::string& reason);
  void on_service_ready(ServiceIndex service);
  /// It has no ready replica at the moment: tasks submitted from now on wait.
  void on_service_unready(ServiceIndex service);
  /// It will never be ready again: tasks that name it and do not run yet are skipped, which is no failure where somebody has asked
  /// for the end of the service.
  void on_service_over(ServiceIndex service, bool asked_for, const std::string& reason);

  /// All that was sent ahead shall come back.
  void call_back_all();
  /// The run comes to its end: running attempts are asked to end, and tasks that come after them
  /// stay unfinished.
  void stop_running(const std::string& reason);
  /// Goes on without the answers of an agent, or of all: what still runs there counts as cancelled.
  void abandon(std::optional<Rank> rank, const std::string& reason);

  const TaskCounts& counts() const { return counts_; }
  /// Tasks that wait in the backlogs of nodes; they are among those that are ready.
  std::size_t sent_ahead() const { return backlogs_.size(); }
  /// Tasks that were running when the run was stopped, and are not done.
  std::uint64_t stopped() const { return stopped_; }
  /// "task train failed: exit code 3", of the first task that failed; empty if none did.
  const std::string& first_failure() const { return first_failure_; }
  /// "task train was skipped: it needs service llama, which …", of the first that was left out though nobody asked for it; empty if there is none.
  const std::string& first_left_out() const { return first_left_out_; }
  /// One task of each shape that tasks which have not ended ask for.
  std::vector<TaskNeed> needs() const;
  std::optional<TaskIndex> find(std::string_view id) const { return names_.find(id); }
  bool knows(std::string_view id_or_name) const { return find_before(id_or_name).has_value(); }
  bool exists(TaskIndex task) const { return task.value < tasks_.size(); }
  TaskState state(TaskIndex task) const { return tasks_[task.value].state; }
  std::string id(TaskIndex task) const;
  /// Written out, if it is one of many.
  TaskDescription description(TaskIndex task) const;
  /// The shape by which the scheduler knows tasks like this.
  Shape shape_of(const TaskDescription& task);

 private:
  static constexpr std::uint32_t none = 0xffffffffu;
  enum class Ending : std::uint8_t { no, cancelled, stopped };
  struct Task {
    std::uint32_t family = 0;
    std::uint32_t instance = 0;
    std::uint32_t attempt = 0;  ///< the one that runs, or the next
    std::uint32_t retries = 0;  ///< that are left
    std::uint32_t slot = none;  ///< of its attempt, while it runs; while it is sent ahead, the rank
    TaskState state = TaskState::waiting;
    Ending ending = Ending::no;  ///< its attempt was asked to end
    std::uint8_t losses = 0;     ///< attempts lost with a node that used up no retry
    bool ahead = false;          ///< it is ready and waits in the backlog of a node
  };
  struct Family {
    TaskFamily tasks;
    ShapeIndex shape;
    bool may_be_ahead = false;  ///< where nodes have backlogs at all
  };
  /// What a task that was sent ahead is to become when it comes back.
  struct Wish {
    TaskState state = TaskState::cancelled;
    std::string reason;
  };
  struct LivePart {
    Part part;
    bool ended = false;
  };
  struct Words {
    std::string outcome;  ///< why it is not `done`
    std::string ending;   ///< why the task is to end, if `ending` says so
  };
  /// Slots are used again, so that starting a task allocates nothing here.
  struct Attempt {
    TaskIndex task;
    std::uint32_t open_parts = 0;  ///< 0: the slot is free
    ShapeIndex shape;
    Outcome outcome = Outcome::done;
    bool asked = false;                                 ///< to end; all its parts have been told
    bool hands_on = false;                              ///< its place, to one that was sent ahead, perhaps
    std::unique_ptr<Words> words;                       ///< once there is a reason
    boost::container::small_vector<LivePart, 1> parts;  ///< the one that most have needs no memory of its own
  };
  struct Service {
    std::string name;
    bool ready = false;
    bool over = false;
    bool asked_for = false;  ///< that it is over
    std::string reason;
    std::vector<TaskIndex> waiting;  ///< for it to be ready
    std::vector<TaskIndex> users;
  };
  Status check(std::span<const TaskFamily> families) const;
  void add(TaskFamily family);
  void connect(TaskIndex task);
  const Family& family(TaskIndex task) const { return families_[tasks_[task.value].family]; }
  const TaskDescription& shared(TaskIndex task) const { return family(task).tasks.shared(); }
  ShapeIndex shape(TaskIndex task) const { return family(task).shape; }
  std::optional<Graph::Vertex> find_before(std::string_view id_or_name) const;
  void skip_if_service_over(TaskIndex task);
  /// Skips a task whose service is over.
  void leave_out(TaskIndex task, const Service& service);
  void make_ready(TaskIndex task);
  void start(Placement& placement);
  Attempt& open_attempt(TaskIndex task, std::uint32_t parts);
  void tend_backlogs();
  void fill_backlogs(ShapeIndex shape);
  void call_back(std::vector<Backlogs::Place> places);
  void call_back_for(TaskIndex task, Wish wish);
  void leave_backlog(TaskIndex task);
  void succeed(TaskIndex task, Part place, bool lost);
  bool waits_at(Rank rank, AttemptId id) const;
  static Words& words(Attempt& attempt);
  LivePart* live_part(Rank rank, AttemptId id);
  void end_part(Attempt& attempt, LivePart& part, const AttemptEnd& end, AttemptId next = {});
  void end_parts(Attempt& attempt, std::optional<Rank> rank, const AttemptEnd& end);
  void end_attempt(Attempt& attempt);
  void end_for(Attempt& attempt, Ending ending, const std::string& reason);
  void ask_to_end(Attempt& attempt, const std::string& reason);
  void end_task(TaskIndex task, TaskState state, const std::string& reason, bool tell_others = true);
  void skip(TaskIndex task, const std::string& reason);
  std::string broken_text(TaskIndex after, TaskIndex root) const;

  Scheduler& scheduler_;
  Output& output_;
  Graph graph_;
  HugePageVector<Task> tasks_;
  std::deque<Family> families_;  ///< a deque: names are views into its elements
  TaskNames names_;
  std::unordered_map<std::string, ColocateIndex> colocations_;
  HugePageVector<Attempt> attempts_;
  std::vector<std::uint32_t> free_slots_;
  std::vector<Service> services_;
  std::unordered_map<std::string, ServiceIndex> service_by_name_;
  TaskCounts counts_;
  std::uint64_t stopped_ = 0;
  std::string first_failure_;
  std::string first_left_out_;
  Backlogs backlogs_;
  std::unordered_map<TaskIndex, Wish> wishes_;  ///< of tasks that were sent ahead
  std::optional<std::string> stopping_;         ///< why whatever starts now is to end
  std::uint64_t looked_for_room_ = 0;           ///< Scheduler::changes() then
  Placement placement_;                         ///< reused
};

}  // namespace trireme::pilot
