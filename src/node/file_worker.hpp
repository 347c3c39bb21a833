// Threads for file work that must not hold up the rank's event loop: staging, log tails, probes that read files.
//
// A job runs on one of the threads; its completion runs on the loop. A job must own what it touches (values moved into it);
// the completion may touch the loop's state. The queue is bounded: post() refuses beyond it. The destructor lets jobs in
// progress end (give them a stop token to be quick) and drops those that wait, but for what tidies up; none has a completion any
// more. A job that
// does not end by the deadline hangs on a file system that answers no more, and is left behind (core/worker_thread.hpp).
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "core/defaults.hpp"
#include "core/units.hpp"
#include "core/worker_thread.hpp"

namespace boost::asio {
class io_context;
}

namespace trireme {

class FileWorker {
 public:
  explicit FileWorker(boost::asio::io_context& loop, unsigned threads = defaults::file_threads,
                      std::size_t capacity = defaults::file_queue, Duration end_deadline = defaults::file_end);
  ~FileWorker();
  FileWorker(const FileWorker&) = delete;
  FileWorker& operator=(const FileWorker&) = delete;

  boost::asio::io_context& loop() const { return loop_; }

  /// False, with neither run, if too much waits already.
  [[nodiscard]] bool post(std::function<void()> job, std::function<void()> completion);

  /// A job that tidies up: nobody hears when it is done, so it may wait for others like it, and the destructor waits for it
  /// too. False if too many wait already.
  [[nodiscard]] bool tidy(std::function<void()> job);

  /// The same for a job that yields a value, which is handed to the completion.
  template <typename Value>
  [[nodiscard]] bool run(std::function<Value()> job, std::function<void(Value)> completion) {
    auto value = std::make_shared<std::optional<Value>>();
    return post([value, job = std::move(job)] { value->emplace(job()); },
                [value, completion = std::move(completion)] { completion(std::move(**value)); });
  }

 private:
  struct Queue;
  boost::asio::io_context& loop_;
  const Duration end_deadline_;
  std::shared_ptr<Queue> queue_;
  std::vector<WorkerThread> threads_;
};

}  // namespace trireme
