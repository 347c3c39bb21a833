#include "launch/wireup/exchange.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <set>

#include "core/defaults.hpp"

using namespace trireme;
using namespace trireme::wireup;

namespace {

/// Nodes whose messages wait until the test delivers them, in any order.
struct Network {
  explicit Network(int count) {
    for (Rank rank = 0; rank < count; ++rank) {
      nodes.push_back(std::make_unique<Exchange>(rank, [this, rank](Rank to, Message message) {
        flying.push_back({rank, to, std::move(message)});
      }));
    }
  }
  void deliver(std::size_t index) {
    Flight flight = std::move(flying[index]);
    flying.erase(flying.begin() + static_cast<std::ptrdiff_t>(index));
    largest_degree[flight.from].insert(flight.to);
    Exchange& node = *nodes[static_cast<std::size_t>(flight.to)];
    auto bytes = encode(flight.message);
    auto message = decode(bytes);
    REQUIRE(message.ok());
    if (auto* up = std::get_if<Contribution>(&*message)) node.on(std::move(*up), now);
    if (auto* down = std::get_if<Gathered>(&*message)) node.on(std::move(*down));
  }
  void deliver_all(std::mt19937& random) {
    while (!flying.empty()) deliver(random() % flying.size());
  }

  struct Flight {
    Rank from;
    Rank to;
    Message message;
  };
  std::deque<Flight> flying;
  std::map<Rank, std::set<Rank>> largest_degree;
  std::vector<std::unique_ptr<Exchange>> nodes;
  MonoTime now = 0;
};

ExchangeKey key(std::uint32_t number = 0, std::uint32_t task = 1) {
  return {AttemptId{{task}, 0}, "all", number};
}

}  // namespace

TEST_CASE("every member gets what all gave, in the members' order, whatever the order of messages and joins") {
  std::mt19937 random(3);
  for (const int count : {1, 2, 3, 8, 9, 10, 74, 200}) {
    Network net(count + 3);
    std::vector<Rank> members;
    for (Rank rank = 0; rank < count; ++rank) members.push_back(rank + 2);  // not all nodes, and not from 0
    std::vector<std::string> expected;
    for (const Rank rank : members) expected.push_back("from " + std::to_string(rank));
    std::vector<Rank> order = members;
    std::shuffle(order.begin(), order.end(), random);
    int done = 0;
    for (const Rank rank : order) {
      net.nodes[static_cast<std::size_t>(rank)]->join(
          key(), members, "from " + std::to_string(rank),
          [&](std::vector<std::string> given) {
            CHECK(given == expected);
            ++done;
          },
          0);
      if (!net.flying.empty() && random() % 2 == 0) net.deliver(random() % net.flying.size());
    }
    net.deliver_all(random);
    CHECK(done == count);
    for (const auto& node : net.nodes) CHECK(node->open() == 0);
    for (const auto& [rank, neighbours] : net.largest_degree) CHECK(neighbours.size() <= defaults::wireup_fanout + 1);
  }
}

TEST_CASE("exchanges of several attempts and numbers do not mix") {
  std::mt19937 random(4);
  Network net(3);
  int done = 0;
  for (std::uint32_t task = 0; task < 4; ++task) {
    for (std::uint32_t number = 0; number < 3; ++number) {
      for (Rank rank = 0; rank < 3; ++rank) {
        const std::string own = std::to_string(task) + "/" + std::to_string(number);
        net.nodes[static_cast<std::size_t>(rank)]->join(
            key(number, task), {0, 1, 2}, own,
            [&done, own](std::vector<std::string> given) {
              CHECK(given == std::vector<std::string>(3, own));
              ++done;
            },
            0);
      }
    }
  }
  net.deliver_all(random);
  CHECK(done == 36);
}

TEST_CASE("an attempt that is over here is forgotten, and what comes late for it goes after a while") {
  Network net(2);
  bool done = false;
  net.nodes[0]->join(
      key(), {0, 1}, "a", [&](auto) { done = true; }, 0);
  net.nodes[0]->join(
      key(0, 2), {0, 1}, "a", [&](auto) { done = true; }, 0);
  net.nodes[0]->forget(key().attempt);
  CHECK(net.nodes[0]->open() == 1);
  net.nodes[0]->on(Contribution{key(), {{1, "late"}}}, 0);
  CHECK_FALSE(done);
  CHECK(net.nodes[0]->open() == 2);
  const MonoTime later = std::chrono::nanoseconds(defaults::wireup_unclaimed).count() + 1;
  net.nodes[0]->on(Contribution{key(0, 3), {{1, "new"}}}, later);
  CHECK(net.nodes[0]->open() == 2);  // the joined one and the new one
}
