#include "pilot/scheduler.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>

using namespace trireme;
using namespace trireme::pilot;

namespace {

using Nodes = std::vector<Resources>;

struct Machine : Scheduler {
  std::uint32_t submitted = 0;
  std::map<std::uint32_t, Placement> running;
  std::map<std::uint32_t, ShapeIndex> shapes;

  explicit Machine(const Nodes& nodes) {
    for (std::size_t i = 0; i < nodes.size(); ++i) add_node(static_cast<Rank>(i), nodes[i]);
  }
  std::uint32_t queue(Resources per_rank, std::uint32_t ranks = 1, std::int32_t priority = 0) {
    return queue_shape(Shape{.per_rank = per_rank, .ranks = ranks}, priority);
  }
  std::uint32_t queue_shape(const Shape& shape, std::int32_t priority = 0) {
    shapes[submitted] = shape_index(shape);
    enqueue({submitted}, shapes[submitted], priority);
    return submitted++;
  }
  /// The tasks that start now, in order.
  std::vector<std::uint32_t> start() {
    std::vector<std::uint32_t> tasks;
    Placement placement;
    while (next(placement)) {
      tasks.push_back(placement.task.value);
      running[placement.task.value] = placement;
    }
    return tasks;
  }
  void end(std::uint32_t task) {
    for (const Part& part : running.at(task).parts) release(shapes[task], part);
    running.erase(task);
  }
  std::vector<std::pair<Rank, std::uint32_t>> where(std::uint32_t task) {
    std::vector<std::pair<Rank, std::uint32_t>> parts;
    for (const Part& part : running.at(task).parts) parts.emplace_back(part.rank, part.local_ranks);
    return parts;
  }
};

using Where = std::vector<std::pair<Rank, std::uint32_t>>;
using Ids = std::vector<std::uint32_t>;

}  // namespace

TEST_SUITE("scheduler") {
  TEST_CASE("small tasks spread over all nodes") {
    Machine m(Nodes{{.cores = 4}, {.cores = 4}, {.cores = 4}});
    std::map<Rank, int> count;
    for (int i = 0; i < 6; ++i) m.queue({.cores = 1});
    for (std::uint32_t t : m.start()) ++count[m.where(t)[0].first];
    CHECK(count == std::map<Rank, int>{{0, 2}, {1, 2}, {2, 2}});
  }

  TEST_CASE("large tasks leave large holes") {
    Machine m(Nodes{{.cores = 8}, {.cores = 4}});
    const auto small = m.queue({.cores = 4});
    const auto large = m.queue({.cores = 8});
    CHECK(m.start() == Ids{small, large});
    CHECK(m.where(small) == Where{{1, 1}});
    CHECK(m.where(large) == Where{{0, 1}});
  }

  TEST_CASE("higher priority first, then in order of submission, whatever the shape") {
    Machine m(Nodes{{.cores = 1}});
    const auto low = m.queue({.cores = 1}, 1, -1);
    const auto first = m.queue({.cores = 1});
    const auto second = m.queue({.cores = 1, .memory = 0}, 1, 0);
    const auto high = m.queue({.cores = 1}, 1, 5);
    Ids order;
    for (auto started = m.start(); !started.empty(); started = m.start()) {
      REQUIRE(started.size() == 1);
      order.push_back(started[0]);
      m.end(started[0]);
    }
    CHECK(order == Ids{high, first, second, low});
  }

  TEST_CASE("ranks that fit one node are kept together, others use as few nodes as possible") {
    Machine m(Nodes{{.cores = 4}, {.cores = 8}, {.cores = 4}, {.cores = 8}});
    const auto together = m.queue({.cores = 2}, 2);
    const auto apart = m.queue({.cores = 2}, 7);
    CHECK(m.start() == Ids{together, apart});
    CHECK(m.where(together) == Where{{0, 2}});
    CHECK(m.where(apart) == Where{{1, 4}, {3, 3}});
    CHECK(m.running[apart].parts[1].first_rank == 4);
  }

  TEST_CASE("all ranks are placed at once or none") {
    Machine m(Nodes{{.cores = 4}, {.cores = 4}});
    const auto blocker = m.queue({.cores = 3});
    const auto wide = m.queue({.cores = 1}, 8);
    CHECK(m.start() == Ids{blocker});
    CHECK(m.nodes()[0].free.cores() + m.nodes()[1].free.cores() == 5);
    m.end(blocker);
    CHECK(m.start() == Ids{wide});
  }

  TEST_CASE("a wide task is not starved by small ones for ever") {
    Machine m(Nodes{{.cores = 4}, {.cores = 4}});
    Ids small;
    for (int i = 0; i < 8; ++i) small.push_back(m.queue({.cores = 1}));
    m.start();
    const auto wide = m.queue({.cores = 4});
    for (int i = 0; i < 1000; ++i) m.queue({.cores = 1});
    int others = 0;
    bool started = false;
    // One small task ends after the other, so that no node is ever empty by itself.
    for (std::size_t i = 0; !started; ++i) {
      REQUIRE(i < 200);
      m.end(m.running.begin()->first);
      for (std::uint32_t t : m.start()) {
        started = started || t == wide;
        others += t == wide ? 0 : 1;
      }
    }
    CHECK(others >= static_cast<int>(defaults::overtakes));
    CHECK(others < 100);
    // The other node was used all the while, and the reservation is over.
    std::uint32_t cores = m.nodes()[0].free.cores() + m.nodes()[1].free.cores();
    CHECK(cores == 0);
  }

  TEST_CASE("whoever comes before the holder of a reservation may use the reserved node") {
    Machine m(Nodes{{.cores = 2}});
    const auto a = m.queue({.cores = 1});
    m.start();
    const auto wide = m.queue({.cores = 2});
    for (std::uint32_t i = 0; i <= defaults::overtakes; ++i) {
      const auto t = m.queue({.cores = 1});
      for (std::uint32_t s : m.start()) {
        REQUIRE(s == t);
        m.end(t);
      }
    }
    const auto normal = m.queue({.cores = 1});
    CHECK(m.start().empty());
    const auto urgent = m.queue({.cores = 1}, 1, 10);
    CHECK(m.start() == Ids{urgent});
    m.end(urgent);
    m.end(a);
    CHECK(m.start() == Ids{wide});
    m.end(wide);
    const Ids rest = m.start();
    CHECK(std::find(rest.begin(), rest.end(), normal) != rest.end());
  }

  TEST_CASE("two halves of two GPUs are not a GPU") {
    Machine m(Nodes{{.cores = 8, .gpus = 2000}});
    Ids halves;
    for (int i = 0; i < 4; ++i) halves.push_back(m.queue({.cores = 1, .gpus = 500}));
    const auto whole = m.queue({.cores = 1, .gpus = 1000});
    CHECK(m.start() == halves);
    m.end(halves[0]);
    m.end(halves[2]);
    CHECK(m.nodes()[0].free.gpus() == 1000);
    CHECK(m.start().empty());
    m.end(halves[1]);
    CHECK(m.start() == Ids{whole});
  }

  TEST_CASE("tasks with GPUs spread, and memory counts") {
    Machine m(Nodes{{.cores = 8, .memory = 100},
                    {.cores = 2, .gpus = 2000, .memory = 10},
                    {.cores = 2, .gpus = 2000, .memory = 10}});
    const auto a = m.queue({.cores = 1, .gpus = 1000, .memory = 5});
    const auto b = m.queue({.cores = 1, .gpus = 1000, .memory = 6});
    const auto c = m.queue({.cores = 1, .gpus = 1000, .memory = 5});
    CHECK(m.start() == Ids{a, b, c});
    CHECK(m.where(a) == Where{{1, 1}});
    CHECK(m.where(b) == Where{{2, 1}});
    CHECK(m.where(c) == Where{{1, 1}});
    m.queue({.cores = 1, .memory = 101});
    CHECK(m.start().empty());
    CHECK(m.take_stranded().size() == 1);
  }

  TEST_CASE("requests without cores spread and are bounded per node") {
    Machine m(Nodes{{.cores = 1}, {.cores = 9}});
    for (std::uint32_t i = 0; i < 2 * defaults::coreless_per_node + 1; ++i) m.queue({});
    const Ids started = m.start();
    CHECK(started.size() == 2 * defaults::coreless_per_node);
    CHECK(m.where(started[0])[0].first != m.where(started[1])[0].first);
    m.end(started[7]);
    CHECK(m.start().size() == 1);
  }

  TEST_CASE("removed tasks are never handed out, wherever in the queue they were") {
    Machine m(Nodes{{.cores = 1}});
    Ids tasks;
    for (int i = 0; i < 5; ++i) tasks.push_back(m.queue({.cores = 1}));
    for (std::uint32_t t : {2u, 0u, 4u, 3u}) m.remove({t}, m.shapes[t]);
    CHECK(m.start() == Ids{1});
    m.end(1);
    CHECK(m.start().empty());
  }

  TEST_CASE("seats spread over nodes, and a node with a seat that waits is handed no tasks") {
    Machine m(Nodes{{.cores = 4}, {.cores = 4}});
    const Resources two{.cores = 2};
    std::vector<Rank> seats;
    for (int i = 0; i < 3; ++i) {
      auto taken = m.assign({two}, seats);
      REQUIRE(taken.size() == 1);
      REQUIRE(m.occupy(taken[0], two));
      seats.push_back(taken[0].rank);
    }
    CHECK(seats == std::vector<Rank>{0, 1, 0});
    const auto a = m.queue({.cores = 1});
    m.queue({.cores = 1});
    CHECK(m.start().size() == 2);
    auto last = m.assign({two}, seats);
    REQUIRE(last.size() == 1);
    CHECK(last[0].rank == 1);
    CHECK(m.assign({two}, seats).empty());
    CHECK(!m.occupy(last[0], two));
    m.queue({.cores = 1});
    m.end(a);
    CHECK(m.start().empty());
    CHECK(m.take_stranded().size() == 1);  // both nodes are full of seats
    m.end(a + 1);
    CHECK(m.occupy(last[0], two));
    m.vacate(last[0], two);
    m.queue({.cores = 2});
    CHECK(m.start().size() == 1);
  }

  TEST_CASE("the ranks of a replica sit on as few nodes as possible, or as they ask") {
    const auto where = [](const std::vector<Seat>& seats) {
      Where out;
      for (const Seat& seat : seats) out.emplace_back(seat.rank, seat.ranks);
      return out;
    };
    const Resources one{.cores = 1};
    Machine m(Nodes{{.cores = 4}, {.cores = 8}, {.cores = 2}, {.cores = 8}});
    CHECK(where(m.assign({one, 10}, {})) == Where{{1, 8}, {2, 2}});
    CHECK(where(m.assign({one, 6, 4}, {})) == Where{{3, 4}, {0, 2}});
    CHECK(m.assign({one, 7}, {}).empty());
    CHECK(where(m.assign({one, 6}, {})) == Where{{3, 4}, {0, 2}});
    Machine empty(Nodes{{.cores = 4}, {.cores = 8}});
    CHECK(where(empty.assign({one, 1, 4}, {})) == Where{{1, 1}});
  }

  TEST_CASE("a replica's ranks on one node take what they all need, and give it back") {
    const Resources two{.cores = 2};
    Machine m(Nodes{{.cores = 8}});
    const auto a = m.queue({.cores = 4});
    CHECK(m.start() == Ids{a});
    auto seats = m.assign({two, 3}, {});
    REQUIRE(seats.size() == 1);
    CHECK(!m.occupy(seats[0], two));
    m.end(a);
    CHECK(m.occupy(seats[0], two));
    const auto b = m.queue({.cores = 3});
    CHECK(m.start().empty());
    m.vacate(seats[0], two);
    CHECK(m.start() == Ids{b});
  }

  TEST_CASE("what was taken on a lost node is forgotten") {
    Machine m(Nodes{{.cores = 2}, {.cores = 2}});
    const auto a = m.queue({.cores = 2});
    const auto b = m.queue({.cores = 2});
    m.start();
    m.remove_node(0);
    m.end(a);
    CHECK(!m.alive(0));
    const auto c = m.queue({.cores = 2});
    CHECK(m.start().empty());
    m.end(b);
    CHECK(m.start() == Ids{c});
  }

  TEST_CASE("so many ranks on each node, and fewer on the last") {
    Machine m(Nodes{{.cores = 8}, {.cores = 2}, {.cores = 8}, {.cores = 8}});
    const auto wide = m.queue_shape(Shape{.per_rank = {.cores = 1}, .ranks = 10, .ranks_per_node = 4});
    const auto one_node = m.queue_shape(Shape{.per_rank = {.cores = 1}, .ranks = 2, .ranks_per_node = 4});
    CHECK(m.start() == Ids{wide, one_node});
    CHECK(m.where(wide) == Where{{0, 4}, {2, 4}, {3, 2}});
    CHECK(m.where(one_node) == Where{{1, 2}});
    const auto too_wide = m.queue_shape(Shape{.per_rank = {.cores = 1}, .ranks = 13, .ranks_per_node = 4});
    CHECK(m.start().empty());
    CHECK(m.take_stranded() == std::vector<std::pair<TaskIndex, ShapeIndex>>{{{too_wide}, m.shapes[too_wide]}});
  }

  TEST_CASE("an exclusive task has its nodes for itself, all of them") {
    Machine m(Nodes{{.cores = 4, .gpus = 1000}, {.cores = 4, .gpus = 1000}});
    const auto small = m.queue({.cores = 1});
    const auto alone = m.queue_shape(Shape{.per_rank = {.cores = 1}, .exclusive = true});
    const auto next = m.queue_shape(Shape{.per_rank = {.cores = 1}, .exclusive = true});
    CHECK(m.start() == Ids{small, alone});
    CHECK(m.where(alone) == Where{{1, 1}});
    const auto coreless = m.queue({});
    const auto gpu = m.queue({.cores = 1, .gpus = 1000});
    CHECK(m.start() == Ids{coreless, gpu});  // both beside the small one
    CHECK(m.where(coreless) == Where{{0, 1}});
    CHECK(m.where(gpu) == Where{{0, 1}});
    m.end(alone);
    CHECK(m.start() == Ids{next});
    CHECK(m.where(next) == Where{{1, 1}});
  }

  TEST_CASE("an exclusive task can never run where a service lives") {
    Machine m(Nodes{{.cores = 4}});
    REQUIRE(!m.assign({{.cores = 1}}, {}).empty());
    const auto alone = m.queue_shape(Shape{.per_rank = {.cores = 1}, .exclusive = true});
    CHECK(m.start().empty());
    CHECK(m.take_stranded().size() == 1);
    CHECK(alone == 0);
  }

  TEST_CASE("colocated tasks go where the first of them went, and begin where all of them fit") {
    Machine m(Nodes{{.cores = 2}, {.cores = 4}, {.cores = 4}});
    const ColocateIndex pair{0};
    const auto small = m.queue_shape(Shape{.per_rank = {.cores = 2}, .colocate = pair});
    const auto large = m.queue_shape(Shape{.per_rank = {.cores = 4}, .colocate = pair});
    CHECK(m.start() == Ids{small});
    CHECK(m.where(small) == Where{{1, 1}});
    m.end(small);
    CHECK(m.start() == Ids{large});
    CHECK(m.where(large) == Where{{1, 1}});
    const auto more = m.queue_shape(Shape{.per_rank = {.cores = 2}, .colocate = pair});
    CHECK(m.start().empty());
    m.remove_node(1);
    CHECK(m.start() == Ids{more});  // its nodes are gone: it begins anew
    CHECK(m.where(more) == Where{{2, 1}});
  }

  TEST_CASE("nodes whose wide task ends part by part go to the next wide one") {
    Machine m(Nodes{{.cores = 2}, {.cores = 2}, {.cores = 2}});
    const Shape wide{.per_rank = {.cores = 2}, .ranks = 2};
    const auto first = m.queue_shape(wide);
    Ids small{m.queue({.cores = 1}), m.queue({.cores = 1})};
    CHECK(m.start() == Ids{first, small[0], small[1]});
    const auto second = m.queue_shape(wide);
    for (int i = 0; i < 200; ++i) m.queue({.cores = 1});
    // Small ones pass by until the wide one has had enough of it.
    for (std::uint32_t i = 0; i <= defaults::overtakes; ++i) {
      m.end(small[0]);
      const Ids started = m.start();
      if (started.empty()) break;
      small[0] = started[0];
    }
    for (const Part& part : m.running.at(first).parts) {
      m.release(m.shapes[first], part);
      const Ids started = m.start();
      if (!started.empty()) CHECK(started.front() == second);
    }
    m.running.erase(first);
    CHECK(m.running.contains(second));
  }

  TEST_CASE("nodes that a wide task leaves go to the next of its shape, a little ahead of its turn") {
    Machine m(Nodes{{.cores = 2}, {.cores = 2}});
    const Shape wide{.per_rank = {.cores = 2}, .ranks = 2};
    const auto first = m.queue_shape(wide);
    CHECK(m.start() == Ids{first});
    const std::vector<Part> parts = m.running.at(first).parts;

    SUBCASE("as parts end one by one, nobody comes in between") {
      const auto small = m.queue({.cores = 1});
      const auto second = m.queue_shape(wide);
      m.release(m.shapes[first], parts[0]);
      CHECK(m.start().empty());
      m.release(m.shapes[first], parts[1]);
      CHECK(m.start() == Ids{second});
      m.end(second);
      CHECK(m.start() == Ids{small});  // nobody inherits, so nothing is kept
    }
    SUBCASE("not if it is far ahead of its turn") {
      Ids small;
      for (int i = 0; i < 40; ++i) small.push_back(m.queue({.cores = 1}));
      const auto second = m.queue_shape(wide);
      m.end(first);
      for (std::size_t i = 0; i < small.size(); i += 4) {
        const Ids four{small[i], small[i + 1], small[i + 2], small[i + 3]};
        REQUIRE(m.start() == four);
        for (std::uint32_t t : four) m.end(t);
      }
      CHECK(m.start() == Ids{second});
    }
    SUBCASE("not for ever while somebody waits who comes first") {
      const auto small = m.queue({.cores = 1});
      std::uint32_t running = first;
      std::uint32_t heirs = 0;
      for (bool placed = false; !placed; ++heirs) {
        REQUIRE(heirs < 2 * defaults::overtakes);
        m.queue_shape(wide);
        m.end(running);
        const Ids started = m.start();
        REQUIRE(started.size() == 1);
        running = started.front();
        placed = running == small;
      }
      CHECK(heirs > 1);
    }
    SUBCASE("also while somebody else waits long enough to reserve a place") {
      Ids one;
      for (std::uint32_t i = 0; i < defaults::overtakes; ++i) one.push_back(m.queue({.cores = 1}, 1, -1));
      const auto second = m.queue_shape(wide);
      m.release(m.shapes[first], parts[0]);
      CHECK(m.start().empty());
      m.release(m.shapes[first], parts[1]);
      CHECK(m.start() == Ids{second});
    }
    SUBCASE("not past what is more urgent") {
      const auto second = m.queue_shape(wide);
      const auto urgent = m.queue({.cores = 1}, 1, 10);
      m.end(first);
      CHECK(m.start() == Ids{urgent});
      m.end(urgent);
      CHECK(m.start() == Ids{second});
    }
    SUBCASE("what gets more urgent later takes the nodes that were kept") {
      m.queue({.cores = 1});
      const auto second = m.queue_shape(wide);
      m.release(m.shapes[first], parts[0]);
      CHECK(m.start().empty());
      const auto urgent = m.queue({.cores = 1}, 1, 10);
      CHECK(m.start() == Ids{urgent});
      m.release(m.shapes[first], parts[1]);
      CHECK(m.start().empty());
      m.end(urgent);
      CHECK(m.start() == Ids{second});
    }
    SUBCASE("an heir that is taken back frees the nodes") {
      const auto small = m.queue({.cores = 1});
      const auto second = m.queue_shape(wide);
      m.release(m.shapes[first], parts[0]);
      CHECK(m.start().empty());
      m.remove({second}, m.shapes[second]);
      CHECK(m.start() == Ids{small});
    }
  }

  TEST_CASE("a wide task and one of a single rank are both given places while small ones would pass them for ever") {
    Machine m(Nodes(4, {.cores = 4}));
    for (int i = 0; i < 16; ++i) m.queue({.cores = 1});
    m.start();
    const auto wide = m.queue({.cores = 4}, 2);
    const auto single = m.queue({.cores = 3});
    for (int i = 0; i < 1000; ++i) m.queue({.cores = 1});
    std::set<std::uint32_t> waiting{wide, single};
    for (int i = 0; !waiting.empty(); ++i) {
      REQUIRE(i < 300);
      m.end(m.running.begin()->first);
      for (std::uint32_t t : m.start()) waiting.erase(t);
    }
  }

  TEST_CASE("nodes are emptied where the fewest tasks must end") {
    Machine m(Nodes(3, {.cores = 4}));
    Ids tasks;
    for (const std::uint32_t cores : {1, 1, 1, 1, 2, 2, 1, 1, 1, 1}) tasks.push_back(m.queue({.cores = cores}));
    m.start();
    std::map<Rank, int> on;
    for (std::uint32_t t : tasks) ++on[m.where(t)[0].first];
    const Rank fewest =
        std::min_element(on.begin(), on.end(), [](auto& a, auto& b) { return a.second < b.second; })->first;
    REQUIRE(on[fewest] < 4);
    m.queue({.cores = 4});
    for (std::uint32_t i = 0; i <= defaults::overtakes; ++i) {
      m.queue({.cores = 1});
      m.end(m.running.rbegin()->first);
      m.start();
    }
    for (Rank rank = 0; rank < 3; ++rank)
      CHECK(m.nodes()[static_cast<std::size_t>(rank)].kept_for.valid() == (rank == fewest));
  }
}
