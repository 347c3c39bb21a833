#include "launch/pmix/server/farewells.hpp"

#include <utility>

#include "core/defaults.hpp"

namespace trireme::pmix {

Farewells::Farewells() : thread_([this] { run(); }) {}

Farewells::~Farewells() {
  close();
  thread_.join();
}

void Farewells::add(std::string space, pmix_op_cbfunc_t answer, void* argument) {
  {
    const std::scoped_lock lock(mutex_);
    waiting_.push_back({std::chrono::steady_clock::now() + defaults::pmix_farewell, std::move(space), answer, argument});
  }
  changed_.notify_one();
}

void Farewells::forget(std::string_view space) {
  const std::scoped_lock lock(mutex_);
  std::erase_if(waiting_, [&](const Farewell& one) { return one.space == space; });
}

void Farewells::close() {
  {
    const std::scoped_lock lock(mutex_);
    over_ = true;
  }
  changed_.notify_one();
}

void Farewells::run() {
  std::unique_lock lock(mutex_);
  while (!over_) {
    if (waiting_.empty()) {
      changed_.wait(lock);
    } else if (const auto due = waiting_.front().due; std::chrono::steady_clock::now() < due) {
      changed_.wait_until(lock, due);
    } else {
      const Farewell one = std::move(waiting_.front());
      waiting_.pop_front();
      one.answer(PMIX_SUCCESS, one.argument);
    }
  }
}

}  // namespace trireme::pmix
