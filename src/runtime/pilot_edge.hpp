// The pilot's edge: the thread that runs the pure core on rank 0, and all that the core's output touches.
//
// Messages come in through one bounded inbox, from the rank's event loop (agents' reports, lost ranks) and from drivers
// (submissions, waiting). The core's output goes three ways: messages and endpoint changes back to the event loop in batches,
// events into the event log, and the same events into the run's view, from which progress and summary are made. State is
// owned by this thread alone; the inbox is the only way in.
#pragma once

#include <atomic>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "core/defaults.hpp"
#include "core/events.hpp"
#include "core/messages.hpp"
#include "core/run_info.hpp"
#include "core/runtime_request.hpp"
#include "fabric/orders.hpp"
#include "journal/claim.hpp"
#include "journal/writer.hpp"
#include "observe/progress.hpp"
#include "observe/run_view.hpp"
#include "pilot/output.hpp"
#include "pilot/pilot.hpp"
#include "runtime/bounded_queue.hpp"
#include "runtime/config.hpp"
#include "runtime/dashboard_feed.hpp"
#include "runtime/results.hpp"
#include "runtime/steering.hpp"
#include "trireme/task.hpp"

namespace trireme {

/// What earlier parts of a resumed run made of a task.
struct FormerTask {
  std::string id;
  bool done = false;
  std::uint32_t attempts = 0;
  std::string result;  ///< of a function that is done
};

/// What earlier parts of a resumed run made of a service.
struct FormerService {
  std::string name;
  std::vector<std::uint32_t> lives;  ///< of each replica
};

/// What earlier parts of a resumed run did.
struct FormerRun {
  std::vector<FormerTask> tasks;
  std::vector<FormerService> services;
  std::vector<std::string> submissions;  ///< that came in while it was on
};

/// How the run ended.
struct PilotEnd {
  ExitCode code = ExitCode::done;
  std::optional<Error> error;  ///< why the runtime itself could not go on
  std::string text;            ///< the summary for people
  std::string json;            ///< the content of summary.json
};

/// What the pilot sends in one go.
struct PilotBatch {
  std::vector<std::pair<Rank, std::string>> orders;  ///< messages (fabric/orders.hpp), which want the epoch's stamp
  std::vector<ServiceEndpoint> endpoints;
  std::vector<std::pair<Rank, RuntimeAnswer>> answers;
  std::optional<DashboardNews> dashboard;
  bool over = false;  ///< the run has ended: nothing follows
};

struct InboxLimits {
  std::size_t capacity = defaults::pilot_inbox;
  Duration wait = defaults::pilot_inbox_wait;
};

class PilotEdge final : private pilot::Output {
 public:
  /// `deliver` is called on the pilot's thread with each batch.
  PilotEdge(const RunConfig& config, const RunInfo& info, Rank ranks, std::unique_ptr<JournalWriter> journal,
            std::function<void(PilotBatch)> deliver, InboxLimits limits = {});
  ~PilotEdge() override;
  PilotEdge(const PilotEdge&) = delete;
  PilotEdge& operator=(const PilotEdge&) = delete;

  // From the event loop.
  /// What an agent said in one go: FromAgent, as bytes (fabric/serialize.hpp).
  void on_reports(Rank from, std::string reports);
  void on_rank_lost(Rank rank, std::string reason, MonoTime harmless_at);
  void on_runtime_request(Rank from, RuntimeRequest request);
  void on_runtime_drop(Rank from, std::uint64_t number);
  void on_dashboard_key(DashboardPlace place, std::string key);
  void on_dashboard_viewers(std::size_t viewers, bool fresh);
  void on_epoch_acknowledged(std::uint64_t number, Duration took, std::vector<ReplicaId> ready);

  // From any thread; all but the last two wait for the pilot.
  /// Waits until every rank has joined; fails when one does not come, or the run ends before.
  Status wait_for_nodes();
  /// Declares and submits a whole workflow and starts it.
  Status submit(WorkflowDescription workflow, FormerRun former);
  /// Starts a run to which tasks are submitted one by one.
  Status start();
  Result<TaskIndex> submit(TaskDescription task);
  Status declare(ServiceDescription service);
  Status cancel(TaskIndex task);
  Result<TaskResult> wait(TaskIndex task, Duration deadline);
  /// Nothing more will be submitted: the run ends when all is final. `error` makes it a failed run with that exit code.
  void close(std::optional<Error> error);
  /// Ends the run early: what runs may end, unless `at_once`, or at a second call.
  void interrupt(ExitCode code, std::string reason, bool at_once);

  /// Waits for the thread to end after `over`, then writes the summary. Called once, by the event loop's thread.
  PilotEnd finish();

 private:
  struct Reports {
    Rank from;
    std::string bytes;
  };
  struct Lost {
    Rank rank;
    std::string reason;
    MonoTime harmless_at;
  };
  using Command = std::function<void()>;
  using Input = std::variant<Reports, Lost, Command>;

  void send(Rank to, ToAgent message) override;
  void start_task(Rank to, const StartOrder& order) override;
  void record(EventBody event) override;
  void publish(ServiceEndpoint service) override;

  void main();
  void handle(Input input);
  void take_in(const Reports& reports, MonoTime now);
  OrderWriter& orders_to(Rank to);
  void send_if_full(Rank to, OrderWriter& orders);
  void flush_batch();
  void look_around();
  void show_life(MonoTime now);
  void take_requests_in_folder(MonoTime now);
  void answer(Rank to, RuntimeAnswer answer);
  bool fill_in_results(Rank to, StartTask& order);
  /// The run cannot go on: everything is ended, and its exit code is the error's.
  void fail(const Error& error);
  void settle_waiters();
  template <typename T>
  Result<T> ask(std::function<Result<T>()> question);
  template <typename T>
  static T await(std::future<T> future);
  void push(Input input);
  Duration patience() const;
  std::uint32_t expected_nodes() const;
  TaskResult result_of(TaskIndex task) const;

  const RunConfig config_;
  const RunInfo info_;
  const Rank ranks_;
  std::unique_ptr<JournalWriter> journal_;
  std::function<void(PilotBatch)> deliver_;
  const Duration inbox_wait_;
  BoundedQueue<Input> inbox_;
  std::atomic<bool> overflowed_ = false;  ///< a message was dropped, because the pilot took none for too long

  // Owned by the pilot's thread.
  observe::RunView view_;
  observe::Progress progress_;
  pilot::Pilot pilot_;
  Results results_;
  Steering steering_;
  std::optional<DashboardFeed> dashboard_;
  std::map<std::uint64_t, std::string> folder_answers_;  ///< where answers to the request folder go, by number
  std::uint64_t folder_requests_ = 0;
  PilotBatch batch_;
  std::vector<OrderWriter> orders_;         ///< by rank: the message that is being written; empty between batches
  std::vector<Rank> written_to_;            ///< ranks for which there is one
  std::vector<FromAgent> reports_;          ///< that are taken in; reused
  std::optional<WallTime> time_of_report_;  ///< of all that comes of it
  std::multimap<std::uint32_t, std::shared_ptr<std::promise<Result<TaskResult>>>> waiters_;
  std::vector<std::uint32_t> newly_final_;
  std::vector<std::shared_ptr<std::promise<Status>>> node_waiters_;
  std::optional<Error> error_;         ///< why the run cannot go on
  std::optional<Error> never_joined_;  ///< why not all nodes will ever join
  bool interrupted_ = false;
  bool abandoned_ = false;
  MonoTime next_look_ = 0;
  MonoTime next_beat_ = 0;
  ClaimKeeper keeper_;

  std::thread thread_;
};

}  // namespace trireme
