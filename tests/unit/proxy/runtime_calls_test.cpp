// What is asked under /runtime: a made-up pilot answers it.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "archive/bounded.hpp"
#include "client.hpp"
#include "cluster.hpp"
#include "core/defaults.hpp"
#include "core/runtime_request.hpp"

using namespace trireme;
using namespace trireme::proxy::test;

namespace {

const std::string bearer = "Authorization: Bearer control-token";

/// Answers each request with what it was, and keeps those for /runtime/wait. What is declared is in the first epoch.
struct Pilot {
  explicit Pilot(Cluster& cluster) {
    cluster.on_loop([&] {
      cluster.on_runtime = [&](Rank from, MessageKind kind, const std::string& payload) {
        if (kind == MessageKind::runtime_drop) {
          ++drops;
          return;
        }
        const auto request = archive::read<RuntimeRequest>(payload);
        REQUIRE(request.ok());
        if (request->target == "/runtime/wait") {
          ++waits;
          return;
        }
        if (request->target == "/runtime/services") ++declared;
        cluster.send_from_pilot(from, MessageKind::runtime_answer,
                                archive::write(RuntimeAnswer{request->number, 201,
                                                             std::to_string(from) + " " + request->method + " " +
                                                                 request->target + " " + request->body,
                                                             request->target == "/runtime/services" ? 1u : 0u}));
      };
    });
  }
  std::atomic<int> declared{0};
  std::atomic<int> waits{0};
  std::atomic<int> drops{0};
};

bool eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

}  // namespace

TEST_CASE("runtime calls: whatever rank is asked, the pilot answers; the control token is needed") {
  Cluster cluster(2);
  const Pilot pilot(cluster);
  for (const Rank rank : {0, 1}) {
    const Answer answer =
        ask(cluster.url(rank, "/runtime/tasks?x=1"),
            {.method = "POST", .headers = {bearer}, .body = "{}", .socket = {}, .upload = {}, .download = {}});
    CHECK(answer.status == 201);
    CHECK(answer.body == std::to_string(rank) + " POST /runtime/tasks?x=1 {}");
  }
  CHECK(ask(cluster.url(1, "/runtime/tasks")).status == 401);
}

TEST_CASE("runtime calls: a body beyond the bound is refused, one of several pieces is passed on whole") {
  Cluster cluster(2);
  const Pilot pilot(cluster);
  const std::string large(3u << 20, 'x');
  const Answer answer =
      ask(cluster.url(1, "/runtime/tasks"),
          {.method = "POST", .headers = {bearer}, .body = large, .socket = {}, .upload = {}, .download = {}});
  CHECK(answer.body.size() > large.size());
  const std::string too_large(defaults::runtime_body + 1, 'x');
  CHECK(ask(cluster.url(1, "/runtime/tasks"), {.method = "POST",
                                               .headers = {bearer, "Expect:"},
                                               .body = too_large,
                                               .socket = {},
                                               .upload = {},
                                               .download = {}})
            .status == 413);
}

TEST_CASE("runtime calls: an answer waits for the endpoints that were published before it") {
  Cluster cluster(2);
  const Pilot pilot(cluster);
  Socket client(cluster.port(1));
  client.write("POST /runtime/services HTTP/1.1\r\nHost: localhost\r\n" + bearer + "\r\nContent-Length: 2\r\n\r\n{}");
  REQUIRE(eventually([&] { return pilot.declared == 1; }));
  // Asked and answered later, but it waits for no epoch.
  CHECK(ask(cluster.url(1, "/runtime/tasks"),
            {.method = "GET", .headers = {bearer}, .body = {}, .socket = {}, .upload = {}, .download = {}})
            .status == 201);
  CHECK(client.silent());
  cluster.publish({});
  CHECK(client.read_until("{}").find("201") != std::string::npos);
}

TEST_CASE("runtime calls: who goes away takes the request back; a lost pilot is told to those who wait") {
  Cluster cluster(2);
  const Pilot pilot(cluster);
  {
    Socket client(cluster.port(1));
    client.write("POST /runtime/wait HTTP/1.1\r\nHost: localhost\r\n" + bearer + "\r\nContent-Length: 2\r\n\r\n{}");
    REQUIRE(eventually([&] { return pilot.waits == 1; }));
  }
  CHECK(eventually([&] { return pilot.drops == 1; }));
  Socket client(cluster.port(1));
  client.write("POST /runtime/wait HTTP/1.1\r\nHost: localhost\r\n" + bearer + "\r\nContent-Length: 2\r\n\r\n{}");
  REQUIRE(eventually([&] { return pilot.waits == 2; }));
  cluster.lose(0);
  CHECK(client.read_until("}}").find("503") != std::string::npos);
  CHECK(ask(cluster.url(1, "/runtime/tasks"),
            {.method = "GET", .headers = {bearer}, .body = {}, .socket = {}, .upload = {}, .download = {}})
            .status == 503);
}
