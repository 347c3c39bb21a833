#include "core/worker_thread.hpp"

#include <doctest/doctest.h>

#include <memory>

using namespace trireme;
using namespace std::chrono_literals;

TEST_CASE("a thread that ends is joined, and what its body owned is gone by then") {
  auto state = std::make_shared<int>(0);
  WorkerThread thread([state] { ++*state; });
  CHECK(thread.join(1min));
  CHECK(!thread.joinable());
  CHECK(*state == 1);
  CHECK(state.use_count() == 1);
}

TEST_CASE("a thread that hangs is given up at the deadline and keeps what it owns") {
  std::promise<void> end_of_hang;
  auto state = std::make_shared<std::shared_future<void>>(end_of_hang.get_future());
  WorkerThread thread([state] { state->wait(); });
  CHECK(!thread.join(1ms));
  CHECK(!thread.joinable());
  CHECK(state.use_count() > 1);
  end_of_hang.set_value();
  while (state.use_count() > 1) std::this_thread::yield();  // it was not harmed
}
