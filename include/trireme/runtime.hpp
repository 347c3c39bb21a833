// The runtime as a library: tasks and services on the ranks of any MPI communicator.
//
//   trireme::RuntimeOptions options;
//   auto summary = trireme::run(comm, options, [](trireme::Session& session) -> trireme::Status {
//     auto task = session.submit({.id = "hello", .command = {"echo", "hello"}});
//     if (!task) return task.error();
//     auto result = session.wait(*task);
//     …
//     return {};
//   });
//
// run() is collective over `comm`. Its first rank is the pilot and calls the driver, in a thread of its own; the others
// serve their nodes until the run is over. The thread that calls run() makes all MPI calls, so MPI_THREAD_FUNNELED is enough,
// and `comm` is duplicated, so the program's own messages never meet the runtime's. Nothing global is kept: ranks outside of
// `comm` go on with their own work meanwhile, and several runs may follow each other.
#pragma once

#include <mpi.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "trireme/client.hpp"
#include "trireme/result.hpp"
#include "trireme/service.hpp"
#include "trireme/task.hpp"

namespace trireme {

struct RuntimeOptions {
  std::string name = "run";  ///< what this run is called in its log
  std::string run_dir;       ///< empty: ./trireme-runs/NAME-TIME; must be seen by all nodes
  /// What each rank has to give; nothing: what its node has, shared with the other ranks on that node.
  std::optional<unsigned> worker_cores;
  std::optional<unsigned> worker_gpus;
  std::optional<std::uint64_t> worker_memory;  ///< bytes
  /// The first rank serves a page that shows the run (docs/guide/dashboard.md), on this port of its node's loopback; 0: any free
  /// one. Its address is in `run_dir`/dashboard.url while the run is on.
  std::optional<std::uint16_t> dashboard;
  std::string log_level = "warn";  ///< trace, debug, info, warn, error
};

/// Names a task of one Session.
struct TaskHandle {
  std::uint32_t index = 0;
};

/// What a driver works with. Its functions may be called from several threads; they may wait for the pilot, never for MPI.
class Session {
 public:
  virtual ~Session() = default;
  /// Hands a task to the pilot; it starts as soon as what it needs is there.
  virtual Result<TaskHandle> submit(const Task& task) = 0;
  /// Waits until the task is final; an Error when that takes longer than `deadline` or the run ends before.
  virtual Result<TaskResult> wait(TaskHandle task,
                                  std::chrono::nanoseconds deadline = std::chrono::hours(24 * 365)) = 0;
  virtual Status cancel(TaskHandle task) = 0;
  /// Starts a service and returns at once; tasks that name it wait until it is ready, and so do requests.
  virtual Status start(const Service& service) = 0;
  /// Requests through this node's proxy.
  virtual Client client() const = 0;
  virtual const std::string& run_dir() const = 0;
};

/// How a run ended.
struct RunSummary {
  ExitCode exit_code = ExitCode::done;  ///< on the first rank; the others do not know of tasks that failed
  std::string run_dir;                  ///< holds summary.json and the event log
  bool may_finalize = true;             ///< false: a rank was lost, and MPI_Finalize may hang
};

using Driver = std::function<Status(Session&)>;

/// Collective over `comm`. Returns when the driver has returned and all that it submitted has ended. The driver's error, if
/// any, becomes the run's. An Error says that the runtime itself failed, on this rank or with its peers: other ranks may be
/// gone or stuck, so that a program should then end with MPI_Abort rather than MPI_Finalize.
Result<RunSummary> run(MPI_Comm comm, const RuntimeOptions& options, const Driver& driver);

}  // namespace trireme
