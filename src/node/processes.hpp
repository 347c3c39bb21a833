// The processes of this node: numbers them, hands each report to whoever started the process, and replaces a spawner that
// died. Belongs to the rank's event loop.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>

#include "node/process_spawner.hpp"

namespace boost::asio {
class io_context;
}

namespace trireme {

using ProcessId = std::uint64_t;

/// Whoever starts a process. It must live until on_process_failed, on_process_ended or on_process_lost; these are the last that
/// it hears of that process, and none is called from inside start().
class ProcessOwner {
 public:
  virtual void on_process_started(ProcessId id, const spawner::Started& report) = 0;
  virtual void on_process_failed(ProcessId id, const spawner::Failed& report) = 0;
  virtual void on_process_ended(ProcessId id, const spawner::Ended& report) = 0;
  /// The spawner died, and the process with it.
  virtual void on_process_lost(ProcessId id, const Error& why) = 0;

 protected:
  ~ProcessOwner() = default;
};

class Processes {
 public:
  /// `on_trouble` is told when a spawner was lost, or could not be started again.
  Processes(boost::asio::io_context& loop, SpawnerFactory factory, std::function<void(const Error&)> on_trouble);
  ~Processes();
  Processes(const Processes&) = delete;
  Processes& operator=(const Processes&) = delete;

  /// Starts the spawner.
  Status open();
  /// `request.id` is set here. A request that the spawner refuses is reported as failed.
  ProcessId start(spawner::Spawn request, ProcessOwner& owner);
  void stop(ProcessId id, std::chrono::milliseconds grace);
  void renew_lease(std::chrono::milliseconds duration);
  /// Ends all processes, then the spawner.
  void close(std::chrono::milliseconds grace, std::function<void()> done);

  std::size_t count() const { return owners_.size(); }

 private:
  void fail_later(ProcessId id, Error why);
  void on_started(const spawner::Started& report);
  void on_failed(const spawner::Failed& report);
  void on_ended(const spawner::Ended& report);
  void on_lost(const Error& why);
  /// The owner, who hears no more after this.
  ProcessOwner* release(ProcessId id);

  boost::asio::io_context& loop_;
  SpawnerFactory factory_;
  std::function<void(const Error&)> on_trouble_;
  std::unique_ptr<ProcessSpawner> spawner_;
  std::chrono::milliseconds lease_{0};
  std::unordered_map<ProcessId, ProcessOwner*> owners_;
  ProcessId last_id_ = 0;
  bool closing_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace trireme
