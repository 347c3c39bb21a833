// A bounded queue of whole messages from several threads to one.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <utility>

namespace trireme {

/// What became of a message.
enum class Pushed { taken, full, closed };

template <typename T>
class BoundedQueue {
 public:
  explicit BoundedQueue(std::size_t capacity) : capacity_(capacity) {}

  /// Waits for room until the deadline.
  Pushed push(T value, std::chrono::nanoseconds deadline) {
    std::unique_lock lock(mutex_);
    if (!room_.wait_for(lock, deadline, [this] { return closed_ || items_.size() < capacity_; })) return Pushed::full;
    if (closed_) return Pushed::closed;
    items_.push_back(std::move(value));
    lock.unlock();
    filled_.notify_one();
    return Pushed::taken;
  }

  /// Takes everything that is there; waits for the first item at most that long.
  std::deque<T> take_all(std::chrono::nanoseconds wait) {
    std::unique_lock lock(mutex_);
    filled_.wait_for(lock, wait, [this] { return closed_ || !items_.empty(); });
    std::deque<T> out;
    out.swap(items_);
    lock.unlock();
    room_.notify_all();
    return out;
  }

  /// Nothing comes in any more; what is there is dropped.
  void close() {
    std::deque<T> dropped;  // declared first, so destroyed when the lock is free: its items may do anything
    const std::scoped_lock lock(mutex_);
    closed_ = true;
    dropped.swap(items_);
    room_.notify_all();
    filled_.notify_all();
  }

 private:
  const std::size_t capacity_;
  std::mutex mutex_;
  std::condition_variable room_;
  std::condition_variable filled_;
  std::deque<T> items_;
  bool closed_ = false;
};

}  // namespace trireme
