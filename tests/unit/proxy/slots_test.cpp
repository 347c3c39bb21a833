#include "proxy/admission/slots.hpp"

#include "core/defaults.hpp"
#include "support.hpp"

using namespace trireme;
using namespace trireme::proxy;
using namespace trireme::proxy::test;

namespace {

constexpr Rank self = 1;
constexpr Rank home = 0;
constexpr MonoTime now = 1000 * second;

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
  CHECK(f.slots.admit(f.id, now));
  CHECK(f.slots.admit(f.id, now));
  CHECK_FALSE(f.slots.admit(f.id, now));
  CHECK(f.slots.in_use(f.id) == 2);
  CHECK(f.out.empty());
}

TEST_CASE("slots: after a refusal a released slot is offered to the home and not given directly") {
  Fixture f(1);
  CHECK(f.slots.admit(f.id, now));
  CHECK_FALSE(f.slots.admit(f.id, now));
  f.slots.release(f.id);
  const auto offer = f.out.take<SlotOffer>(home);
  CHECK(offer.replica == f.id);
  REQUIRE(offer.reservations.size() == 1);
  CHECK_FALSE(f.slots.admit(f.id, now));
  CHECK(f.slots.load(f.id) == LoadReport{.in_flight = 1, .contended = true});

  SUBCASE("a granted reservation takes it, once") {
    CHECK(f.slots.redeem(f.id, offer.reservations[0], now));
    CHECK_FALSE(f.slots.redeem(f.id, offer.reservations[0], now));
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
    CHECK(f.slots.admit(f.id, now));
    CHECK(f.out.empty());
  }
}

TEST_CASE("slots: a want is answered with everything that is free") {
  Fixture f(3);
  CHECK(f.slots.admit(f.id, now));
  f.slots.on_want(home, {.replica = f.id});
  CHECK(f.out.take<SlotOffer>(home).reservations.size() == 2);
  CHECK_FALSE(f.slots.has_free(f.id, now));
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

TEST_CASE("slots: a replica that is starting or unknown admits nobody") {
  Fixture f;
  CHECK_FALSE(f.slots.admit(replica(0, 1), now));
  f.endpoint.replicas[0].state = ReplicaState::starting;
  f.slots.apply(as_service(f.endpoint));
  CHECK_FALSE(f.slots.admit(f.id, now));
  f.endpoint.replicas[0].state = ReplicaState::ready;
  f.slots.apply(as_service(f.endpoint));
  CHECK(f.slots.admit(f.id, now));
}

TEST_CASE("slots: a replica whose breaker is open admits nobody, then one, and all once that was answered") {
  Fixture f;
  constexpr MonoTime backoff = Duration(defaults::breaker_backoff).count();
  CHECK(f.slots.admit(f.id, now));
  f.slots.judge(f.id, {.kind = Evidence::Kind::proof}, now);
  f.slots.release(f.id);
  CHECK(f.slots.pending());
  CHECK_FALSE(f.slots.admit(f.id, now));
  CHECK(f.slots.load(f.id) == LoadReport{.in_flight = 0, .contended = true, .closed = true});
  f.slots.on_want(home, {.replica = f.id});
  CHECK(f.out.empty());
  CHECK(f.slots.tick(now + backoff - 1) == now + backoff);
  CHECK(f.out.empty());
  CHECK(f.slots.tick(now + backoff) == 0);
  const auto trial = f.out.take<SlotOffer>(home);
  REQUIRE(trial.reservations.size() == 1);
  CHECK(f.slots.redeem(f.id, trial.reservations[0], now + backoff));
  CHECK_FALSE(f.slots.admit(f.id, now + backoff));

  SUBCASE("the trial is answered: what else is free is offered") {
    f.slots.judge(f.id, {.kind = Evidence::Kind::alive}, now + backoff);
    CHECK(f.out.take<SlotOffer>(home).reservations.size() == 1);
    f.slots.release(f.id);
    CHECK(f.out.take<SlotOffer>(home).reservations.size() == 1);
  }
  SUBCASE("the trial's client leaves: there is another trial") {
    f.slots.release(f.id);
    CHECK(f.out.take<SlotOffer>(home).reservations.size() == 1);
  }
  SUBCASE("the trial fails: the next comes after twice the time") {
    f.slots.judge(f.id, {.kind = Evidence::Kind::trouble}, now + backoff);
    f.slots.release(f.id);
    CHECK(f.out.empty());
    CHECK(f.slots.tick(now + backoff) == now + 3 * backoff);
    CHECK(f.slots.health(f.id).times_opened == 2);
  }
}

TEST_CASE("slots: a trial that the home does not need is returned, and the next request is it") {
  Fixture f;
  constexpr MonoTime later = now + Duration(defaults::breaker_backoff).count();
  f.slots.on_want(home, {.replica = f.id});
  const auto before = f.out.take<SlotOffer>(home);
  f.slots.judge(f.id, {.kind = Evidence::Kind::proof}, now);
  CHECK_FALSE(f.slots.redeem(f.id, before.reservations[0], now));  // it was taken back
  f.slots.tick(later);
  const auto trial = f.out.take<SlotOffer>(home);
  f.slots.on_return(home, {.replica = f.id, .reservations = trial.reservations, .no_waiters = true});
  CHECK(f.slots.has_free(f.id, later));
  CHECK(f.slots.admit(f.id, later));
  CHECK_FALSE(f.slots.has_free(f.id, later));
}

TEST_CASE("slots: who says that it is busy rests for as long as it says, and is not suspected") {
  Fixture f;
  f.slots.judge(f.id, {.kind = Evidence::Kind::busy, .rest = std::chrono::seconds(3)}, now);
  CHECK_FALSE(f.slots.admit(f.id, now));
  CHECK(f.slots.health(f.id).resting);
  CHECK(f.slots.health(f.id).breaker == Breaker::State::closed);
  CHECK(f.slots.tick(now + second) == now + 3 * second);
  CHECK(f.slots.tick(now + 3 * second) == 0);
  CHECK(f.slots.admit(f.id, now + 3 * second));
}

TEST_CASE("slots: an endpoint begins no more requests in any minute than it allows") {
  Recorder out;
  Slots slots(home, out);
  ServiceEndpoint endpoint = service_on({}, 8);
  endpoint.remote.push_back({});
  endpoint.remote[0].requests_per_minute = 3;
  slots.apply(as_service(endpoint));
  const ReplicaId id{llama, first_remote, 0};
  CHECK(slots.admit(id, now));
  CHECK(slots.admit(id, now + 10 * second));
  slots.release(id);
  slots.release(id);
  CHECK(slots.admit(id, now + 20 * second));
  CHECK_FALSE(slots.has_free(id, now + 20 * second));
  CHECK_FALSE(slots.admit(id, now + 20 * second));  // it is contended now
  CHECK(slots.pending());
  CHECK(slots.tick(now + 20 * second) == now + 60 * second);
  CHECK(out.empty());
  CHECK(slots.tick(now + 60 * second) == now + 70 * second);
  const auto offer = out.take<SlotOffer>(home);
  REQUIRE(offer.reservations.size() == 1);

  SUBCASE("what is granted counts from when it begins") {
    CHECK(slots.redeem(id, offer.reservations[0], now + 65 * second));
    slots.tick(now + 80 * second);
    CHECK(out.take<SlotOffer>(home).reservations.size() == 2);
    CHECK(slots.tick(now + 124 * second) == now + 125 * second);
  }
  SUBCASE("what is returned does not count") {
    slots.on_return(home, {.replica = id, .reservations = offer.reservations, .no_waiters = true});
    CHECK(slots.admit(id, now + 61 * second));
    CHECK_FALSE(slots.has_free(id, now + 61 * second));
  }
}

TEST_CASE("slots: a drain is done when the last request has left, and takes reservations back") {
  Fixture f;
  CHECK(f.slots.admit(f.id, now));
  f.slots.on_want(home, {.replica = f.id});
  const auto offer = f.out.take<SlotOffer>(home);
  int done = 0;
  f.slots.drain(f.id, [&] { ++done; });
  CHECK(done == 0);
  CHECK_FALSE(f.slots.admit(f.id, now));
  CHECK_FALSE(f.slots.redeem(f.id, offer.reservations.at(0), now));
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
  CHECK(f.slots.admit(f.id, now));
  int done = 0;
  f.slots.drain(f.id, [&] { ++done; });
  f.endpoint.replicas[0].id = replica(0, 1);
  f.slots.apply(as_service(f.endpoint));
  CHECK(done == 1);
  f.slots.release(f.id);
  CHECK(f.slots.in_use(replica(0, 1)) == 0);
  CHECK(f.slots.admit(replica(0, 1), now));
}

TEST_CASE("slots: a lost rank takes no slot with it") {
  Fixture f;
  f.slots.on_want(home, {.replica = f.id});
  const auto offer = f.out.take<SlotOffer>(home);
  SUBCASE("an ingress: what was reserved is offered again") {
    f.slots.on_rank_lost(2);
    CHECK(f.out.take<SlotOffer>(home).reservations.size() == 2);
    CHECK_FALSE(f.slots.redeem(f.id, offer.reservations[0], now));
  }
  SUBCASE("the home: slots are given directly until another one asks") {
    f.slots.on_rank_lost(home);
    CHECK(f.out.empty());
    CHECK(f.slots.admit(f.id, now));
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
  CHECK(slots.admit(id, now));
  CHECK_FALSE(slots.admit(id, now));
}
