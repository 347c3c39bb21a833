#include "proxy/admission/load_reporter.hpp"

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
  f.reporter.used(2, replica(0), f.now);
  CHECK(f.slots.admit(replica(0), f.now));
  CHECK(f.slots.admit(replica(1), f.now));
  CHECK(f.reporter.pending());
  CHECK(f.reporter.tick(f.now) == 0);
  CHECK(f.out.take<Load>(2).entries ==
        std::vector<Load::Entry>{{.replica = replica(0), .load = {.in_flight = 2, .contended = false}}});
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

TEST_CASE("load: who has not used a replica for long, or is lost, is not told") {
  Fixture f;
  f.reporter.used(2, replica(0), f.now);
  f.reporter.used(3, replica(0), f.now);
  f.reporter.on_rank_lost(3);
  f.now += interest + 1;
  CHECK(f.slots.admit(replica(0), f.now));
  CHECK(f.reporter.tick(f.now) == 0);
  CHECK(f.out.empty());
}
