#include "proxy/admission/dispatcher.hpp"

#include <optional>

#include "proxy/policies/hash64.hpp"
#include "support.hpp"

using namespace trireme;
using namespace trireme::proxy;
using namespace trireme::proxy::test;

namespace {

constexpr Rank self = 1;
constexpr Rank home = 0;

struct Answer final : SlotWaiter {
  std::optional<Placement> placed;
  std::optional<Refusal> refused;
  void on_placed(Placement placement) override { placed = std::move(placement); }
  void on_refused(Refusal refusal) override { refused = refusal; }
};

struct Fixture {
  explicit Fixture(const std::vector<Rank>& ranks, std::uint32_t concurrency = 1)
      : endpoint(service_on(ranks, concurrency)) {
    apply();
  }
  void apply() {
    table.apply({.number = ++epoch, .changed = {endpoint}});
    slots.apply(*table.find(llama));
    dispatcher.apply(*table.find(llama), now);
  }
  Demand demand() const { return {.service = llama, .arrived = now, .deadline = now + second}; }
  Dispatcher::Decision place(SlotWaiter& waiter, std::vector<ReplicaId> avoid = {}) {
    return dispatcher.place(demand(), avoid, waiter, now);
  }

  ServiceEndpoint endpoint;
  std::uint64_t epoch = 0;
  MonoTime now = 100 * second;
  Recorder out;
  EndpointTable table;
  Slots slots{self, out};
  Dispatcher dispatcher{self, table, slots, out};
  Answer answer;
};

}  // namespace

TEST_CASE("dispatcher: a free replica on the own node is taken without a message") {
  Fixture f({2, self});
  {
    const auto decision = f.place(f.answer);
    REQUIRE(std::holds_alternative<Placement>(decision));
    CHECK(std::get<Placement>(decision).replica == replica(1));
    CHECK(f.slots.in_use(replica(1)) == 1);
  }
  CHECK(f.slots.in_use(replica(1)) == 0);
  CHECK(f.out.empty());
}

TEST_CASE("dispatcher: what is started elsewhere counts until its hold ends") {
  Fixture f({2}, 1);
  auto first = f.place(f.answer);
  REQUIRE(std::holds_alternative<Placement>(first));
  CHECK(std::get<Placement>(first).owner == 2);
  CHECK(std::get<Placement>(first).hold.use() == 0);
  CHECK(f.dispatcher.outstanding(replica(0)) == 1);
  {
    const auto second_one = f.place(f.answer);
    CHECK(std::holds_alternative<Ticket>(second_one));
    CHECK(f.out.take<SlotAsk>(home).service == llama);
  }
  f.out.take<SlotCancel>(home);
  first = Refusal{};
  CHECK(f.dispatcher.outstanding(replica(0)) == 0);
  CHECK(std::holds_alternative<Placement>(f.place(f.answer)));
  CHECK(f.out.empty());
}

TEST_CASE("dispatcher: while some wait, those who come later wait behind them") {
  Fixture f({self}, 1);
  auto running = f.place(f.answer);
  auto waiting = f.place(f.answer);
  CHECK(std::holds_alternative<Ticket>(waiting));
  running = Refusal{};
  CHECK(std::holds_alternative<Ticket>(f.place(f.answer)));
  CHECK(f.dispatcher.waiting(llama) == 1);
}

TEST_CASE("dispatcher: a grant places the request, and its hold returns a slot that was not used") {
  Fixture f({2}, 1);
  const auto other = f.place(f.answer);
  Dispatcher::Decision waiting = f.place(f.answer);
  const auto ask = f.out.take<SlotAsk>(home);
  f.dispatcher.on_grant(home,
                        {.ticket = ask.ticket,
                         .verdict = SlotGrant::Verdict::granted,
                         .replica = replica(0),
                         .owner = 2,
                         .reservation = 9},
                        f.now);
  REQUIRE(f.answer.placed.has_value());
  CHECK(f.answer.placed->owner == 2);
  SUBCASE("used") {
    CHECK(f.answer.placed->hold.use() == 9);
  }
  SUBCASE("not used") {
    f.answer.placed.reset();
    CHECK(f.out.take<SlotReturn>(2).reservations == std::vector<std::uint64_t>{9});
  }
  f.answer.placed.reset();
  waiting = Refusal{};
  CHECK(f.out.empty());
}

TEST_CASE("dispatcher: a grant that nobody waits for is returned to the owner") {
  Fixture f({2}, 1);
  const auto other = f.place(f.answer);
  std::uint64_t ticket = 0;
  {
    const auto waiting = f.place(f.answer);
    ticket = f.out.take<SlotAsk>(home).ticket;
  }
  CHECK(f.out.take<SlotCancel>(home).ticket == ticket);
  f.dispatcher.on_grant(
      home,
      {.ticket = ticket, .verdict = SlotGrant::Verdict::granted, .replica = replica(0), .owner = 2, .reservation = 9},
      f.now);
  CHECK(f.out.take<SlotReturn>(2) == SlotReturn{.replica = replica(0), .reservations = {9}, .no_waiters = false});
  CHECK(f.out.empty());
  CHECK_FALSE(f.answer.placed.has_value());
}

TEST_CASE("dispatcher: refusals reach the request, once") {
  Fixture f({2}, 1);
  const auto other = f.place(f.answer);
  const Dispatcher::Decision waiting = f.place(f.answer);
  const auto ask = f.out.take<SlotAsk>(home);
  SUBCASE("the queue is full") {
    f.dispatcher.on_grant(home,
                          {.ticket = ask.ticket,
                           .verdict = SlotGrant::Verdict::full,
                           .replica = {},
                           .owner = 0,
                           .reservation = 0,
                           .retry_after_s = 7},
                          f.now);
    REQUIRE(f.answer.refused.has_value());
    CHECK(f.answer.refused->why == Refusal::Why::full);
    CHECK(f.answer.refused->retry_after_s == 7);
  }
  SUBCASE("the deadline passes") {
    CHECK(f.dispatcher.tick(f.now + second - 1) == f.now + second);
    CHECK_FALSE(f.answer.refused.has_value());
    CHECK(f.dispatcher.tick(f.now + second) == 0);
    REQUIRE(f.answer.refused.has_value());
    CHECK(f.answer.refused->why == Refusal::Why::deadline);
    CHECK(f.out.take<SlotCancel>(home).ticket == ask.ticket);
  }
  SUBCASE("the service dies") {
    f.endpoint = service_on({});
    f.endpoint.dead = true;
    f.apply();
    REQUIRE(f.answer.refused.has_value());
    CHECK(f.answer.refused->why == Refusal::Why::dead);
    CHECK(f.out.take<SlotCancel>(home).ticket == ask.ticket);
    CHECK(std::holds_alternative<Refusal>(f.place(f.answer)));
  }
  CHECK(f.out.empty());
  CHECK(f.dispatcher.waiting(llama) == 0);
}

TEST_CASE("dispatcher: what an owner says is believed for a while") {
  Fixture f({2}, 2);
  f.dispatcher.on_load(replica(0), {.in_flight = 2, .contended = false}, f.now);
  CHECK(std::holds_alternative<Ticket>(f.place(f.answer)));
  f.dispatcher.on_load(replica(0), {.in_flight = 1, .contended = true}, f.now);
  CHECK(std::holds_alternative<Ticket>(f.place(f.answer)));
  f.dispatcher.on_load(replica(0), {.in_flight = 1, .contended = false}, f.now);
  CHECK(std::holds_alternative<Placement>(f.place(f.answer)));
  f.dispatcher.on_load(replica(0), {.in_flight = 2, .contended = true}, f.now);
  f.now += Duration(defaults::load_belief).count() + 1;
  CHECK(std::holds_alternative<Placement>(f.place(f.answer)));
}

TEST_CASE("dispatcher: a retry avoids the replica that failed") {
  Fixture f({2, 3}, 4);
  for (int i = 0; i < 4; ++i) {
    const auto decision = f.place(f.answer, {replica(0)});
    CHECK(std::get<Placement>(decision).replica == replica(1));
  }
  CHECK(std::holds_alternative<Ticket>(f.place(f.answer, {replica(0), replica(1)})));
}

TEST_CASE("dispatcher: when the home is lost those who wait ask at the next one, with their age") {
  Fixture f({2}, 1);
  const auto other = f.place(f.answer);
  const Dispatcher::Decision waiting = f.place(f.answer);
  const auto first = f.out.take<SlotAsk>(home);
  f.now += 20 * ms;
  f.dispatcher.on_rank_lost(home);
  CHECK(f.out.empty());
  f.dispatcher.on_grant(home,
                        {.ticket = first.ticket,
                         .verdict = SlotGrant::Verdict::granted,
                         .replica = replica(0),
                         .owner = 2,
                         .reservation = 4},
                        f.now);
  f.out.take<SlotReturn>(2);
  f.endpoint.home = 3;
  f.apply();
  const auto again = f.out.take<SlotAsk>(3);
  CHECK(again.ticket != first.ticket);
  CHECK(again.waited_ms == 20);
  f.apply();
  CHECK(f.out.empty());
}

TEST_CASE("dispatcher: replicas of a lost rank are not chosen") {
  Fixture f({2, 3}, 4);
  f.dispatcher.on_rank_lost(2);
  for (int i = 0; i < 4; ++i) {
    CHECK(std::get<Placement>(f.place(f.answer)).replica == replica(1));
  }
}

TEST_CASE("dispatcher: a local reservation that was taken back asks again") {
  Fixture f({self}, 1);
  auto running = f.place(f.answer);
  const Dispatcher::Decision waiting = f.place(f.answer);
  const auto ask = f.out.take<SlotAsk>(home);
  f.dispatcher.on_grant(home,
                        {.ticket = ask.ticket,
                         .verdict = SlotGrant::Verdict::granted,
                         .replica = replica(0),
                         .owner = self,
                         .reservation = 12345},
                        f.now);
  CHECK_FALSE(f.answer.placed.has_value());
  CHECK(f.out.take<SlotAsk>(home).ticket != ask.ticket);
  running = Refusal{};
  CHECK(f.out.take<SlotOffer>(home).reservations.size() == 1);
}

TEST_CASE("dispatcher: under a sticky policy a request waits for its replica, and others go on to theirs") {
  Fixture f({self, self}, 1);
  f.endpoint.policy = PolicyKind::hash;
  f.apply();
  const Affinity affinity{.session = 42, .prefix = {}};
  Affinity other;
  const auto place = [&](const Affinity& of, Answer& answer) {
    Demand demand = f.demand();
    demand.affinity = &of;
    return f.dispatcher.place(demand, {}, answer, f.now);
  };
  auto first = place(affinity, f.answer);
  REQUIRE(std::holds_alternative<Placement>(first));
  const ReplicaId wanted = std::get<Placement>(first).replica;
  auto second_one = place(affinity, f.answer);
  REQUIRE(std::holds_alternative<Ticket>(second_one));
  const auto ask = f.out.take<SlotAsk>(home);
  CHECK(ask.wanted == wanted);
  CHECK(ask.wanted_ms == 50);
  for (std::uint64_t n = 1;
       !other.session || hash64(*other.session, wanted.replica) > hash64(*other.session, 1 - wanted.replica); ++n) {
    other.session = n;
  }
  Answer unused;
  auto third = place(other, unused);
  REQUIRE(std::holds_alternative<Placement>(third));
  CHECK(std::get<Placement>(third).replica != wanted);
  CHECK(f.out.empty());
}

TEST_CASE("dispatcher: replicas and remote endpoints are chosen in the order that the service prefers") {
  Fixture f({self});
  f.endpoint.remote.push_back({});
  f.endpoint.home = self;
  f.apply();
  const ReplicaId remote{llama, first_remote, 0};
  const auto chosen = [&](std::vector<ReplicaId> avoid = {}) -> std::optional<ReplicaId> {
    const auto decision = f.place(f.answer, std::move(avoid));
    const auto* placement = std::get_if<Placement>(&decision);
    return placement == nullptr ? std::nullopt : std::optional(placement->replica);
  };
  CHECK(chosen() == replica(0));
  CHECK(chosen({replica(0)}) == remote);  // it has failed this request
  SUBCASE("remote first") {
    f.endpoint.prefer = Preference::remote;
    f.apply();
    CHECK(chosen() == remote);
  }
  SUBCASE("the first choice is busy: the request waits, and the home decides") {
    const auto first = f.place(f.answer);
    CHECK_FALSE(chosen().has_value());
  }
  SUBCASE("the first choice is closed for its health") {
    f.slots.judge(replica(0), {.kind = Evidence::Kind::proof}, f.now);
    CHECK(chosen() == remote);
  }
}

TEST_CASE("dispatcher: what an owner has closed is not tried while its word is believed") {
  Fixture f({2, 3});
  f.dispatcher.on_load(replica(0), {.in_flight = 0, .contended = true, .closed = true}, f.now);
  for (int i = 0; i < 2; ++i) {
    const auto decision = f.place(f.answer);
    const auto* placement = std::get_if<Placement>(&decision);
    REQUIRE(placement != nullptr);
    CHECK(placement->replica == replica(1));
  }
}
