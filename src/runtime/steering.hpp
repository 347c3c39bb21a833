// What is asked of a run while it is on: `/runtime` (docs/spec/http.md), answered by the pilot.
//
// A request is a method, a target and a JSON body, wherever it came from: the proxy of a rank, or the request folder of the run
// directory. Most are answered at once. A wait is kept, and answered by the event that it waits for or by its own deadline; a
// client that goes away drops it. Nothing is looked for: ends of tasks are told by on_final().
//
// A task that is submitted again under its id and in the same words is the task that is there already, so that a steering task
// which is run again (a retry, --resume) finds what its first attempt submitted.
//
// State belongs to the pilot's thread. Nothing here does I/O: answers leave through a function, and what was submitted through
// the event log, as the text that --resume reads again.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/events.hpp"
#include "core/run_info.hpp"
#include "core/runtime_request.hpp"
#include "observe/run_view.hpp"
#include "pilot/pilot.hpp"
#include "runtime/results.hpp"
#include "runtime/target.hpp"
#include "workflow/submission.hpp"

namespace trireme {

/// Who asks, and under which number of its own.
struct Caller {
  Rank rank = 0;  ///< whose proxy; -1: the request folder
  std::uint64_t number = 0;
  auto operator<=>(const Caller&) const = default;
};

class Steering {
 public:
  using Answer = std::function<void(Rank to, RuntimeAnswer answer)>;
  using Record = std::function<void(EventBody event)>;

  Steering(pilot::Pilot& pilot, const observe::RunView& view, const Results& results, const RunInfo& info,
           Answer answer, Record record);

  void on_request(Rank from, const RuntimeRequest& request, MonoTime now);
  void on_drop(Rank from, std::uint64_t number);
  void on_rank_lost(Rank rank);
  /// A task has come to its final state.
  void on_final(TaskIndex task);
  void on_time(MonoTime now);
  std::optional<MonoTime> next_deadline() const;
  /// Before the run starts again: submits what an earlier part of it was given.
  Status replay(const std::string& text, MonoTime now);
  /// The run is over: what still waits is told so.
  void close();

 private:
  struct Wait {
    MonoTime deadline = 0;
    bool any = false;
    std::vector<TaskIndex> tasks;  ///< each once
    std::size_t open = 0;          ///< of them not final
    std::optional<std::uint32_t> submission;
    std::size_t from = 0;  ///< of the submission's ends, already told
  };
  /// Tasks that came in together; `ended` in the order of their ends.
  struct Batch {
    std::uint32_t total = 0;
    std::vector<TaskIndex> ended;
  };
  using Query = std::map<std::string, std::string, std::less<>>;

  void submit(const Caller& caller, const std::string& body, MonoTime now);
  void show_task(const Caller& caller, const std::string& id);
  void list_tasks(const Caller& caller, const Target& target);
  void cancel_task(const Caller& caller, const std::string& id, MonoTime now);
  void wait(const Caller& caller, const std::string& body, MonoTime now);
  void add_wait(const Caller& caller, Wait wait);
  void declare(const Caller& caller, const std::string& body, MonoTime now);
  void list_services(const Caller& caller);
  void show_service(const Caller& caller, const std::string& name);
  void restart_service(const Caller& caller, const std::string& name, MonoTime now);
  void stop_service(const Caller& caller, const std::string& name, MonoTime now);

  Submission load(const std::string& body) const;
  /// Gives the submission's tasks to the pilot, but for those that are there already; all, in the submission's order.
  Result<std::vector<TaskIndex>> take(Submission& submission, MonoTime now, bool& grew);
  /// The same for its services.
  Status take_services(Submission& submission, MonoTime now, bool& grew);
  void add_batch(std::vector<TaskIndex> tasks);
  void settle(Caller caller, bool timed_out);
  bool is_final(TaskIndex task) const;
  nlohmann::ordered_json show(TaskIndex task) const;
  void forget(Caller caller);
  void respond(const Caller& caller, int status, std::string body);
  void refuse(const Caller& caller, const Error& error, int status = 0);
  void refuse(const Caller& caller, const std::vector<Diagnostic>& errors);

  pilot::Pilot& pilot_;
  const observe::RunView& view_;
  const Results& results_;
  const RunInfo& info_;
  Answer answer_;
  Record record_;
  std::map<Caller, Wait> waits_;
  std::set<std::pair<MonoTime, Caller>> deadlines_;
  std::unordered_multimap<std::uint32_t, Caller> by_task_;
  std::multimap<std::uint32_t, Caller> by_batch_;
  std::vector<Batch> batches_;
  std::unordered_multimap<std::uint32_t, std::uint32_t> batch_of_;  ///< by task, until it ends
  std::uint64_t unnamed_ = 0;
  bool closed_ = false;
};

}  // namespace trireme
