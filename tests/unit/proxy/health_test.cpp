// Breaker, evidence, retry budget and rate limit: each transition, on its own.
#include <doctest/doctest.h>

#include "core/defaults.hpp"
#include "proxy/health/breaker.hpp"
#include "proxy/health/evidence.hpp"
#include "proxy/health/rate_limit.hpp"
#include "proxy/health/retry_budget.hpp"
#include "support.hpp"

using namespace trireme;
using namespace trireme::proxy;
using namespace trireme::proxy::test;

namespace {

using State = Breaker::State;
constexpr MonoTime now = 100 * second;
constexpr MonoTime backoff = Duration(defaults::breaker_backoff).count();
constexpr MonoTime longest = Duration(defaults::breaker_backoff_max).count();

Breaker half_open() {
  Breaker breaker;
  breaker.on_proof(now);
  breaker.on_time(now + backoff);
  breaker.begin_trial();
  return breaker;
}

Evidence evidence_of(int status, http::Headers headers = {}, bool remote = false) {
  http::ResponseHead head;
  head.status = status;
  head.headers = std::move(headers);
  return proxy::evidence_of(head, remote);
}

}  // namespace

TEST_CASE("breaker: trouble opens it when there was no sign of life in between") {
  Breaker breaker;
  for (std::uint32_t i = 1; i < defaults::breaker_failures; ++i) breaker.on_trouble(now);
  CHECK(breaker.state() == State::closed);
  breaker.on_trouble(now);
  CHECK(breaker.state() == State::open);
  CHECK(breaker.opens_until() == now + backoff);
}

TEST_CASE("breaker: under a burst where some are answered it never opens") {
  Breaker breaker;
  for (int i = 0; i < 10'000; ++i) {
    breaker.on_trouble(now + i);
    if (i % 4 == 3) breaker.on_alive();
  }
  CHECK(breaker.state() == State::closed);
  CHECK(breaker.times_opened() == 0);
}

TEST_CASE("breaker: one proof opens it") {
  Breaker breaker;
  breaker.on_proof(now);
  CHECK(breaker.state() == State::open);
}

TEST_CASE("breaker: what comes in while it is open neither closes it nor makes it stay open longer") {
  Breaker breaker;
  breaker.on_proof(now);
  breaker.on_proof(now + 1);
  breaker.on_trouble(now + 1);
  breaker.on_alive();
  CHECK(breaker.state() == State::open);
  CHECK(breaker.opens_until() == now + backoff);
  CHECK(breaker.times_opened() == 1);
}

TEST_CASE("breaker: it is half-open when its back-off is over, and not before") {
  Breaker breaker;
  breaker.on_proof(now);
  breaker.on_time(now + backoff - 1);
  CHECK(breaker.state() == State::open);
  breaker.on_time(now + backoff);
  CHECK(breaker.state() == State::half_open);
  CHECK_FALSE(breaker.trying());
  CHECK(breaker.opens_until() == 0);
}

TEST_CASE("breaker: half-open, the trial decides") {
  Breaker breaker = half_open();
  CHECK(breaker.trying());
  SUBCASE("answered: closed, and suspicion starts anew") {
    breaker.on_alive();
    CHECK(breaker.state() == State::closed);
    for (std::uint32_t i = 1; i < defaults::breaker_failures; ++i) breaker.on_trouble(now);
    CHECK(breaker.state() == State::closed);
    breaker.on_proof(now);
    CHECK(breaker.opens_until() == now + backoff);
  }
  SUBCASE("failed: open for twice the time") {
    breaker.on_trouble(now + backoff);
    CHECK(breaker.state() == State::open);
    CHECK(breaker.opens_until() == now + backoff + 2 * backoff);
    CHECK_FALSE(breaker.trying());
  }
  SUBCASE("without a result: another may follow") {
    breaker.end_trial();
    CHECK(breaker.state() == State::half_open);
    CHECK_FALSE(breaker.trying());
  }
}

TEST_CASE("breaker: the back-off is bounded, so there is always another trial") {
  Breaker breaker = half_open();
  MonoTime time = now + backoff;
  for (int i = 0; i < 200; ++i) {
    breaker.on_proof(time);
    REQUIRE(breaker.opens_until() <= time + longest);
    time = breaker.opens_until();
    breaker.on_time(time);
    REQUIRE(breaker.state() == State::half_open);
  }
  breaker.on_proof(time);
  CHECK(breaker.opens_until() == time + longest);
}

TEST_CASE("evidence: what a busy server does speaks against nobody") {
  CHECK(proxy::evidence_of({CallError::Kind::not_delivered, "takes no connection in time", CallError::Blame::none}) ==
        Evidence{});
  CHECK(evidence_of(500).kind == Evidence::Kind::alive);
  CHECK(evidence_of(404).kind == Evidence::Kind::alive);
  CHECK(evidence_of(503).kind == Evidence::Kind::alive);
  CHECK(evidence_of(429).kind == Evidence::Kind::alive);
}

TEST_CASE("evidence: trouble, and proof") {
  CHECK(proxy::evidence_of({CallError::Kind::lost, "closed"}).kind == Evidence::Kind::trouble);
  CHECK(proxy::evidence_of({CallError::Kind::not_delivered, "refused", CallError::Blame::proof}).kind ==
        Evidence::Kind::proof);
  CHECK(evidence_of(502).kind == Evidence::Kind::trouble);
  CHECK(evidence_of(504).kind == Evidence::Kind::trouble);
}

TEST_CASE("evidence: Retry-After is taken at its word, within bounds") {
  CHECK(evidence_of(503, {{"Retry-After", "7"}}) ==
        Evidence{.kind = Evidence::Kind::busy, .rest = std::chrono::seconds(7)});
  CHECK(evidence_of(429, {{"retry-after", "999999999999"}}).rest == Duration(defaults::busy_rest_max));
  CHECK(evidence_of(429, {{"Retry-After", "86400"}}).rest == Duration(defaults::busy_rest_max));
  CHECK(evidence_of(429, {{"Retry-After", "0"}}).kind == Evidence::Kind::alive);
  CHECK(evidence_of(429, {{"Retry-After", "Fri, 31 Dec 1999 23:59:59 GMT"}}).kind == Evidence::Kind::alive);
  CHECK(evidence_of(429, {}, true).rest == Duration(defaults::busy_rest));
  CHECK(evidence_of(429, {{"Retry-After", "soon"}}, true).rest == Duration(defaults::busy_rest));
  CHECK(evidence_of(200, {{"Retry-After", "7"}}).kind == Evidence::Kind::alive);
}

TEST_CASE("evidence: Retry-After may be a date, in each of its forms, by the server's own clock") {
  const char* const clocks[] = {"Sun, 06 Nov 1994 08:49:30 GMT", "Sunday, 06-Nov-94 08:49:30 GMT",
                                "Sun Nov  6 08:49:30 1994"};
  const char* const dates[] = {"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
                               "Sun Nov  6 08:49:37 1994"};
  for (const char* clock : clocks) {
    for (const char* date : dates) {
      CAPTURE(clock);
      CAPTURE(date);
      CHECK(evidence_of(503, {{"Date", clock}, {"Retry-After", date}}).rest == Duration(std::chrono::seconds(7)));
    }
    CHECK(evidence_of(503, {{"Date", clock}, {"Retry-After", "Sun, 06 Nov 1994 08:49:29 GMT"}}, true).kind ==
          Evidence::Kind::alive);
  }
  // By ours, where the server tells no date.
  CHECK(evidence_of(429, {{"Retry-After", "Fri, 31 Dec 2200 23:59:59 GMT"}}).rest == Duration(defaults::busy_rest_max));
  CHECK(evidence_of(429, {{"Date", "noon"}, {"Retry-After", "Fri, 31 Dec 2200 23:59:59 GMT"}}).rest ==
        Duration(defaults::busy_rest_max));
}

TEST_CASE("retry budget: a service with little traffic can retry, and slowly so for ever") {
  RetryBudget budget;
  int taken = 0;
  while (budget.take(now)) ++taken;
  CHECK(taken == static_cast<int>(defaults::retry_floor));
  CHECK(budget.take(now + second));
  taken = 1;
  while (budget.take(now + second)) ++taken;
  CHECK(taken == static_cast<int>(defaults::retry_floor_rate));
}

TEST_CASE("retry budget: in an outage a fifth of the requests is tried again, and no more") {
  RetryBudget budget;
  while (budget.take(now)) {
  }
  int retries = 0;
  for (int i = 0; i < 1000; ++i) {
    budget.on_request();
    if (budget.take(now)) ++retries;
  }
  CHECK(retries >= 198);
  CHECK(retries <= 200);
}

TEST_CASE("retry budget: what is saved up is bounded") {
  RetryBudget budget;
  for (int i = 0; i < 1'000'000; ++i) budget.on_request();
  int taken = 0;
  while (budget.take(now)) ++taken;
  CHECK(taken == static_cast<int>(defaults::retry_most));
}

TEST_CASE("rate limit: no minute holds more than it allows") {
  RateLimit limit(2);
  CHECK(limit.next() == 0);
  limit.take(now);
  limit.take(now + 30 * second);
  CHECK(limit.room(now + 59 * second) == 0);
  CHECK(limit.next() == now + 60 * second);
  CHECK(limit.room(now + 60 * second) == 1);
  limit.give_back(now + 30 * second);
  CHECK(limit.room(now + 60 * second) == 2);
  limit.give_back(now);  // it is over already
  CHECK(limit.room(now + 60 * second) == 2);
}
