// Health and remote endpoints through real proxies and servers: breakers, rests, limits, keys that are replaced, HTTP/2.
#include <stdlib.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <future>
#include <mutex>

#include "backend.hpp"
#include "client.hpp"
#include "scripted.hpp"
#include "support.hpp"

using namespace trireme;
using namespace trireme::proxy;
using namespace trireme::proxy::test;
using namespace std::chrono_literals;

namespace {

using Clock = std::chrono::steady_clock;

ServiceEndpoint local_service(std::vector<ReplicaEndpoint> replicas, std::uint32_t concurrency = 4) {
  ServiceEndpoint endpoint = service_on({}, concurrency);
  endpoint.replicas = std::move(replicas);
  return endpoint;
}

RemoteEndpoint remote_at(const std::string& url) {
  RemoteEndpoint remote;
  remote.url = url;
  return remote;
}

std::future<Answer> ask_later(std::string url, Asked asked = {}) {
  return std::async(std::launch::async, [url = std::move(url), asked = std::move(asked)] { return ask(url, asked); });
}

}  // namespace

TEST_CASE("health: a replica that breaks off every request is ejected, and is back as soon as a trial succeeds") {
  std::atomic<bool> sick = true;
  Scripted server([&](http::Exchange& exchange, int) {
    if (sick) return exchange.abort();
    exchange.respond(200, "text/plain", "well");
  });
  for (const Rank ingress : {0, 1}) {
    CAPTURE(ingress);
    sick = true;
    Cluster cluster(2);
    cluster.publish({local_service({replica_at(0, 1, server.port())})});
    const int before = server.requests();
    for (std::uint32_t i = 0; i < defaults::breaker_failures; ++i) {
      CHECK(ask(cluster.url(ingress, "/services/llama/")).status == 502);
    }
    // Now it is given one trial at a time, and those that wait are not refused.
    const auto failed = ask(cluster.url(ingress, "/services/llama/"));
    CHECK(failed.status == 502);
    CHECK(server.requests() == before + static_cast<int>(defaults::breaker_failures) + 1);
    sick = false;  // which nobody knows before the next trial
    std::vector<std::future<Answer>> waiting;
    for (int i = 0; i < 3; ++i) waiting.push_back(ask_later(cluster.url(ingress, "/services/llama/")));
    for (auto& answer : waiting) CHECK(answer.get().status == 200);
    CHECK(eventually([&] { return calm(cluster, {0, 1}); }));
  }
}

TEST_CASE("health: a sick replica beside a healthy one costs no request that may be repeated") {
  Scripted sick([](http::Exchange& exchange, int) { exchange.abort(); });
  Scripted healthy([](http::Exchange& exchange, int) { exchange.respond(200, "text/plain", "well"); });
  Cluster cluster(2);
  ServiceEndpoint endpoint = local_service({replica_at(0, 0, sick.port()), replica_at(1, 1, healthy.port())});
  endpoint.retry = RetryKind::always;
  cluster.publish({endpoint});
  for (int i = 0; i < 40; ++i) CHECK(ask(cluster.url(i % 2, "/services/llama/")).status == 200);
  CHECK(sick.requests() < 40);
}

TEST_CASE("health: slow and full is not sick") {
  Backend backend;
  Cluster cluster(1);
  cluster.publish({local_service({replica_at(0, 0, backend.port())}, 1)});
  const Asked impatient{.headers = {"X-Trireme-Deadline: 0.02"}};
  for (int i = 0; i < 20; ++i) CHECK(ask(cluster.url(0, "/services/llama/hang"), impatient).status == 504);
  CHECK(ask(cluster.url(0, "/services/llama/"), {.headers = {"X-Trireme-Deadline: 20"}}).status == 200);
}

TEST_CASE("remote: a key that was replaced in its file is taken up after a 401") {
  std::mutex mutex;
  std::string accepted = "first";
  Scripted server([&](http::Exchange& exchange, int) {
    const std::lock_guard lock(mutex);
    const bool good = http::find(exchange.head().headers, "Authorization") == "Bearer " + accepted;
    exchange.respond(good ? 200 : 401, "text/plain", "");
  });
  char path[] = "/tmp/trireme-test-XXXXXX";
  ::close(::mkstemp(path));
  std::ofstream(path) << "first\n";
  {
    Cluster cluster(1);
    ServiceEndpoint endpoint = service_on({});
    endpoint.remote = {remote_at(server.url())};
    endpoint.remote[0].key_file = path;
    cluster.publish({endpoint});
    CHECK(ask(cluster.url(0, "/services/llama/")).status == 200);
    {
      const std::lock_guard lock(mutex);
      accepted = "second";
    }
    std::ofstream(path) << "second\n";
    CHECK(ask(cluster.url(0, "/services/llama/")).status == 401);
    CHECK(ask(cluster.url(0, "/services/llama/")).status == 200);
  }
  ::unlink(path);
}

TEST_CASE("remote: credentials of the client do not go to the endpoint, whatever header they are in") {
  Backend backend;
  Cluster cluster(1);
  ServiceEndpoint endpoint = service_on({});
  endpoint.remote = {remote_at("http://127.0.0.1:" + std::to_string(backend.port()))};
  cluster.publish({endpoint});
  const Answer answer = ask(cluster.url(0, "/services/llama/"),
                            {.headers = {"Authorization: Bearer secret-1", "Cookie: secret-2", "X-Api-Key: secret-3",
                                         "api-key: secret-4", "Proxy-Authorization: secret-5"}});
  CHECK(answer.status == 200);
  CHECK_MESSAGE(answer.body.find("secret") == std::string::npos, answer.body);
}

TEST_CASE("health: who waits in vain for somebody that cannot be reached is told why") {
  Backend backend;
  const std::uint16_t closed = closed_port();
  for (const Rank ingress : {0, 1}) {
    for (const bool remote : {false, true}) {
      CAPTURE(ingress);
      CAPTURE(remote);
      Cluster cluster(2);
      ServiceEndpoint endpoint = local_service({replica_at(0, 1, closed)});
      if (remote) {
        endpoint = service_on({});
        endpoint.remote = {remote_at("http://127.0.0.1:" + std::to_string(closed))};
      }
      cluster.publish({endpoint});
      const auto ask_it = [&] {
        return ask(cluster.url(ingress, "/services/llama/"), {.headers = {"X-Trireme-Deadline: 0.2"}});
      };
      ask_it();  // now nobody is tried for a while
      const Answer late = ask_it();
      CHECK(late.status == 504);
      CHECK_MESSAGE(late.body.find("; the last that was tried failed: ") != std::string::npos, late.body);
      CHECK_MESSAGE(
          late.body.find(remote ? "llama/remote-0 (http://127.0.0.1:" : "replica llama/0") != std::string::npos,
          late.body);
    }
  }
  // What has been reached since is busy, and no more.
  Cluster cluster(1);
  cluster.publish({local_service({replica_at(0, 0, closed)}, 1)});
  const std::vector<std::string> hurry = {"X-Trireme-Deadline: 0.2"};
  CHECK(ask(cluster.url(0, "/services/llama/"), {.headers = hurry}).status >= 500);
  cluster.publish({local_service({replica_at(1, 0, backend.port())}, 1)});
  CHECK(ask(cluster.url(0, "/services/llama/")).status == 200);
  Socket blocker(cluster.port(0));
  blocker.write("GET /services/llama/hang HTTP/1.1\r\nHost: localhost\r\n\r\n");
  REQUIRE(backend.wait_for_open(1));
  const Answer busy = ask(cluster.url(0, "/services/llama/"), {.headers = hurry});
  CHECK(busy.status == 504);
  CHECK(busy.body.find("the last that was tried") == std::string::npos);
}

TEST_CASE("remote: an endpoint that says 429 rests for as long as it says, and those who come wait for it") {
  std::mutex mutex;
  std::vector<Clock::time_point> times;
  Scripted server([&](http::Exchange& exchange, int number) {
    const std::lock_guard lock(mutex);
    times.push_back(Clock::now());
    if (number == 0) return exchange.respond(429, "text/plain", "", {{"Retry-After", "1"}});
    exchange.respond(200, "text/plain", "");
  });
  Cluster cluster(2);
  ServiceEndpoint endpoint = service_on({});
  endpoint.remote = {remote_at(server.url())};
  cluster.publish({endpoint});
  const Answer busy = ask(cluster.url(1, "/services/llama/"));
  CHECK(busy.status == 429);
  CHECK(busy.headers.at("retry-after") == "1");
  CHECK(ask(cluster.url(1, "/services/llama/")).status == 200);
  const std::lock_guard lock(mutex);
  REQUIRE(times.size() == 2);
  CHECK(times[1] - times[0] >= 990ms);
}

TEST_CASE("remote: requests per minute hold over all ranks, and the others wait until their deadline") {
  Scripted server([](http::Exchange& exchange, int) { exchange.respond(200, "text/plain", ""); });
  Cluster cluster(2);
  ServiceEndpoint endpoint = service_on({});
  endpoint.remote = {remote_at(server.url())};
  endpoint.remote[0].requests_per_minute = 3;
  cluster.publish({endpoint});
  for (int i = 0; i < 3; ++i) CHECK(ask(cluster.url(i % 2, "/services/llama/")).status == 200);
  for (const Rank rank : {0, 1}) {
    CHECK(ask(cluster.url(rank, "/services/llama/"), {.headers = {"X-Trireme-Deadline: 0.2"}}).status == 504);
  }
  CHECK(server.requests() == 3);
  CHECK(eventually([&] { return calm(cluster, {0, 1}); }));
}

TEST_CASE("remote: replicas come first, and a long queue spills over to the endpoint") {
  Backend local("local");
  Backend remote("remote");
  Cluster cluster(2);
  ServiceEndpoint endpoint = local_service({replica_at(0, 1, local.port())}, 1);
  endpoint.remote = {remote_at("http://127.0.0.1:" + std::to_string(remote.port()))};
  cluster.publish({endpoint});
  for (const Rank rank : {0, 1}) CHECK(ask(cluster.url(rank, "/services/llama/")).body.starts_with("local"));
  Socket blocker(cluster.port(1));
  blocker.write("GET /services/llama/hang HTTP/1.1\r\nHost: localhost\r\n\r\n");
  REQUIRE(local.wait_for_open(1));
  auto first = ask_later(cluster.url(0, "/services/llama/"));
  REQUIRE(eventually([&] { return gauge(cluster, 0, "queued") == 1; }));
  auto second = ask_later(cluster.url(1, "/services/llama/"));
  CHECK(first.get().body.starts_with("remote"));  // two waited for one slot
  blocker.close();
  CHECK(second.get().body.starts_with("local"));
  CHECK(remote.served() == 1);

  endpoint.replicas.clear();
  cluster.publish({endpoint});
  CHECK(ask(cluster.url(1, "/services/llama/")).body.starts_with("remote"));
}

TEST_CASE("remote: the site's HTTP proxy is used, but not for loopback and not for what no_proxy names") {
  Scripted site_proxy([](http::Exchange& exchange, int) {
    exchange.respond(200, "text/plain", "proxied " + exchange.head().target + "\n");
  });
  Backend backend("direct");
  ::setenv("http_proxy", site_proxy.url().c_str(), 1);
  Cluster cluster(1);
  const auto answer_of = [&](const std::string& url) {
    ServiceEndpoint endpoint = service_on({});
    endpoint.remote = {remote_at(url)};
    cluster.publish({endpoint});
    return ask(cluster.url(0, "/services/llama/x"), {.headers = {"X-Trireme-Deadline: 20"}});
  };
  CHECK(answer_of("http://model.invalid/v1").body.starts_with("proxied http://model.invalid/v1/x"));
  CHECK(answer_of("http://127.0.0.1:" + std::to_string(backend.port())).body.starts_with("direct"));
  ::setenv("no_proxy", "model.invalid", 1);
  CHECK(answer_of("http://model.invalid/v2").status >= 500);  // there is no such host
  CHECK(site_proxy.requests() == 1);
  ::unsetenv("no_proxy");
  ::unsetenv("http_proxy");
}
