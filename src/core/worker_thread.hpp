// A thread that is joined with a deadline.
//
// Whoever joins a thread that hangs in a system call, because a file system answers no more, hangs with it, and nothing ends
// such a thread. So it is given up when the deadline passes: it is left behind with what its body owns, for the end of the
// process. That is why a body owns all that it touches, by shared pointers, and why its owner is told: such a process should
// end without waiting for anything else of that kind.
#pragma once

#include <chrono>
#include <functional>
#include <future>
#include <thread>
#include <utility>

namespace trireme {

class WorkerThread {
 public:
  WorkerThread() = default;
  explicit WorkerThread(std::function<void()> body) {
    std::promise<void> over;
    over_ = over.get_future();
    thread_ = std::thread([body = std::move(body), over = std::move(over)]() mutable {
      body();
      body = nullptr;  // what it owns is gone when the thread counts as over
      over.set_value();
    });
  }
  WorkerThread(WorkerThread&&) = default;
  WorkerThread& operator=(WorkerThread&&) = default;
  /// Joined before.
  ~WorkerThread() = default;

  bool joinable() const { return thread_.joinable(); }

  /// False when it was not over by the deadline and has been given up.
  [[nodiscard]] bool join(std::chrono::nanoseconds deadline) {
    if (over_.wait_for(deadline) == std::future_status::ready) {
      thread_.join();
      return true;
    }
    thread_.detach();
    return false;
  }

 private:
  std::thread thread_;
  std::future<void> over_;
};

}  // namespace trireme
