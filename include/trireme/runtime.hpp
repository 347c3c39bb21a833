// The runtime as a library: tasks and services on the ranks of any MPI communicator. docs/guide/embedding.md tells how to link it.
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
// `comm` go on with their own work meanwhile, and several runs may follow each other. Signal handlers and masks, environment,
// working folder and the cores of the program's threads stay as they are; when run() returns its threads have ended.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "trireme/api.hpp"
#include "trireme/client.hpp"
#include "trireme/mpi.hpp"
#include "trireme/result.hpp"
#include "trireme/service.hpp"
#include "trireme/task.hpp"

namespace trireme {

/// Each rank gives its own: those marked "first rank" count there alone, the others on the rank that gives them.
struct RuntimeOptions {
  std::string name = "run";  ///< first rank: what this run is called in its log
  /// First rank: where the run keeps all it writes. It must be new, and seen by all nodes; relative to the working folder. Empty:
  /// ./trireme-runs/NAME-TIME.
  std::string run_dir{};
  /// What this rank has to give to tasks and services; nothing: what its node has, shared equally with the other ranks of `comm` on that
  /// node. Ranks outside of `comm` are not known: say how much is not theirs, or keep cores with `reserve_cores`. Where the numbers
  /// of a node's ranks exceed the machine they are only counted, and nothing is pinned.
  std::optional<unsigned> worker_cores{};
  std::optional<unsigned> worker_gpus{};
  std::optional<std::uint64_t> worker_memory{};  ///< bytes
  /// Cores of this node that tasks and services never get, because the program itself computes on them: their number, counted from
  /// the first, or a list as "0-3,8" (hwloc's logical numbers), or "l3", the first of each L3 cache. Empty: none.
  std::string reserve_cores{};
  /// First rank: it serves a page that shows the run (docs/guide/dashboard.md), on this port of its node's loopback; 0: any free
  /// one. Its address is in `run_dir`/dashboard.url while the run is on.
  std::optional<std::uint16_t> dashboard{};
  /// trace, debug, info, warn, error or off. A rank logs to `run_dir`/nodes/RANK/rank.log; warnings and errors are also printed on its
  /// stderr, where they begin with "trireme: rank N: ".
  std::string log_level = "warn";
};

/// Names a task of one Session.
struct TaskHandle {
  std::uint32_t index = 0;
};

/// What a driver works with, until it returns. Its functions may be called from several threads; they may wait for the pilot, never
/// for MPI. After something has ended the run (`trireme stop`, a full disk) each returns an Error.
class Session {
 public:
  virtual ~Session() = default;
  /// Hands a task to the pilot; it starts as soon as what it needs is there. An Error, and nothing is handed over, where its id is
  /// taken, it names tasks or services that are not there, or it fits on no node.
  virtual Result<TaskHandle> submit(const Task& task) = 0;
  /// Waits until the task is final, and tells how it ended; that it failed is no Error. At the deadline the state is `unfinished`, and it
  /// may be waited for again. An Error when the run ends before, or there is no such task.
  virtual Result<TaskResult> wait(TaskHandle task,
                                  std::chrono::nanoseconds deadline = std::chrono::nanoseconds::max()) = 0;
  /// Ends a task: SIGTERM to its processes, SIGKILL 5 s later. Returns at once; wait() tells when it is over.
  virtual Status cancel(TaskHandle task) = 0;
  /// Starts a service and returns at once; tasks that name it wait until it is ready, and so do requests. It ends with the run.
  virtual Status start(const Service& service) = 0;
  /// Requests through this node's proxy.
  virtual Client client() const = 0;
  virtual const std::string& run_dir() const = 0;  ///< absolute
};

/// How a run ended, as far as this rank knows.
struct RunSummary {
  ExitCode exit_code = ExitCode::done;  ///< on the first rank; the others do not know of tasks that failed
  std::string run_dir{};                ///< absolute; holds summary.json and the event log
  /// False: a rank was lost or the runtime failed, and MPI calls that need other ranks, MPI_Finalize too, may hang: end the program with
  /// MPI_Abort.
  bool may_finalize = true;
  /// Why it did not end as it should, where that is not for tasks or services that failed: what the driver returned or threw, on the
  /// first rank; why the runtime itself could not go on, on those that know.
  std::optional<Error> error{};

  bool ok() const { return exit_code == ExitCode::done; }
};

/// Called on the first rank alone. Its error ends what still runs and becomes the run's; so does what it throws.
using Driver = std::function<Status(Session&)>;

/// Collective over `comm`, an intracommunicator. Returns when the driver has returned and all that it submitted has ended. An Error means
/// that the run did not begin: MPI may be used as before, nothing is left behind, and each rank of `comm` returns one, the same for all
/// unless MPI is not initialised, `comm` is none or the wrong thread calls.
TRIREME_API Result<RunSummary> run(MPI_Comm comm, const RuntimeOptions& options, const Driver& driver);

}  // namespace trireme
