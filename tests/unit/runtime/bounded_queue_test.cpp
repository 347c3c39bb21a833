#include "runtime/bounded_queue.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <thread>
#include <vector>

using namespace trireme;
using namespace std::chrono_literals;

TEST_CASE("messages of several threads all arrive, each thread's in order, and the bound holds") {
  BoundedQueue<std::pair<int, int>> queue(8);
  std::vector<std::thread> threads;
  for (int who = 0; who < 3; ++who) {
    threads.emplace_back([&queue, who] {
      for (int i = 0; i < 1000; ++i) REQUIRE(queue.push({who, i}, 1min) == Pushed::taken);
    });
  }
  std::vector<int> next(3);
  for (int total = 0; total < 3000;) {
    const auto taken = queue.take_all(1min);
    CHECK(taken.size() <= 8);
    for (const auto& [who, i] : taken) CHECK(next[static_cast<std::size_t>(who)]++ == i);
    total += static_cast<int>(taken.size());
  }
  for (auto& thread : threads) thread.join();
}

TEST_CASE("a full queue refuses when the deadline passes") {
  BoundedQueue<int> queue(1);
  CHECK(queue.push(1, 0s) == Pushed::taken);
  CHECK(queue.push(2, 1ms) == Pushed::full);
}

TEST_CASE("closing drops what is there, refuses what comes, and wakes who waits") {
  BoundedQueue<std::shared_ptr<int>> queue(1);
  auto item = std::make_shared<int>(1);
  REQUIRE(queue.push(item, 0s) == Pushed::taken);
  std::thread waiting([&queue] { CHECK(queue.push(nullptr, 1min) == Pushed::closed); });
  queue.close();
  waiting.join();
  CHECK(item.use_count() == 1);
  CHECK(queue.push(nullptr, 1min) == Pushed::closed);
  CHECK(queue.take_all(1min).empty());
}
