#include "proxy/admission/load_reporter.hpp"

#include <map>
#include <random>

#include "support.hpp"

using namespace trireme;
using namespace trireme::proxy;
using namespace trireme::proxy::test;

namespace {

constexpr MonoTime interval = Duration(defaults::load_interval).count();
constexpr MonoTime interest = Duration(defaults::load_interest).count();

struct Fixture {
  Fixture() {
    slots.apply(as_service(service_on({1, 1}, 8)));
    slots.on_change([this](const ReplicaId& id) { reporter.changed(id); });
  }
  MonoTime now = 100 * second;
  Recorder out;
  Slots slots{1, out};
  LoadReporter reporter{slots, out};
};

}  // namespace

TEST_CASE("load: changes are told to those who used the replica, gathered, at most once in an interval") {
  Fixture f;
  CHECK(f.slots.admit(replica(0), f.now));
  CHECK(f.reporter.tick(f.now) == 0);
  f.reporter.used(2, llama, f.now);
  CHECK(f.slots.admit(replica(0), f.now));
  CHECK(f.slots.admit(replica(1), f.now));
  CHECK(f.reporter.pending());
  CHECK(f.reporter.tick(f.now) == 0);
  CHECK(f.out.take<Load>(2).entries ==
        std::vector<Load::Entry>{{.replica = replica(0), .load = {.in_flight = 2, .contended = false}},
                                 {.replica = replica(1), .load = {.in_flight = 1, .contended = false}}});
  f.slots.release(replica(0));
  CHECK(f.reporter.tick(f.now + 1) == f.now + interval);
  f.slots.release(replica(0));
  CHECK(f.reporter.tick(f.now + 2) == f.now + interval);
  CHECK(f.out.empty());
  CHECK(f.reporter.tick(f.now + interval) == 0);
  CHECK(f.out.take<Load>(2).entries[0].load.in_flight == 0);
  CHECK(f.reporter.tick(f.now + 2 * interval) == 0);
  CHECK(f.out.empty());
}

TEST_CASE("load: a rank that used the service lately knows every change within the interval") {
  Fixture f;
  std::mt19937 random(7);
  std::map<ReplicaId, std::uint32_t> told;
  std::map<ReplicaId, MonoTime> wrong_since;
  MonoTime due = 0;
  f.reporter.used(2, llama, f.now);
  for (int step = 0; step < 20'000; ++step, f.now += ms / 4) {
    const ReplicaId id = replica(random() % 2);
    if (const auto what = random() % 3; what == 0) {
      f.slots.release(id);
    } else if (what == 1 && f.slots.in_use(id) < 8) {
      CHECK(f.slots.admit(id, f.now));
    }
    if (f.reporter.pending() || (due != 0 && due <= f.now)) due = f.reporter.tick(f.now);
    while (!f.out.empty()) {
      for (const auto& entry : f.out.take<Load>(2).entries) told[entry.replica] = entry.load.in_flight;
    }
    for (const ReplicaId& one : {replica(0), replica(1)}) {
      if (told[one] == f.slots.load(one).in_flight) {
        wrong_since[one] = f.now;
      } else {
        CHECK(f.now - wrong_since[one] <= interval);
      }
    }
  }
}

TEST_CASE("load: who has not used a replica for long, or is lost, is not told") {
  Fixture f;
  f.reporter.used(2, llama, f.now);
  f.reporter.used(3, llama, f.now);
  f.reporter.on_rank_lost(3);
  f.now += interest + 1;
  CHECK(f.slots.admit(replica(0), f.now));
  CHECK(f.reporter.tick(f.now) == 0);
  CHECK(f.out.empty());
}
