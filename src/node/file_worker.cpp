#include "node/file_worker.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>

namespace trireme {

/// What the threads share. Theirs too: a thread that was given up still has it.
struct FileWorker::Queue {
  struct Item {
    std::function<void()> job;
    std::function<void()> completion;
  };

  Queue(boost::asio::io_context& of, std::size_t most) : loop(of), capacity(most) {}

  void work() {
    std::unique_lock lock(mutex);
    for (;;) {
      filled.wait(lock, [this] { return ending || !items.empty() || (!chores.empty() && !gathering); });
      if (!items.empty() && chores.size() < defaults::tidy_batch) {
        work_on_item(lock);
      } else if (!chores.empty()) {
        tidy(lock);
      } else if (ending) {
        return;
      }
    }
  }

  void work_on_item(std::unique_lock<std::mutex>& lock) {
    Item item = std::move(items.front());
    items.pop_front();
    lock.unlock();
    item.job();
    item.job = nullptr;  // what it holds is released here and not on the loop
    lock.lock();
    // Once the end has begun, nobody waits for it, and the loop may be gone.
    if (!ending) boost::asio::post(loop, std::move(item.completion));
  }

  /// Nobody waits for these: a thread that is woken for each would cost more than what it does.
  void tidy(std::unique_lock<std::mutex>& lock) {
    gathering = true;
    filled.wait_for(lock, defaults::tidy_gather,
                    [this] { return ending || !items.empty() || chores.size() >= defaults::tidy_batch; });
    gathering = false;
    if (!items.empty() && chores.size() < defaults::tidy_batch) return;
    const auto batch = std::exchange(chores, {});
    lock.unlock();
    for (const auto& chore : batch) chore();
    lock.lock();
  }

  boost::asio::io_context& loop;
  const std::size_t capacity;
  std::mutex mutex;
  std::condition_variable filled;
  std::deque<Item> items;
  std::vector<std::function<void()>> chores;
  bool gathering = false;  ///< a thread waits for more of them
  bool ending = false;
};

FileWorker::FileWorker(boost::asio::io_context& loop, unsigned threads, std::size_t capacity, Duration end_deadline)
    : loop_(loop), end_deadline_(end_deadline), queue_(std::make_shared<Queue>(loop, capacity)) {
  for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([queue = queue_] { queue->work(); });
}

FileWorker::~FileWorker() {
  {
    const std::lock_guard lock(queue_->mutex);
    queue_->ending = true;
    queue_->items.clear();
  }
  queue_->filled.notify_all();
  const MonoTime deadline = mono_now() + end_deadline_.count();
  for (WorkerThread& thread : threads_) {
    static_cast<void>(thread.join(Duration(std::max<MonoTime>(deadline - mono_now(), 0))));
  }
}

bool FileWorker::post(std::function<void()> job, std::function<void()> completion) {
  {
    const std::lock_guard lock(queue_->mutex);
    if (queue_->ending || queue_->items.size() >= queue_->capacity) return false;
    queue_->items.push_back({std::move(job), std::move(completion)});
  }
  queue_->filled.notify_one();
  return true;
}

bool FileWorker::tidy(std::function<void()> job) {
  std::size_t waiting = 0;
  {
    const std::lock_guard lock(queue_->mutex);
    if (queue_->ending || queue_->chores.size() >= queue_->capacity / 2) return false;
    queue_->chores.push_back(std::move(job));
    waiting = queue_->chores.size();
  }
  if (waiting == 1) queue_->filled.notify_one();
  if (waiting == defaults::tidy_batch) queue_->filled.notify_all();
  return true;
}

}  // namespace trireme
