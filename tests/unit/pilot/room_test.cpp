// Whatever is taken from a node and given back in whatever order: no GPU is given more than once over, a share is of one GPU, whole
// GPUs are nobody else's, and what is said to fit can be taken.
#include "pilot/room.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

using namespace trireme;
using namespace trireme::pilot;

namespace {

struct Taken {
  Resources each;
  Grant grant;
};

/// What each GPU has been given, by the grants themselves.
struct Ledger {
  std::vector<MilliGpus> used;

  void add(const Taken& taken, int sign) {
    const MilliGpus piece = std::min(taken.each.gpus, whole_gpu);
    for (const std::uint16_t gpu : taken.grant.gpus) {
      REQUIRE(gpu < used.size());
      used[gpu] = sign > 0 ? used[gpu] + piece : used[gpu] - piece;
      REQUIRE(used[gpu] <= whole_gpu);
    }
  }
};

}  // namespace

TEST_CASE("random shares and whole GPUs: none is given more than once over, and all is there again at the end") {
  std::mt19937 random(4711);
  const auto draw = [&random](std::uint32_t below) { return static_cast<std::uint32_t>(random() % below); };
  std::size_t shares = 0;
  std::size_t refused = 0;
  for (int machine = 0; machine < 200; ++machine) {
    const std::uint32_t gpus = 1 + draw(8);
    const Resources all{.cores = 64, .gpus = gpus * whole_gpu, .memory = 1u << 20};
    Room room(all);
    Ledger ledger{std::vector<MilliGpus>(gpus)};
    std::vector<Taken> held;
    for (int step = 0; step < 500; ++step) {
      if (!held.empty() && draw(5) < 2) {
        const std::size_t which = draw(static_cast<std::uint32_t>(held.size()));
        room.give_back(held[which].each, held[which].grant);
        ledger.add(held[which], -1);
        held.erase(held.begin() + which);
        continue;
      }
      constexpr MilliGpus sizes[] = {1, 100, 125, 250, 333, 500, 750, 999, 1000, 2000};
      const Resources each{.cores = draw(3), .gpus = sizes[draw(10)], .memory = draw(100)};
      const std::uint32_t fit = room.ranks_that_fit(each);
      if (fit == 0) {
        ++refused;
        continue;
      }
      Taken taken{each, room.take(each, 1 + draw(std::min(fit, 4u)))};
      CHECK(taken.grant.gpus.size() ==
            std::size_t{taken.grant.ranks} * std::max<std::size_t>(1, each.gpus / whole_gpu));
      ledger.add(taken, 1);
      shares += each.gpus < whole_gpu ? 1 : 0;
      held.push_back(std::move(taken));
      MilliGpus sum = 0;
      for (const MilliGpus used : ledger.used) sum += used;
      CHECK(room.gpus() == all.gpus - sum);
    }
    for (const Taken& taken : held) room.give_back(taken.each, taken.grant);
    CHECK(room.ranks_that_fit({.gpus = whole_gpu}) == gpus);
    CHECK(room.gpus() == all.gpus);
    CHECK(room.cores() == all.cores);
  }
  CHECK(shares > 1000);
  CHECK(refused > 100);
}

TEST_CASE("four quarters share one GPU, and a whole one beside them is another") {
  Room room({.cores = 8, .gpus = 2 * whole_gpu});
  const Grant quarters = room.take({.gpus = 250}, 4);
  CHECK(std::count(quarters.gpus.begin(), quarters.gpus.end(), quarters.gpus.front()) == 4);
  CHECK(room.ranks_that_fit({.gpus = whole_gpu}) == 1);
  CHECK(room.take({.gpus = whole_gpu}, 1).gpus.front() != quarters.gpus.front());
  CHECK(room.ranks_that_fit({.gpus = 1}) == 0);
}
