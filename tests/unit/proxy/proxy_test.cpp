// Real proxies, sockets and servers; see cluster.hpp.
#include "proxy/proxy.hpp"

#include <stdlib.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>

#include "backend.hpp"
#include "client.hpp"
#include "cluster.hpp"
#include "scripted.hpp"
#include "support.hpp"

using namespace trireme;
using namespace trireme::proxy;
using namespace trireme::proxy::test;
using namespace std::chrono_literals;

namespace {

ServiceEndpoint service_of(std::vector<ReplicaEndpoint> replicas, std::uint32_t concurrency = 16) {
  ServiceEndpoint endpoint = service_on({}, concurrency);
  endpoint.replicas = std::move(replicas);
  return endpoint;
}

/// Asks in a thread of its own.
std::future<Answer> ask_later(std::string url, Asked asked = {}) {
  return std::async(std::launch::async, [url = std::move(url), asked = std::move(asked)] { return ask(url, asked); });
}

double metric(Cluster& cluster, Rank rank, const std::string& line) {
  const std::string text = ask(cluster.url(rank, "/metrics")).body;
  const std::size_t at = text.find("\n" + line + " ");
  REQUIRE_MESSAGE(at != std::string::npos, text);
  return std::stod(text.substr(at + line.size() + 2));
}

}  // namespace

TEST_CASE("proxy: a request reaches a replica on its own node, on another one, and over a unix socket") {
  char folder[] = "/tmp/trireme-test-XXXXXX";
  REQUIRE(::mkdtemp(folder) != nullptr);
  {
    Backend near("near", std::string(folder) + "/replica");
    Backend far("far");
    Cluster cluster(2, {.socket = std::string(folder) + "/proxy"});
    ReplicaEndpoint here = replica_at(0, 0, 0);
    here.socket = std::string(folder) + "/replica";
    cluster.publish({service_of({here})});
    Answer answer = ask(cluster.url(0, "/services/llama/v1/models?x=1"));
    CHECK(answer.status == 200);
    CHECK(answer.body.starts_with("near\nGET /v1/models?x=1\n"));
    CHECK(answer.headers["x-trireme-replica"] == "llama/0@0");
    CHECK_FALSE(answer.headers["x-request-id"].empty());

    answer = ask("http://localhost/services/llama", {.socket = std::string(folder) + "/proxy"});
    CHECK(answer.status == 200);
    CHECK(answer.body.starts_with("near\nGET /\n"));

    cluster.publish({service_of({replica_at(1, 1, far.port())})});
    answer = ask(cluster.url(0, "/services/llama/"));
    CHECK(answer.status == 200);
    CHECK(answer.body.starts_with("far\n"));
    CHECK(answer.headers["x-trireme-replica"] == "llama/1@0");
  }
  std::filesystem::remove_all(folder);
}

TEST_CASE("proxy: credentials and headers for one hop stay here, and the replica's own key is set") {
  Backend backend;
  Cluster cluster(2);
  ReplicaEndpoint replica = replica_at(0, 0, backend.port());
  replica.key = "replica-key";
  cluster.publish({service_of({replica})});
  for (const Rank rank : {0, 1}) {
    const Answer answer = ask(cluster.url(rank, "/services/llama/x"),
                              {.headers = {"Authorization: Bearer inference-token", "Cookie: a=b", "X-Session-Id: s1",
                                           "X-Trireme-Priority: high", "X-Request-Id: my-id", "Connection: X-Gone",
                                           "X-Gone: 1", "Proxy-Authorization: x"}});
    CHECK(answer.status == 200);
    CHECK(answer.body.find("Authorization: Bearer replica-key\n") != std::string::npos);
    CHECK(answer.body.find("inference-token") == std::string::npos);
    CHECK(answer.body.find("X-Session-Id: s1\n") != std::string::npos);
    CHECK(answer.body.find("X-Request-Id: my-id\n") != std::string::npos);
    CHECK(answer.headers.at("x-request-id") == "my-id");
    for (const std::string gone : {"Cookie", "X-Trireme-Priority", "X-Gone", "Proxy-Authorization"}) {
      CHECK_MESSAGE(answer.body.find(gone) == std::string::npos, gone);
    }
  }
}

TEST_CASE("proxy: 64 MiB go across ranks both ways unchanged, and the fabric never holds much of them") {
  Backend backend;
  Cluster cluster(2);
  cluster.publish({service_of({replica_at(0, 1, backend.port())})});
  constexpr std::uint64_t total = 64u << 20;
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
  bool same = true;
  Asked asked{.method = "POST"};
  asked.headers = {"Content-Type: application/octet-stream"};
  asked.upload = [&](std::size_t room) {
    std::string piece(std::min<std::uint64_t>(room, total - sent), '\0');
    for (char& c : piece) c = Backend::pattern(sent++);
    return piece;
  };
  asked.download = [&](const char* data, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) same = same && data[i] == Backend::pattern(received++);
  };
  const Answer answer = ask(cluster.url(0, "/services/llama/echo"), asked);
  CHECK(answer.error == "");
  CHECK(answer.status == 200);
  CHECK(received == total);
  CHECK(same);
  CHECK(cluster.most_backlog() < 2 * defaults::stream_window);
}

TEST_CASE("proxy: a reader that stops holds its replica back, on the own node and across ranks") {
  for (const Rank ingress : {0, 1}) {
    CAPTURE(ingress);
    Backend backend;
    Cluster cluster(2);
    cluster.publish({service_of({replica_at(0, 1, backend.port())})});
    Socket client(cluster.port(ingress));
    client.write("GET /services/llama/source?1073741824 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.read_until("\r\n\r\n");
    std::uint64_t before = 0;
    CHECK(eventually([&] {
      std::this_thread::sleep_for(100ms);
      return std::exchange(before, backend.given()) == backend.given() && before > 0;
    }));
    CHECK(backend.given() < (64u << 20));  // what the sockets' buffers take, and some windows
    CHECK(ask(cluster.url(ingress, "/services/llama/")).status == 200);
    client.close();
    CHECK(backend.wait_for_gone(1));
  }
}

TEST_CASE("proxy: events of a stream come one by one as they are sent") {
  for (const Rank ingress : {0, 1}) {
    CAPTURE(ingress);
    Backend backend;
    Cluster cluster(2);
    cluster.publish({service_of({replica_at(0, 1, backend.port())})});
    Socket client(cluster.port(ingress));
    client.write("GET /services/llama/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK(client.read_until("\r\n\r\n").find("text/event-stream") != std::string::npos);
    REQUIRE(backend.wait_for_open(1));
    for (int i = 0; i < 5; ++i) {
      const std::string event = "data: " + std::to_string(i) + "\n\n";
      backend.send_event(event);
      client.read_until(event);
    }
  }
}

TEST_CASE("proxy: a client that goes away is seen by the replica, and its slot comes back") {
  for (const Rank ingress : {0, 1}) {
    CAPTURE(ingress);
    Backend backend;
    Cluster cluster(2);
    cluster.publish({service_of({replica_at(0, 1, backend.port())}, 1)});
    for (const std::string path : {"/hang", "/events"}) {
      Socket client(cluster.port(ingress));
      client.write("GET /services/llama" + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
      REQUIRE(backend.wait_for_open(path == "/hang" ? 1 : 2));
      if (path == "/events") client.read_until("\r\n\r\n");
      client.close();
      REQUIRE(backend.wait_for_gone(path == "/hang" ? 1 : 2));
    }
    CHECK(ask(cluster.url(ingress, "/services/llama/")).status == 200);
    CHECK(metric(cluster, ingress, "trireme_requests_total{service=\"llama\",replica=\"0\",code=\"499\"}") == 1);
  }
}

TEST_CASE("proxy: three ranks together never exceed a replica's concurrency, and all are answered") {
  Backend first("first");
  Backend second("second");
  Cluster cluster(3);
  cluster.publish({service_of({replica_at(0, 0, first.port()), replica_at(1, 1, second.port())}, 3)});
  std::atomic<int> answered = 0;
  std::vector<std::thread> clients;
  for (int c = 0; c < 24; ++c) {
    clients.emplace_back([&, c] {
      for (int i = 0; i < 15; ++i) {
        if (ask(cluster.url(c % 3, "/services/llama/work?2")).status == 200) ++answered;
      }
    });
  }
  for (auto& client : clients) client.join();
  CHECK(answered == 24 * 15);
  CHECK(first.most_at_once() == 3);
  CHECK(second.most_at_once() == 3);
  CHECK(first.served() > 0);
  CHECK(second.served() > 0);
  CHECK(first.served() + second.served() == 24 * 15);

  std::uint64_t requests = 0;
  std::uint64_t by_replicas = 0;
  for (const Rank rank : {0, 1, 2}) {
    cluster.on_loop([&] {
      for (const auto& sample : cluster.proxy(rank).take_samples()) {
        requests += sample.requests;
        for (const auto& replica : sample.replicas) by_replicas += replica.requests;
        CHECK(sample.failed == 0);
        CHECK(sample.queued == 0);
      }
      CHECK(cluster.proxy(rank).take_samples().empty());
    });
    CHECK(metric(cluster, rank, "trireme_num_requests_running{service=\"llama\"}") == 0);
  }
  CHECK(requests == 24 * 15);
  CHECK(by_replicas == 24 * 15);
}

TEST_CASE("proxy: those who wait are served in their order, high priority first") {
  Backend backend;
  Cluster cluster(2);
  cluster.publish({service_of({replica_at(0, 1, backend.port())}, 1)});
  Socket blocker(cluster.port(1));
  blocker.write("GET /services/llama/hang HTTP/1.1\r\nHost: localhost\r\n\r\n");
  REQUIRE(backend.wait_for_open(1));
  std::vector<std::future<Answer>> waiting;
  const auto wait = [&](const std::string& id, const std::string& priority) {
    waiting.push_back(ask_later(cluster.url(static_cast<Rank>(waiting.size() % 2), "/services/llama/"),
                                {.headers = {"X-Request-Id: " + id, "X-Trireme-Priority: " + priority}}));
    const double expected = static_cast<double>(waiting.size());
    REQUIRE(
        eventually([&] { return metric(cluster, 0, "trireme_num_requests_queued{service=\"llama\"}") == expected; }));
  };
  wait("low-1", "low");
  wait("normal-1", "normal");
  wait("normal-2", "normal");
  wait("high-1", "high");
  wait("low-2", "low");
  wait("high-2", "high");
  blocker.close();
  for (auto& answer : waiting) CHECK(answer.get().status == 200);
  auto order = backend.order();
  order.erase(order.begin());
  CHECK(order == std::vector<std::string>{"high-1", "high-2", "normal-1", "normal-2", "low-1", "low-2"});
}

TEST_CASE("proxy: response times are told in their parts, the replica's as the rank has measured it that owns it") {
  Backend backend;
  Cluster cluster(2);
  cluster.publish({service_of({replica_at(0, 1, backend.port())}, 1)});
  for (const Rank ingress : {0, 1}) {
    CAPTURE(ingress);
    Socket blocker(cluster.port(1));
    blocker.write("GET /services/llama/hang HTTP/1.1\r\nHost: localhost\r\n\r\n");
    REQUIRE(backend.wait_for_open(1));
    auto answer = ask_later(cluster.url(ingress, "/services/llama/work?40"));
    REQUIRE(eventually([&] { return metric(cluster, 0, "trireme_num_requests_queued{service=\"llama\"}") == 1; }));
    std::this_thread::sleep_for(20ms);
    blocker.close();
    CHECK(answer.get().status == 200);
    std::vector<ServiceSample> samples;
    cluster.on_loop([&] { samples = cluster.proxy(ingress).take_samples(); });
    REQUIRE(samples.size() == 1);
    const ResponseTimes& response = samples[0].response;
    CHECK(response.inference.histogram.count() == 1);
    CHECK(response.inference.sum_s >= 0.04);
    CHECK(response.service.sum_s >= 0.02);
    CHECK((response.communication.sum_s > 0) == (ingress == 0));
  }
}

TEST_CASE("proxy: 429 with Retry-After when the queue is full, 504 at the deadline") {
  Backend backend;
  Cluster cluster(2);
  ServiceEndpoint endpoint = service_of({replica_at(0, 0, backend.port())}, 1);
  endpoint.queue = 1;
  cluster.publish({endpoint});
  Socket blocker(cluster.port(0));
  blocker.write("GET /services/llama/hang HTTP/1.1\r\nHost: localhost\r\n\r\n");
  REQUIRE(backend.wait_for_open(1));
  auto waits = ask_later(cluster.url(1, "/services/llama/"));
  REQUIRE(eventually([&] { return metric(cluster, 0, "trireme_num_requests_queued{service=\"llama\"}") == 1; }));
  for (const Rank rank : {0, 1}) {
    const Answer full = ask(cluster.url(rank, "/services/llama/"));
    CHECK(full.status == 429);
    CHECK(std::stoi(full.headers.at("retry-after")) >= 1);
    CHECK(nlohmann::json::parse(full.body)["error"]["code"] == "rate_limit_exceeded");
  }
  blocker.close();
  CHECK(waits.get().status == 200);

  Socket again(cluster.port(0));
  again.write("GET /services/llama/hang HTTP/1.1\r\nHost: localhost\r\n\r\n");
  REQUIRE(backend.wait_for_open(2));
  CHECK(ask(cluster.url(1, "/services/llama/"), {.headers = {"X-Trireme-Deadline: 0.05"}}).status == 504);
  again.close();
  // Each with more time than the one before, until one has reached the replica.
  for (double seconds = 0.05; backend.opened() < 3 && seconds < 20; seconds *= 2) {
    const std::string deadline = "X-Trireme-Deadline: " + std::to_string(seconds);
    CHECK(ask(cluster.url(1, "/services/llama/hang"), {.headers = {deadline}}).status == 504);
  }
  CHECK(backend.wait_for_gone(3));
  CHECK(ask(cluster.url(1, "/services/llama/")).status == 200);
}

TEST_CASE("proxy: what is not there, not alive or not understood is said in words") {
  Backend backend;
  Cluster cluster(1);
  CHECK(ask(cluster.url(0, "/services/llama/")).status == 404);
  CHECK(ask(cluster.url(0, "/nothing")).status == 404);
  CHECK(ask(cluster.url(0, "/services/")).status == 404);
  CHECK(ask(cluster.url(0, "/healthz")).status == 200);
  CHECK(ask(cluster.url(0, "/healthz"), {.method = "POST"}).status == 405);
  ServiceEndpoint endpoint = service_of({});
  endpoint.dead = true;
  cluster.publish({endpoint});
  const Answer dead = ask(cluster.url(0, "/services/llama/"));
  CHECK(dead.status == 503);
  CHECK(nlohmann::json::parse(dead.body)["error"]["message"].get<std::string>().find("llama") != std::string::npos);
  CHECK(ask(cluster.url(0, "/services/llama/"), {.headers = {"X-Trireme-Priority: urgent"}}).status == 400);
  CHECK(ask(cluster.url(0, "/services/llama/"), {.headers = {"X-Trireme-Deadline: soon"}}).status == 400);
}

TEST_CASE("proxy: a service that is starting queues until it is ready") {
  Backend backend;
  Cluster cluster(2);
  ServiceEndpoint endpoint = service_of({replica_at(0, 1, backend.port())});
  endpoint.replicas[0].state = ReplicaState::starting;
  cluster.publish({endpoint});
  auto here = ask_later(cluster.url(0, "/services/llama/"));
  auto there = ask_later(cluster.url(1, "/services/llama/"));
  REQUIRE(eventually([&] { return metric(cluster, 0, "trireme_num_requests_queued{service=\"llama\"}") == 2; }));
  endpoint.replicas[0].state = ReplicaState::ready;
  cluster.publish({endpoint});
  CHECK(here.get().status == 200);
  CHECK(there.get().status == 200);
}

TEST_CASE("proxy: an attempt that was not delivered goes to another replica, whoever owns the dead one") {
  for (const Rank owner : {0, 1}) {
    for (const PolicyKind policy : {PolicyKind::round_robin, PolicyKind::least_outstanding}) {
      CAPTURE(owner);
      Backend backend;
      Cluster cluster(2);
      ServiceEndpoint endpoint = service_of({replica_at(0, owner, closed_port()), replica_at(1, 1, backend.port())});
      endpoint.policy = policy;
      cluster.publish({endpoint});
      for (int i = 0; i < 6; ++i) {
        const Answer answer = ask(cluster.url(0, "/services/llama/echo"), {.method = "POST", .body = "hello"});
        CHECK(answer.status == 200);
        CHECK(answer.body == "hello");
      }
    }
  }
}

TEST_CASE("proxy: what may have been seen is retried only where the service allows it") {
  Backend backend;
  Cluster cluster(2);
  ServiceEndpoint endpoint = service_of({replica_at(0, 0, backend.port()), replica_at(1, 1, backend.port())});
  cluster.publish({endpoint});
  CHECK(ask(cluster.url(0, "/services/llama/break")).status == 502);
  CHECK(backend.served() == 1);
  endpoint.retry = RetryKind::always;
  cluster.publish({endpoint});
  CHECK(ask(cluster.url(0, "/services/llama/break")).status == 502);
  CHECK(backend.served() == 1 + static_cast<int>(defaults::request_attempts));
  const Answer cut = ask(cluster.url(0, "/services/llama/cut"));
  CHECK(cut.status == 200);
  CHECK(cut.error != "");
  CHECK(backend.served() == 2 + static_cast<int>(defaults::request_attempts));
}

TEST_CASE("proxy: what changes nothing is sent once more where a kept connection ends, whatever the service allows") {
  std::atomic<bool> breaks = false;
  Scripted server([&](http::Exchange& exchange, int) {
    if (breaks.exchange(false)) return exchange.abort();
    exchange.respond(200, "text/plain", "");
  });
  for (const Rank ingress : {0, 1}) {
    for (const char* method : {"GET", "OPTIONS", "HEAD", "POST", "PUT", "DELETE"}) {
      CAPTURE(ingress);
      CAPTURE(method);
      Cluster cluster(2);
      cluster.publish({service_of({replica_at(0, 0, server.port())})});
      const std::string url = cluster.url(ingress, "/services/llama/");
      CHECK(ask(url).status == 200);
      const int before = server.requests();
      breaks = true;
      const bool again = http::changes_nothing(method);
      CHECK(ask(url, {.method = method}).status == (again ? 200 : 502));
      CHECK(server.requests() == before + (again ? 2 : 1));
    }
  }
}

TEST_CASE("proxy: a drain waits for the requests in flight and lets none follow") {
  Backend first("first");
  Backend second("second");
  Cluster cluster(2);
  cluster.publish({service_of({replica_at(0, 0, first.port()), replica_at(1, 1, second.port())})});
  Socket client(cluster.port(0));
  client.write("GET /services/llama/hang HTTP/1.1\r\nHost: localhost\r\n\r\n");
  REQUIRE(first.wait_for_open(1));
  std::atomic<bool> drained = false;
  cluster.on_loop([&] { cluster.proxy(0).drain(replica(0), [&] { drained = true; }); });
  for (const Rank rank : {0, 1, 0, 1}) CHECK(ask(cluster.url(rank, "/services/llama/")).body.starts_with("second"));
  CHECK_FALSE(drained);
  client.close();
  CHECK(eventually([&] { return drained.load(); }));
}

TEST_CASE("proxy: the loss of a rank fails what it worked on and spares the rest") {
  Backend spared("spared");
  Backend doomed("doomed");
  Cluster cluster(3);
  const auto queued = [&](Rank home) {
    return metric(cluster, home, "trireme_num_requests_queued{service=\"llama\"}");
  };
  ServiceEndpoint endpoint = service_of({replica_at(0, 2, doomed.port())}, 1);
  endpoint.home = 2;
  cluster.publish({endpoint});
  auto cut_off = ask_later(cluster.url(0, "/services/llama/hang"));
  REQUIRE(doomed.wait_for_open(1));
  endpoint.replicas.push_back(replica_at(1, 1, spared.port()));
  cluster.publish({endpoint});
  Socket goes_on(cluster.port(0));
  goes_on.write("GET /services/llama/hang HTTP/1.1\r\nHost: localhost\r\n\r\n");
  REQUIRE(spared.wait_for_open(1));
  auto waits = ask_later(cluster.url(1, "/services/llama/"));
  REQUIRE(eventually([&] { return queued(2) == 1; }));

  cluster.lose(2);
  CHECK(cut_off.get().status == 502);
  endpoint.replicas.erase(endpoint.replicas.begin());
  endpoint.home = 0;
  cluster.publish({endpoint});
  REQUIRE(eventually([&] { return queued(0) == 1; }));
  goes_on.close();
  const Answer answer = waits.get();
  CHECK(answer.status == 200);
  CHECK(answer.body.starts_with("spared"));
}

TEST_CASE("proxy: who cannot be told needs a token, others are refused, and /runtime always needs the control token") {
  Backend backend;
  std::atomic<http::Peer> peer = http::Peer::ours;
  Cluster cluster(1, {.identify = [&](int) { return peer.load(); }});
  cluster.publish({service_of({replica_at(0, 0, backend.port())})});
  const auto status = [&](const std::string& path, std::vector<std::string> headers = {}) {
    return ask(cluster.url(0, path), {.headers = std::move(headers)}).status;
  };
  const std::string inference = "Authorization: Bearer inference-token";
  const std::string control = "Authorization: Bearer control-token";
  CHECK(status("/services/llama/") == 200);
  CHECK(status("/runtime/endpoints") == 401);
  CHECK(status("/runtime/endpoints", {inference}) == 401);
  CHECK(status("/runtime/endpoints", {control}) == 200);
  CHECK(status("/runtime/endpoints", {control, "Host: evil.example"}) == 403);
  CHECK(status("/runtime/endpoints", {control, "Origin: http://evil.example"}) == 403);
  CHECK(status("/runtime/endpoints", {control, "Origin: http://localhost:1234"}) == 200);
  CHECK(status("/runtime/nothing") == 401);

  peer = http::Peer::unknown;
  CHECK(status("/services/llama/") == 401);
  CHECK(status("/metrics") == 401);
  CHECK(status("/services/llama/", {"Authorization: Bearer wrong"}) == 401);
  CHECK(status("/services/llama/", {inference}) == 200);
  CHECK(status("/services/llama/", {control}) == 200);
  CHECK(status("/runtime/endpoints", {inference}) == 401);

  peer = http::Peer::other;
  const int refused = status("/services/llama/", {control});
  CHECK((refused == 0 || refused == 403));
}

TEST_CASE("proxy: /runtime/endpoints shows the table and no keys") {
  Backend backend;
  Cluster cluster(1);
  ServiceEndpoint endpoint = service_of({replica_at(0, 0, backend.port())});
  endpoint.replicas[0].key = "secret-key";
  endpoint.models = {{.name = "llama-3-8b", .upstream = {}}};
  cluster.publish({endpoint});
  const Answer answer = ask(cluster.url(0, "/runtime/endpoints"), {.headers = {"Authorization: Bearer control-token"}});
  const auto table = nlohmann::json::parse(answer.body);
  CHECK(table["epoch"] == 1);
  CHECK(table["services"][0]["name"] == "llama");
  CHECK(table["services"][0]["models"][0] == "llama-3-8b");
  CHECK(table["services"][0]["replicas"][0]["name"] == "llama/0@0");
  CHECK(table["services"][0]["replicas"][0]["state"] == "ready");
  CHECK(answer.body.find("secret") == std::string::npos);
}

TEST_CASE("proxy: closing breaks off what is in progress") {
  Backend backend;
  std::future<Answer> hangs;
  {
    Cluster cluster(2);
    cluster.publish({service_of({replica_at(0, 1, backend.port())})});
    hangs = ask_later(cluster.url(0, "/services/llama/hang"));
    REQUIRE(backend.wait_for_open(1));
  }
  CHECK(hangs.get().error != "");
  CHECK(backend.wait_for_gone(1));
}
