// The rank's side of the spawner: starts the program, sends it requests and hands on its reports.
//
// Everything, callbacks included, happens on the thread that runs the io_context; none of the calls blocks, but for start()
// (a posix_spawn), the destructor, and the moment in which a dead spawner's processes are swept up. Requests are collected while a
// handler runs and leave in one write. The backlog is bounded: when the spawner does not keep up, spawn() refuses.
//
// If the spawner dies, its tasks die with it (parent-death signal), the client ends the rest by their environment (sweep.hpp),
// and on_lost is called: no report about anything that was under way will follow. A new client may be started then.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/result.hpp"
#include "launch/spawner/protocol.hpp"

namespace boost::asio {
class io_context;
}

namespace trireme {

using SpawnRequest = spawner::Spawn;

class SpawnerClient {
 public:
  struct Options {
    std::string program;                 ///< empty: TRIREME_SPAWNER, or found near the running program
    std::string log_file = "/dev/null";  ///< the spawner's words, appended
    std::string remove;                  ///< an absolute folder that it removes if this process dies, or empty
    /// NAME=value that stand together in the environment of this rank's tasks and of no one else's, TRIREME_RUN_ID first:
    /// what is ended if the spawner dies. Empty: nothing.
    std::vector<std::string> marks;
  };
  struct Handlers {
    std::function<void(const spawner::Started&)> on_started;
    std::function<void(const spawner::Failed&)> on_failed;
    std::function<void(const spawner::Ended&)> on_ended;
    std::function<void(const Error&)> on_lost;  ///< the spawner died, and not because of shutdown()
  };

  /// Each handler has to be there.
  static Result<std::unique_ptr<SpawnerClient>> start(boost::asio::io_context& loop, Options options,
                                                      Handlers handlers);
  /// Without a shutdown() before, this is to the spawner as if the rank had died: it ends everything within a short grace,
  /// for which the destructor waits.
  ~SpawnerClient();
  SpawnerClient(const SpawnerClient&) = delete;
  SpawnerClient& operator=(const SpawnerClient&) = delete;

  /// Answered by on_started or on_failed. Fails at once if the request is too large for a frame, the backlog is full, or the
  /// spawner is gone.
  Status spawn(const SpawnRequest& request);
  /// These are ignored for what has ended already.
  void signal(std::uint64_t id, int signo);
  void stop(std::uint64_t id, std::chrono::milliseconds grace);
  /// Everything is ended unless this is called again in time; zero takes the lease away.
  void renew_lease(std::chrono::milliseconds duration);

  /// Stops all tasks, reports their ends, and calls `done` when the spawner has exited. A spawner that is still there after
  /// `deadline` is killed, and its processes are swept up.
  void shutdown(std::chrono::milliseconds grace, std::chrono::milliseconds deadline, std::function<void()> done);

  bool alive() const;
  pid_t pid() const;
  /// Bytes of requests that have not left yet.
  std::size_t backlog() const;

 private:
  class Impl;
  explicit SpawnerClient(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace trireme
