#include "proxy/admission/slots.hpp"

#include "support.hpp"

using namespace trireme;
using namespace trireme::proxy;
using namespace trireme::proxy::test;

namespace {

constexpr Rank self = 1;
constexpr Rank home = 0;

struct Fixture {
  explicit Fixture(std::uint32_t concurrency = 2) : endpoint(service_on({self}, concurrency)) {
    slots.apply(as_service(endpoint));
  }
  ServiceEndpoint endpoint;
  Recorder out;
  Slots slots{self, out};
  ReplicaId id = replica(0);
};

}  // namespace

TEST_CASE("slots: never more in flight than the replica's concurrency") {
  Fixture f;
  CHECK(f.slots.admit(f.id));
  CHECK(f.slots.admit(f.id));
  CHECK_FALSE(f.slots.admit(f.id));
  CHECK(f.slots.in_use(f.id) == 2);
  CHECK(f.out.empty());
}

TEST_CASE("slots: after a refusal a released slot is offered to the home and not given directly") {
  Fixture f(1);
  CHECK(f.slots.admit(f.id));
  CHECK_FALSE(f.slots.admit(f.id));
  f.slots.release(f.id);
  const auto offer = f.out.take<SlotOffer>(home);
  CHECK(offer.replica == f.id);
  REQUIRE(offer.reservations.size() == 1);
  CHECK_FALSE(f.slots.admit(f.id));
  CHECK(f.slots.load(f.id) == LoadReport{.in_flight = 1, .contended = true});

  SUBCASE("a granted reservation takes it, once") {
    CHECK(f.slots.redeem(f.id, offer.reservations[0]));
    CHECK_FALSE(f.slots.redeem(f.id, offer.reservations[0]));
    CHECK(f.slots.in_use(f.id) == 1);
    CHECK(f.out.empty());
  }
  SUBCASE("returned by an ingress whose client has gone, it is offered again") {
    f.slots.on_return(2, {.replica = f.id, .reservations = offer.reservations, .no_waiters = false});
    CHECK(f.out.take<SlotOffer>(home).reservations != offer.reservations);
    CHECK(f.out.empty());
  }
  SUBCASE("returned by the home without waiters, it is given directly again") {
    f.slots.on_return(home, {.replica = f.id, .reservations = offer.reservations, .no_waiters = true});
    CHECK(f.slots.load(f.id) == LoadReport{.in_flight = 0, .contended = false});
    CHECK(f.slots.admit(f.id));
    CHECK(f.out.empty());
  }
}

TEST_CASE("slots: a want is answered with everything that is free") {
  Fixture f(3);
  CHECK(f.slots.admit(f.id));
  f.slots.on_want(home, {.replica = f.id});
  CHECK(f.out.take<SlotOffer>(home).reservations.size() == 2);
  CHECK_FALSE(f.slots.has_free(f.id));
  f.slots.on_want(home, {.replica = f.id});
  CHECK(f.out.empty());
}

TEST_CASE("slots: a want that comes before its replica's epoch is not forgotten") {
  Recorder out;
  Slots slots(self, out);
  slots.on_want(2, {.replica = replica(0)});
  CHECK(out.empty());
  auto endpoint = service_on({self}, 2);
  endpoint.home = 2;
  slots.apply(as_service(endpoint));
  CHECK(out.take<SlotOffer>(2).reservations.size() == 2);
  slots.apply(as_service(endpoint));
  CHECK(out.empty());
}

TEST_CASE("slots: a replica that is starting, unknown or resting admits nobody") {
  Fixture f;
  CHECK_FALSE(f.slots.admit(replica(0, 1)));
  f.endpoint.replicas[0].state = ReplicaState::starting;
  f.slots.apply(as_service(f.endpoint));
  CHECK_FALSE(f.slots.admit(f.id));
  f.endpoint.replicas[0].state = ReplicaState::ready;
  f.slots.apply(as_service(f.endpoint));
  f.slots.rest(f.id, 10);
  CHECK_FALSE(f.slots.admit(f.id));
  f.slots.on_want(home, {.replica = f.id});
  CHECK(f.out.empty());
  CHECK(f.slots.tick(9) == 10);
  CHECK(f.out.empty());
  CHECK(f.slots.tick(10) == 0);
  CHECK(f.out.take<SlotOffer>(home).reservations.size() == 2);
}

TEST_CASE("slots: a drain is done when the last request has left, and takes reservations back") {
  Fixture f;
  CHECK(f.slots.admit(f.id));
  f.slots.on_want(home, {.replica = f.id});
  const auto offer = f.out.take<SlotOffer>(home);
  int done = 0;
  f.slots.drain(f.id, [&] { ++done; });
  CHECK(done == 0);
  CHECK_FALSE(f.slots.admit(f.id));
  CHECK_FALSE(f.slots.redeem(f.id, offer.reservations.at(0)));
  f.slots.release(f.id);
  CHECK(done == 1);
  CHECK(f.out.empty());

  SUBCASE("nothing in flight: at once") {
    f.slots.drain(f.id, [&] { ++done; });
    CHECK(done == 2);
  }
  SUBCASE("an unknown replica has nothing in flight") {
    f.slots.drain(replica(7), [&] { ++done; });
    CHECK(done == 2);
  }
}

TEST_CASE("slots: a replica that is gone ends its drain, and late releases do no harm") {
  Fixture f;
  CHECK(f.slots.admit(f.id));
  int done = 0;
  f.slots.drain(f.id, [&] { ++done; });
  f.endpoint.replicas[0].id = replica(0, 1);
  f.slots.apply(as_service(f.endpoint));
  CHECK(done == 1);
  f.slots.release(f.id);
  CHECK(f.slots.in_use(replica(0, 1)) == 0);
  CHECK(f.slots.admit(replica(0, 1)));
}

TEST_CASE("slots: a lost rank takes no slot with it") {
  Fixture f;
  f.slots.on_want(home, {.replica = f.id});
  const auto offer = f.out.take<SlotOffer>(home);
  SUBCASE("an ingress: what was reserved is offered again") {
    f.slots.on_rank_lost(2);
    CHECK(f.out.take<SlotOffer>(home).reservations.size() == 2);
    CHECK_FALSE(f.slots.redeem(f.id, offer.reservations[0]));
  }
  SUBCASE("the home: slots are given directly until another one asks") {
    f.slots.on_rank_lost(home);
    CHECK(f.out.empty());
    CHECK(f.slots.admit(f.id));
    f.endpoint.home = 2;
    f.slots.apply(as_service(f.endpoint));
    f.slots.on_want(2, {.replica = f.id});
    CHECK(f.out.take<SlotOffer>(2).reservations.size() == 1);
  }
}

TEST_CASE("slots: a remote endpoint belongs to the home rank and has a concurrency of its own") {
  Recorder out;
  Slots slots(home, out);
  ServiceEndpoint endpoint = service_on({}, 8);
  endpoint.remote.push_back({});
  endpoint.remote[0].concurrency = 1;
  slots.apply(as_service(endpoint));
  const ReplicaId id{llama, first_remote, 0};
  CHECK(slots.admit(id));
  CHECK_FALSE(slots.admit(id));
}
