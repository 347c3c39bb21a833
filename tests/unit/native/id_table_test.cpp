#include "native/id_table.hpp"

#include <doctest/doctest.h>

#include <map>
#include <random>

using trireme::frames::IdTable;

TEST_CASE("a table of requests holds what a map holds, whatever comes and goes") {
  std::minstd_rand random(7);
  IdTable<int> table;
  std::map<std::uint64_t, int> model;
  std::uint64_t next = 1;
  for (int step = 0; step < 100'000; ++step) {
    if (model.size() < 300 && random() % 2 == 0) {
      next += 1 + (random() % 50 == 0 ? random() % 1000 : 0);
      table.insert(next, step);
      model.emplace(next, step);
    } else if (!model.empty()) {
      auto chosen = model.lower_bound(model.begin()->first + random() % (next - model.begin()->first + 1));
      if (chosen == model.end()) chosen = model.begin();
      REQUIRE(table.take(chosen->first) == chosen->second);
      model.erase(chosen);
    }
    if (step % 1000 == 0) {
      REQUIRE(table.size() == model.size());
      for (const auto& [id, value] : model) REQUIRE(*table.find(id) == value);
    }
  }
  CHECK(table.find(next + 1) == nullptr);
  CHECK(table.take(next + 1) == 0);
  std::size_t seen = 0;
  table.for_each([&](std::uint64_t id, int value) {
    CHECK(model.at(id) == value);
    ++seen;
  });
  CHECK(seen == model.size());
}
