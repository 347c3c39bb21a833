#include "launch/pmix/server/farewells.hpp"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <utility>

#include "core/defaults.hpp"

namespace trireme::pmix {
namespace {

/// A host that is busier than this makes no rank wait longer.
constexpr long most_per_core = 8;

/// How many threads of this host want each of its cores: 1 where there is no waiting, or where it is not known.
long threads_per_core() {
  std::string averages[3];
  long runnable = 0;
  std::ifstream file("/proc/loadavg");
  file >> averages[0] >> averages[1] >> averages[2] >> runnable;
  const long cores = std::max(::sysconf(_SC_NPROCESSORS_ONLN), 1l);
  return std::clamp((runnable + cores - 1) / cores, 1l, most_per_core);
}

}  // namespace

Farewells::Farewells() : thread_([this] { run(); }) {}

Farewells::~Farewells() {
  close();
  thread_.join();
}

void Farewells::add(std::string space, pmix_op_cbfunc_t answer, void* argument) {
  auto due = std::chrono::steady_clock::now() + threads_per_core() * defaults::pmix_farewell;
  {
    const std::scoped_lock lock(mutex_);
    if (!waiting_.empty()) due = std::max(due, waiting_.back().due);
    waiting_.push_back({due, std::move(space), answer, argument});
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
