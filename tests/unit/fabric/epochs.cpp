#include "fabric/epochs.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

using namespace trireme;
using namespace trireme::fabric;
using namespace std::chrono_literals;

namespace {

const SteadyTime start{};
constexpr std::size_t plenty = 1u << 20;

std::vector<std::uint64_t> numbers_in(const std::string& batch) {
  std::vector<std::uint64_t> numbers;
  REQUIRE(read_epochs(batch, [&](std::uint64_t number, std::string_view) { numbers.push_back(number); }));
  return numbers;
}

using Numbers = std::vector<std::uint64_t>;

}  // namespace

TEST_CASE("epochs are numbered from 1 and batched in order, each once") {
  EpochLog log(3);
  CHECK(log.publish("a", start) == 1);
  CHECK(log.publish("b", start) == 2);
  CHECK(numbers_in(log.take_batch(plenty)) == Numbers{1, 2});
  CHECK(log.take_batch(plenty).empty());
  CHECK(log.publish(std::string(100, 'c'), start) == 3);
  CHECK(log.publish("d", start) == 4);
  CHECK(numbers_in(log.take_batch(50)) == Numbers{3});  // at least one, however long
  CHECK(numbers_in(log.take_batch(50)) == Numbers{4});
}

TEST_CASE("an epoch is acknowledged when every living rank has it") {
  EpochLog log(3);
  log.publish("a", start);
  log.publish("b", start);
  log.acknowledge(0, 2);
  log.acknowledge(1, 2);
  CHECK(log.acknowledged() == 0);
  log.acknowledge(2, 1);
  CHECK(log.acknowledged() == 1);
  log.acknowledge(2, 1);
  log.acknowledge(1, 0);
  CHECK(log.acknowledged() == 1);
  log.acknowledge(2, 99);  // it cannot hold what does not exist
  CHECK(log.acknowledged() == 2);
  log.publish("c", start);
  CHECK(log.acknowledged() == 2);
  log.acknowledge(0, 3);
  log.acknowledge(1, 3);
  log.forget(2);
  CHECK(log.acknowledged() == 3);
  log.acknowledge(2, 1);  // a late word of the lost
  CHECK(log.acknowledged() == 3);
}

TEST_CASE("repair brings what a rank lacks, once, and only what is old enough") {
  EpochLog log(2);
  for (int i = 0; i < 5; ++i) log.publish(std::string(10, 'e'), start + i * 1s);
  log.acknowledge(1, 1);
  const auto first = log.repair(1, start + 2s, plenty);
  REQUIRE(first.size() == 1);
  CHECK(numbers_in(first[0]) == Numbers{2, 3});
  CHECK(log.repair(1, start + 2s, plenty).empty());
  const auto rest = log.repair(1, SteadyTime::max(), 5);
  REQUIRE(rest.size() == 2);  // one message each, where they do not fit together
  CHECK(numbers_in(rest[1]) == Numbers{5});
  log.forget(1);
  log.publish("f", start);
  CHECK(log.repair(1, SteadyTime::max(), plenty).empty());
}

TEST_CASE("what all hold by repair is not broadcast any more") {
  EpochLog log(2);
  log.publish("a", start);
  CHECK(log.repair(1, SteadyTime::max(), plenty).size() == 1);
  log.acknowledge(0, 1);
  log.acknowledge(1, 1);
  CHECK(log.take_batch(plenty).empty());
  log.publish("b", start);
  CHECK(numbers_in(log.take_batch(plenty)) == Numbers{2});
}

TEST_CASE("whatever way and order epochs come in, they are delivered in order and once") {
  std::mt19937 random(3);
  for (int round = 0; round < 50; ++round) {
    EpochReceiver receiver;
    Numbers delivered;
    Numbers coming;
    for (std::uint64_t number = 1; number <= 40; ++number) {
      for (auto copies = 1 + random() % 3; copies > 0; --copies) coming.push_back(number);
    }
    std::shuffle(coming.begin(), coming.end(), random);
    for (const std::uint64_t number : coming) {
      receiver.accept(number, std::to_string(number), [&](std::uint64_t next, std::string_view payload) {
        CHECK(payload == std::to_string(next));
        delivered.push_back(next);
      });
      CHECK(receiver.held() == delivered.size());
    }
    REQUIRE(delivered.size() == 40);
    CHECK(std::is_sorted(delivered.begin(), delivered.end()));
  }
}

TEST_CASE("a batch that is cut short is noticed") {
  std::string batch;
  append_epoch(batch, 1, "payload");
  for (std::size_t length = 1; length < batch.size(); ++length) {
    CHECK_FALSE(read_epochs(batch.substr(0, length), [](std::uint64_t, std::string_view) {}));
  }
}
