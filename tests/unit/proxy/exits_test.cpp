// Every way in which a request can end, on the replica's own rank and across ranks: it is counted as in flight no longer, it
// holds no slot and no place in the queue, and the replica's only slot serves the next.
#include <future>

#include "backend.hpp"
#include "client.hpp"
#include "scripted.hpp"
#include "support.hpp"

using namespace trireme;
using namespace trireme::proxy;
using namespace trireme::proxy::test;

namespace {

constexpr Rank owner = 1;

/// A replica with one slot on rank 1; rank 0 is the service's home.
struct World {
  World() : endpoint(service_on({}, 1)) {
    endpoint.replicas = {replica_at(0, owner, backend.port())};
    cluster.publish({endpoint});
  }
  Backend backend;
  Cluster cluster{3};
  ServiceEndpoint endpoint;
};

std::string request(const std::string& path, const std::string& headers = "") {
  return "GET /services/llama" + path + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n";
}

/// A request that has reached the replica and holds its slot.
std::unique_ptr<Socket> in_flight(World& world, Rank ingress, const std::string& path, int open) {
  auto client = std::make_unique<Socket>(world.cluster.port(ingress));
  client->write(request(path));
  REQUIRE(world.backend.wait_for_open(open));
  return client;
}

struct Exit {
  const char* name;
  void (*run)(World& world, Rank ingress);
};

const std::vector<Exit> exits = {
    {"it is answered",
     [](World& world, Rank ingress) { CHECK(ask(world.cluster.url(ingress, "/services/llama/")).status == 200); }},
    {"its client leaves before the answer",
     [](World& world, Rank ingress) {
       in_flight(world, ingress, "/hang", 1)->close();
       CHECK(world.backend.wait_for_gone(1));
     }},
    {"its client leaves in the middle of the answer",
     [](World& world, Rank ingress) {
       const auto client = in_flight(world, ingress, "/events", 1);
       client->read_until("\r\n\r\n");
       client->close();
       CHECK(world.backend.wait_for_gone(1));
     }},
    {"its client leaves in the middle of its body",
     [](World& world, Rank ingress) {
       Socket client(world.cluster.port(ingress));
       client.write("POST /services/llama/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhello");
       client.read_until("hello");
       client.close();
       CHECK(world.backend.wait_for_gone(1));
     }},
    {"its client leaves while it is queued",
     [](World& world, Rank ingress) {
       const auto blocker = in_flight(world, ingress, "/hang", 1);
       Socket client(world.cluster.port(ingress));
       client.write(request("/"));
       REQUIRE(eventually([&] { return gauge(world.cluster, 0, "queued") == 1; }));
       client.close();
       CHECK(eventually([&] { return gauge(world.cluster, 0, "queued") == 0; }));
     }},
    {"its deadline passes before the answer",
     [](World& world, Rank ingress) {
       // Each with more time than the one before, until one has reached the replica.
       for (double seconds = 0.1; world.backend.opened() < 1 && seconds < 20; seconds *= 2) {
         const std::string deadline = "X-Trireme-Deadline: " + std::to_string(seconds);
         CHECK(ask(world.cluster.url(ingress, "/services/llama/hang"), {.headers = {deadline}}).status == 504);
       }
       CHECK(world.backend.wait_for_gone(1));
     }},
    {"its deadline passes while it is queued",
     [](World& world, Rank ingress) {
       const auto blocker = in_flight(world, ingress, "/hang", 1);
       const auto answer =
           ask(world.cluster.url(ingress, "/services/llama/"), {.headers = {"X-Trireme-Deadline: 0.1"}});
       CHECK(answer.status == 504);
     }},
    {"its replica ends the connection before the answer",
     [](World& world, Rank ingress) { CHECK(ask(world.cluster.url(ingress, "/services/llama/break")).status == 502); }},
    {"its replica ends the connection in the middle of the answer",
     [](World& world, Rank ingress) {
       const Answer answer = ask(world.cluster.url(ingress, "/services/llama/cut"));
       CHECK(answer.status == 200);
       CHECK(answer.error != "");
     }},
    {"its client leaves while it waits to be tried again",
     [](World& world, Rank ingress) {
       world.endpoint.retry = RetryKind::always;
       world.cluster.publish({world.endpoint});
       Socket client(world.cluster.port(ingress));
       client.write(request("/break"));
       CHECK(eventually([&] { return world.backend.served() > 0; }));
       client.close();
     }},
    {"its replica drains, and its client leaves",
     [](World& world, Rank ingress) {
       const auto client = in_flight(world, ingress, "/events", 1);
       std::promise<void> drained;
       world.cluster.on_loop([&] { world.cluster.proxy(owner).drain(replica(0), [&] { drained.set_value(); }); });
       client->close();
       CHECK(drained.get_future().wait_for(std::chrono::seconds(20)) == std::future_status::ready);
       world.endpoint.replicas[0].id = replica(0, 1);
       world.cluster.publish({world.endpoint});
     }},
    {"its replica is replaced while it works",
     [](World& world, Rank ingress) {
       const auto client = in_flight(world, ingress, "/events", 1);
       client->read_until("\r\n\r\n");
       world.endpoint.replicas[0].id = replica(0, 1);
       world.cluster.publish({world.endpoint});
       world.backend.send_event("still here\n");
       client->read_until("still here\n");  // it goes on where it is
       client->close();
       CHECK(world.backend.wait_for_gone(1));
     }},
};

}  // namespace

TEST_CASE("exits: whatever ends a request, its slot and its place are free again, here and across ranks") {
  for (const Exit& exit : exits) {
    for (const Rank ingress : {owner, Rank{0}, Rank{2}}) {
      INFO(exit.name);
      CAPTURE(ingress);
      World world;
      exit.run(world, ingress);
      CHECK(eventually([&] { return calm(world.cluster, {0, 1, 2}); }));
      const Answer next = ask(world.cluster.url(ingress, "/services/llama/"), {.headers = {"X-Trireme-Deadline: 20"}});
      CHECK_MESSAGE(next.status == 200, next.body);
    }
  }
}

TEST_CASE("exits: a lost rank leaves nothing behind, whether it was ingress, owner or home") {
  SUBCASE("the ingress") {
    World world;
    const auto client = in_flight(world, 2, "/hang", 1);
    world.cluster.lose(2);
    CHECK(world.backend.wait_for_gone(1));
    CHECK(eventually([&] { return calm(world.cluster, {0, 1}); }));
    CHECK(ask(world.cluster.url(0, "/services/llama/")).status == 200);
  }
  SUBCASE("the owner, while it works, streams, and has a queue") {
    World world;
    const auto working = in_flight(world, 0, "/events", 1);
    working->read_until("\r\n\r\n");
    auto queued = std::async(std::launch::async, [&] { return ask(world.cluster.url(2, "/services/llama/")); });
    REQUIRE(eventually([&] { return gauge(world.cluster, 0, "queued") == 1; }));
    world.cluster.lose(owner);
    Backend other;
    world.endpoint.replicas = {replica_at(1, 2, other.port())};
    world.cluster.publish({world.endpoint});
    CHECK(queued.get().status == 200);
    CHECK(eventually([&] { return calm(world.cluster, {0, 2}); }));
    CHECK(ask(world.cluster.url(0, "/services/llama/")).status == 200);
  }
  SUBCASE("the home, with a queue") {
    World world;
    auto blocker = in_flight(world, 2, "/hang", 1);
    auto queued = std::async(std::launch::async, [&] { return ask(world.cluster.url(2, "/services/llama/")); });
    REQUIRE(eventually([&] { return gauge(world.cluster, 0, "queued") == 1; }));
    world.cluster.lose(0);
    world.endpoint.home = 2;
    world.cluster.publish({world.endpoint});
    blocker->close();
    CHECK(queued.get().status == 200);
    CHECK(eventually([&] { return calm(world.cluster, {1, 2}); }));
  }
}
