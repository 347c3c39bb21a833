#include "node/file_worker.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

namespace trireme {

FileWorker::FileWorker(boost::asio::io_context& loop, unsigned threads, std::size_t capacity)
    : loop_(loop), capacity_(capacity) {
  for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

FileWorker::~FileWorker() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    items_.clear();
  }
  filled_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

bool FileWorker::post(std::function<void()> job, std::function<void()> completion) {
  {
    const std::lock_guard lock(mutex_);
    if (ending_ || items_.size() >= capacity_) return false;
    items_.push_back({std::move(job), std::move(completion)});
  }
  filled_.notify_one();
  return true;
}

void FileWorker::work() {
  for (;;) {
    std::unique_lock lock(mutex_);
    filled_.wait(lock, [this] { return ending_ || !items_.empty(); });
    if (items_.empty()) return;
    Item item = std::move(items_.front());
    items_.pop_front();
    lock.unlock();
    item.job();
    item.job = nullptr;  // what it holds is released here and not on the loop
    boost::asio::post(loop_, std::move(item.completion));
  }
}

}  // namespace trireme
