#include "node/file_worker.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <condition_variable>
#include <deque>
#include <mutex>

namespace trireme {

/// What the threads share. Theirs too: a thread that was given up still has it.
struct FileWorker::Queue {
  struct Item {
    std::function<void()> job;
    std::function<void()> completion;  ///< none: it tidies up
  };

  Queue(boost::asio::io_context& of, std::size_t most) : loop(of), capacity(most) {}

  void work() {
    for (;;) {
      std::unique_lock lock(mutex);
      filled.wait(lock, [this] { return ending || !items.empty(); });
      if (items.empty()) return;
      Item item = std::move(items.front());
      items.pop_front();
      lock.unlock();
      item.job();
      item.job = nullptr;  // what it holds is released here and not on the loop
      lock.lock();
      // Once the end has begun, nobody waits for it, and the loop may be gone.
      if (!ending && item.completion) boost::asio::post(loop, std::move(item.completion));
    }
  }

  boost::asio::io_context& loop;
  const std::size_t capacity;
  std::mutex mutex;
  std::condition_variable filled;
  std::deque<Item> items;
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
    std::erase_if(queue_->items, [](const Queue::Item& item) { return item.completion != nullptr; });
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
    // What somebody waits for must find room beside what tidies up.
    const std::size_t room = completion ? queue_->capacity : queue_->capacity / 2;
    if (queue_->ending || queue_->items.size() >= room) return false;
    queue_->items.push_back({std::move(job), std::move(completion)});
  }
  queue_->filled.notify_one();
  return true;
}

bool FileWorker::tidy(std::function<void()> job) {
  return post(std::move(job), nullptr);
}

}  // namespace trireme
