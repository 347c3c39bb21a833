// What the agent needs of the spawner, so that its logic can be tested without processes. SpawnerClient is the real one
// (spawner_processes.hpp makes it fit); everything happens on the rank's event loop.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "core/result.hpp"
#include "launch/spawner/protocol.hpp"

namespace trireme {

/// For each accepted spawn() there is one on_started or on_failed, and for each on_started one on_ended, unless on_lost
/// comes: then nothing follows.
struct SpawnerReports {
  std::function<void(const spawner::Started&)> on_started;
  std::function<void(const spawner::Failed&)> on_failed;
  std::function<void(const spawner::Ended&)> on_ended;
  std::function<void(const Error&)> on_lost;
};

class ProcessSpawner {
 public:
  virtual ~ProcessSpawner() = default;
  virtual Status spawn(const spawner::Spawn& request) = 0;
  virtual void stop(std::uint64_t id, std::chrono::milliseconds grace) = 0;
  virtual void renew_lease(std::chrono::milliseconds duration) = 0;
  /// Ends everything, reports it, and calls `done` at the latest when the deadline is over.
  virtual void shutdown(std::chrono::milliseconds grace, std::chrono::milliseconds deadline,
                        std::function<void()> done) = 0;
};

/// Starts one; called again when one was lost.
using SpawnerFactory = std::function<Result<std::unique_ptr<ProcessSpawner>>(SpawnerReports reports)>;

}  // namespace trireme
