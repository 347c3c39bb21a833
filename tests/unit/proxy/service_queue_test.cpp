#include "proxy/admission/service_queue.hpp"

#include "support.hpp"

using namespace trireme;
using namespace trireme::proxy;
using namespace trireme::proxy::test;

namespace {

struct Fixture {
  explicit Fixture(ServiceEndpoint e = service_on({1, 2})) : endpoint(std::move(e)) {
    queue.apply(as_service(endpoint), now);
  }
  void ask(std::uint64_t ticket, Priority priority = Priority::normal, std::uint32_t waited_ms = 0, Rank from = 3) {
    queue.on_ask(from,
                 {.ticket = ticket, .service = llama, .priority = priority, .waited_ms = waited_ms, .left_ms = 60'000},
                 now);
  }
  void offer(std::uint64_t reservation, Rank owner = 1) {
    queue.on_offer(owner, {.replica = replica(owner - 1), .reservations = {reservation}}, now);
  }
  std::uint64_t granted(Rank to = 3) {
    const auto grant = out.take<SlotGrant>(to);
    CHECK(grant.verdict == SlotGrant::Verdict::granted);
    return grant.ticket;
  }
  void forget_wants() { out.sent.clear(); }

  ServiceEndpoint endpoint;
  MonoTime now = 100 * second;
  Recorder out;
  ServiceQueue queue{out};
};

}  // namespace

TEST_CASE("queue: the first that waits summons every ready replica, once") {
  Fixture f;
  f.ask(1);
  CHECK(f.out.take<SlotWant>(1).replica == replica(0));
  CHECK(f.out.take<SlotWant>(2).replica == replica(1));
  f.ask(2);
  CHECK(f.out.empty());
}

TEST_CASE("queue: an offered slot goes to the first that waits and names replica and reservation") {
  Fixture f;
  f.ask(1);
  f.forget_wants();
  f.offer(77, 2);
  const auto grant = f.out.take<SlotGrant>(3);
  CHECK(grant.ticket == 1);
  CHECK(grant.replica == replica(1));
  CHECK(grant.owner == 2);
  CHECK(grant.reservation == 77);
  CHECK(f.out.empty());
  CHECK(f.queue.size() == 0);
}

TEST_CASE("queue: first in, first out within a priority, and higher priorities first") {
  Fixture f;
  f.ask(1, Priority::low);
  f.ask(2);
  f.ask(3, Priority::high);
  f.ask(4);
  f.ask(5, Priority::high);
  f.ask(6, Priority::low);
  f.forget_wants();
  for (const std::uint64_t expected : {3, 5, 2, 4, 1, 6}) {
    f.offer(expected);
    CHECK(f.granted() == expected);
  }
  CHECK(f.out.empty());
}

TEST_CASE("queue: one that asks again keeps the place of its age") {
  Fixture f;
  f.ask(1);
  f.now += 10 * ms;
  f.ask(2);
  f.now += 10 * ms;
  f.ask(3, Priority::normal, 15);
  f.forget_wants();
  for (const std::uint64_t expected : {1, 3, 2}) {
    f.offer(expected);
    CHECK(f.granted() == expected);
  }
}

TEST_CASE("queue: without waiters an offered slot is returned, and the next that waits summons again") {
  Fixture f;
  f.offer(5);
  CHECK(f.out.take<SlotReturn>(1) == SlotReturn{.replica = replica(0), .reservations = {5}, .no_waiters = true});
  f.ask(1);
  CHECK(f.out.take<SlotWant>(1).replica == replica(0));
  CHECK(f.out.take<SlotWant>(2).replica == replica(1));
  f.queue.on_offer(1, {.replica = replica(0), .reservations = {6, 7}}, f.now);
  CHECK(f.granted() == 1);
  CHECK(f.out.take<SlotReturn>(1).reservations == std::vector<std::uint64_t>{7});
  f.ask(2);
  CHECK(f.out.take<SlotWant>(1).replica == replica(0));
  CHECK(f.out.empty());
}

TEST_CASE("queue: beyond its bound it refuses, with a time to try again") {
  auto endpoint = service_on({1});
  endpoint.queue = 2;
  Fixture f(endpoint);
  f.ask(1);
  f.ask(2);
  f.forget_wants();
  f.ask(3);
  const auto grant = f.out.take<SlotGrant>(3);
  CHECK(grant.ticket == 3);
  CHECK(grant.verdict == SlotGrant::Verdict::full);
  CHECK(grant.retry_after_s >= 1);
  f.offer(1);
  CHECK(f.granted() == 1);
  f.ask(4);
  CHECK(f.queue.size() == 2);
}

TEST_CASE("queue: who cancels, is past its deadline or is lost gets no slot") {
  Fixture f;
  f.ask(1);
  f.ask(2, Priority::normal, 0, 4);
  f.queue.on_ask(3, {.ticket = 3, .service = llama, .priority = Priority::normal, .waited_ms = 0, .left_ms = 5}, f.now);
  f.ask(4);
  f.forget_wants();
  f.queue.on_cancel(3, {.ticket = 1, .service = llama});
  f.queue.on_cancel(3, {.ticket = 99, .service = llama});
  f.queue.on_rank_lost(4, f.now);
  CHECK(f.queue.size() == 2);
  f.now += 6 * ms;
  f.offer(1);
  CHECK(f.granted() == 4);
  CHECK(f.queue.size() == 0);
  CHECK(f.out.empty());
}

TEST_CASE("queue: a replica that becomes ready while requests wait is summoned") {
  Fixture f(service_on({}));
  f.ask(1);
  CHECK(f.out.empty());
  f.endpoint = service_on({1});
  f.endpoint.replicas[0].state = ReplicaState::starting;
  f.queue.apply(as_service(f.endpoint), f.now);
  CHECK(f.out.empty());
  f.endpoint.replicas[0].state = ReplicaState::ready;
  f.queue.apply(as_service(f.endpoint), f.now);
  CHECK(f.out.take<SlotWant>(1).replica == replica(0));
  f.queue.apply(as_service(f.endpoint), f.now);
  CHECK(f.out.empty());
}

TEST_CASE("queue: a dead service answers those who wait and those who come") {
  Fixture f;
  f.ask(1);
  f.forget_wants();
  auto endpoint = service_on({});
  endpoint.dead = true;
  f.queue.apply(as_service(endpoint), f.now);
  CHECK(f.out.take<SlotGrant>(3).verdict == SlotGrant::Verdict::dead);
  CHECK(f.queue.size() == 0);
  f.ask(2);
  CHECK(f.out.take<SlotGrant>(3).verdict == SlotGrant::Verdict::dead);
  CHECK(f.out.empty());
}

TEST_CASE("queue: who wants a certain replica is passed over by the others' slots, until its patience ends") {
  Fixture f;
  const auto ask = [&](std::uint64_t ticket, const ReplicaId& wanted) {
    f.queue.on_ask(3, {.ticket = ticket, .service = llama, .left_ms = 60'000, .wanted_ms = 50, .wanted = wanted},
                   f.now);
  };
  ask(1, replica(0));
  CHECK(f.out.take<SlotWant>(1).replica == replica(0));
  CHECK(f.out.empty());  // the other replica is not for it, and stays open to others
  f.offer(70, 2);
  const auto back = f.out.take<SlotReturn>(2);
  CHECK(back.reservations == std::vector<std::uint64_t>{70});
  CHECK(back.no_waiters);
  f.ask(2);
  CHECK(f.out.take<SlotWant>(2).replica == replica(1));
  f.offer(71, 2);
  CHECK(f.granted() == 2);
  f.offer(72, 1);
  CHECK(f.granted() == 1);

  ask(3, replica(0));
  f.offer(73, 2);
  CHECK(f.out.take<SlotReturn>(2).no_waiters);
  CHECK(f.queue.tick(f.now) == f.now + 50 * ms);
  f.now += 50 * ms;
  CHECK(f.queue.tick(f.now) == 0);
  CHECK(f.out.take<SlotWant>(2).replica == replica(1));
  f.offer(74, 2);
  CHECK(f.granted() == 3);
  CHECK(f.queue.size() == 0);
}

TEST_CASE("queue: a replica that is wanted and goes, or is not there at all, is waited for no longer") {
  Fixture f;
  const SlotAsk wants{.ticket = 1, .service = llama, .left_ms = 60'000, .wanted_ms = 50, .wanted = replica(0)};
  f.queue.on_ask(3, wants, f.now);
  CHECK(f.out.take<SlotWant>(1).replica == replica(0));
  f.queue.on_rank_lost(1, f.now);
  CHECK(f.out.take<SlotWant>(2).replica == replica(1));
  f.offer(80, 2);
  CHECK(f.granted() == 1);
  f.queue.on_ask(3, {.ticket = 2, .service = llama, .left_ms = 60'000, .wanted_ms = 50, .wanted = replica(9)}, f.now);
  f.offer(81, 2);
  CHECK(f.granted() == 2);
  CHECK(f.queue.tick(f.now) == 0);
}

TEST_CASE("queue: the second choice is summoned only while the queue is long") {
  ServiceEndpoint endpoint = service_on({1, 2});  // two slots
  endpoint.remote.push_back({});
  endpoint.home = 3;
  const ReplicaId remote{llama, first_remote, 0};
  Fixture f(endpoint);
  f.ask(1);
  f.ask(2);
  f.out.take<SlotWant>(1);
  f.out.take<SlotWant>(2);
  CHECK(f.out.empty());

  SUBCASE("because more wait than the first choice has slots") {
    f.ask(3);
    CHECK(f.out.take<SlotWant>(3).replica == remote);
    f.queue.on_offer(3, {.replica = remote, .reservations = {7, 8}}, f.now);
    CHECK(f.granted() == 1);
    const auto back = f.out.take<SlotReturn>(3);  // two wait: not long any more
    CHECK(back.reservations == std::vector<std::uint64_t>{8});
    CHECK(back.no_waiters);
    CHECK(f.out.empty());
    f.ask(4);
    f.out.take<SlotWant>(3);
  }
  SUBCASE("because somebody waits for long") {
    const MonoTime later = f.now + Duration(defaults::spill_after).count();
    CHECK(f.queue.tick(f.now) == later);
    CHECK(f.out.empty());
    CHECK(f.queue.tick(later) == 0);
    CHECK(f.out.take<SlotWant>(3).replica == remote);
    f.queue.on_offer(3, {.replica = remote, .reservations = {7}}, later);
    CHECK(f.granted() == 1);
  }
  SUBCASE("or at once where nobody of the first choice is ready") {
    f.endpoint.replicas.clear();
    f.queue.apply(as_service(f.endpoint), f.now);
    CHECK(f.out.take<SlotWant>(3).replica == remote);
  }
  SUBCASE("or where the service has no preference") {
    f.endpoint.prefer = Preference::none;
    f.queue.apply(as_service(f.endpoint), f.now);
    CHECK(f.out.take<SlotWant>(3).replica == remote);
  }
}
