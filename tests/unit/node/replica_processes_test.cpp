// Replicas as real processes: servers that come up, fail, hang, and find their port taken.
#include <doctest/doctest.h>

#include <boost/asio/ip/tcp.hpp>
#include <filesystem>

#include "bench.hpp"
#include "launch/wireup/messages.hpp"

using namespace trireme;
using test::Bench;
using test::read;
using test::SpawnerKind;
namespace asio = boost::asio;
namespace fs = std::filesystem;

namespace {

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

StartReplica replica(std::string_view script) {
  StartReplica order;
  order.id = {{4}, 0, 0};
  order.service.name = "web";
  auto parsed = Template::parse(script, Template::Mode::script, &is_runtime_placeholder);
  REQUIRE(parsed.ok());
  order.service.script = std::move(*parsed);
  return order;
}

constexpr std::string_view web_server = "exec /usr/bin/python3 -m http.server {port} --bind {host}";

bool until_ready(Bench& bench) {
  return bench.until([&] { return !bench.sent<ReplicaReady>().empty() || !bench.sent<ReplicaEnded>().empty(); }) &&
         !bench.sent<ReplicaReady>().empty();
}

bool until_ended(Bench& bench) {
  return bench.until([&] { return !bench.sent<ReplicaEnded>().empty(); });
}

bool can_connect(std::uint16_t port) {
  asio::io_context loop;
  asio::ip::tcp::socket socket(loop);
  boost::system::error_code failed;
  socket.connect({asio::ip::address_v4::loopback(), port}, failed);
  return !failed;
}

}  // namespace

TEST_CASE("a web server becomes ready, is drained, and is gone") {
  Bench bench(SpawnerKind::real);
  auto order = replica(web_server);
  order.service.ready = {Probe::Kind::http, test::text("/"), std::chrono::minutes(1)};
  bench.agent->on_message(order);
  REQUIRE(until_ready(bench));
  const auto endpoint = bench.sent<ReplicaReady>()[0].endpoint;
  CHECK(endpoint.id == order.id);
  CHECK(endpoint.port > 0);
  CHECK(endpoint.socket.empty());
  CHECK(endpoint.key.empty());
  CHECK(can_connect(endpoint.port));
  CHECK(bench.sent<ReplicaStarted>().size() == 1);

  bench.agent->on_message(StopReplica{order.id});
  REQUIRE(bench.drains.size() == 1);
  CHECK(can_connect(endpoint.port));
  bench.drains[0].second();
  REQUIRE(until_ended(bench));
  const auto end = bench.sent<ReplicaEnded>()[0];
  CHECK(end.was_ready);
  CHECK(end.end.outcome == Outcome::cancelled);
  CHECK(!can_connect(endpoint.port));
}

TEST_CASE("a replica that ends while it starts reports the end of its log") {
  Bench bench(SpawnerKind::real);
  bench.agent->on_message(replica("echo port {port}; echo 'cannot find weights' >&2; exit 9"));
  REQUIRE(until_ended(bench));
  const auto end = bench.sent<ReplicaEnded>()[0];
  CHECK(!end.was_ready);
  CHECK(end.end.outcome == Outcome::failed);
  CHECK(end.end.exit_code == 9);
  CHECK(end.end.reason == "exit code 9 before it was ready; the end of its stderr:\ncannot find weights");
  CHECK(bench.sent<ReplicaReady>().empty());
}

TEST_CASE("a replica that ends while it serves was ready, whatever its exit code") {
  Bench bench(SpawnerKind::real);
  auto order = replica("touch up; until [ -e go ]; do sleep 0.05; done; echo bye");
  order.service.ready = {Probe::Kind::file, test::text("up"), std::chrono::minutes(1)};
  bench.agent->on_message(order);
  REQUIRE(until_ready(bench));
  test::write(bench.root.path() / "run/services/web/0/0/go", "");
  REQUIRE(until_ended(bench));
  const auto end = bench.sent<ReplicaEnded>()[0];
  CHECK(end.was_ready);
  CHECK(end.end.outcome == Outcome::failed);
  CHECK(end.end.reason ==
        "exit code 0 while it served (a service has to stay in the foreground); the end of its stdout:\nbye");
}

TEST_CASE("one that is never ready is given up with the last answer of its probe") {
  Bench bench(SpawnerKind::real);
  auto order = replica("echo starting {port}; sleep 600");
  order.service.ready = {Probe::Kind::tcp, {}, std::chrono::seconds(5)};  // long after the shell has spoken
  bench.agent->on_message(order);
  REQUIRE(until_ended(bench));
  const auto end = bench.sent<ReplicaEnded>()[0].end;
  CHECK(end.outcome == Outcome::failed);
  CHECK(contains(end.reason, "it was not ready within 5s: cannot connect to port "));
  CHECK(contains(end.reason, "; the end of its stdout:\nstarting "));
}

TEST_CASE("a line on stdout can tell that a replica is ready") {
  Bench bench(SpawnerKind::real);
  auto order = replica("echo loading; sleep 0.2; echo 'model loaded in 3s'; sleep 600");
  order.service.ready = {Probe::Kind::stdout_regex, test::text("loaded in [0-9]+s"), std::chrono::minutes(1)};
  bench.agent->on_message(order);
  CHECK(until_ready(bench));
}

TEST_CASE("a server on a unix socket becomes ready there, and its socket goes with it") {
  Bench bench(SpawnerKind::real);
  auto order = replica(
      "exec /usr/bin/python3 -c \"import socket; s=socket.socket(socket.AF_UNIX); s.bind('{socket}'); s.listen(); "
      "[s.accept() for _ in iter(int, 1)]\"");
  bench.agent->on_message(order);
  REQUIRE(until_ready(bench));
  const auto endpoint = bench.sent<ReplicaReady>()[0].endpoint;
  CHECK(endpoint.port == 0);
  CHECK(fs::is_socket(endpoint.socket));
  bench.agent->on_message(StopReplica{order.id});
  bench.drains.at(0).second();
  REQUIRE(until_ended(bench));
  CHECK(!fs::exists(endpoint.socket));
}

TEST_CASE("a replica that stops answering is ended after so many failures in a row") {
  Bench bench(SpawnerKind::real);
  auto order = replica("touch healthy; sleep 600");
  order.service.ready = {Probe::Kind::file, test::text("healthy"), std::chrono::minutes(1)};
  order.service.live = Liveness{Probe::Kind::file, test::text("healthy"), std::chrono::milliseconds(20), 3};
  bench.agent->on_message(order);
  REQUIRE(until_ready(bench));
  const fs::path folder = bench.root.path() / "run/services/web/0/0";
  fs::remove(folder / "healthy");
  REQUIRE(until_ended(bench));
  const auto end = bench.sent<ReplicaEnded>()[0];
  CHECK(end.was_ready);
  CHECK(end.end.outcome == Outcome::failed);
  CHECK(end.end.reason == "liveness probe failed 3 times: the file " + (folder / "healthy").string() +
                              " is not there; it wrote nothing to stdout and stderr");
}

TEST_CASE("a stranger's server on the port is not taken for the replica, which gets another port") {
  Bench bench(SpawnerKind::real);
  // The first time it only says its port and waits; by then the test sits there. The second time it serves.
  bench.agent->on_message(
      replica("if [ ! -e port ]; then echo {port} > tmp; mv tmp port; sleep 600; fi; " + std::string(web_server)));
  const fs::path file = bench.root.path() / "run/services/web/0/0/port";
  REQUIRE(bench.until([&] { return fs::exists(file); }));
  const auto port = static_cast<std::uint16_t>(std::stoi(read(file)));
  asio::io_context other;
  asio::ip::tcp::acceptor stranger(other, {asio::ip::address_v4::loopback(), port});
  REQUIRE(until_ready(bench));
  const auto endpoint = bench.sent<ReplicaReady>()[0].endpoint;
  CHECK(endpoint.port != port);
  CHECK(can_connect(endpoint.port));
  CHECK(bench.sent<ReplicaStarted>().size() == 1);
  CHECK(bench.sent<ReplicaEnded>().empty());
}

TEST_CASE("a replica that cannot bind its port is started again with another one") {
  Bench bench(SpawnerKind::real);
  bench.agent->on_message(
      replica("if [ ! -e port ]; then echo {port} > tmp; mv tmp port; until [ -e taken ]; do sleep 0.02; "
              "done; echo 'Address already in use' >&2; exit 1; fi; " +
              std::string(web_server)));
  const fs::path folder = bench.root.path() / "run/services/web/0/0";
  REQUIRE(bench.until([&] { return fs::exists(folder / "port"); }));
  const auto port = static_cast<std::uint16_t>(std::stoi(read(folder / "port")));
  asio::io_context other;
  asio::ip::tcp::acceptor stranger(other, {asio::ip::address_v4::any(), port});
  test::write(folder / "taken", "");
  REQUIRE(until_ready(bench));
  CHECK(bench.sent<ReplicaReady>()[0].endpoint.port != port);
  CHECK(bench.sent<ReplicaEnded>().empty());
}

TEST_CASE("a replica whose key is asked for is probed with it") {
  Bench bench(SpawnerKind::real);
  auto order = replica(
      "exec /usr/bin/python3 -c \"\n"
      "import http.server as h\n"
      "class A(h.BaseHTTPRequestHandler):\n"
      "    def do_GET(self):\n"
      "        self.send_response(200 if self.headers.get('Authorization') == 'Bearer {key}' else 401)\n"
      "        self.end_headers()\n"
      "h.HTTPServer(('127.0.0.1', {port}), A).serve_forever()\n"
      "\"");
  order.service.ready = {Probe::Kind::http, test::text("/health"), std::chrono::minutes(1)};
  bench.agent->on_message(order);
  REQUIRE(until_ready(bench));
  CHECK(bench.sent<ReplicaReady>()[0].endpoint.key.size() == 32);
}

TEST_CASE("a replica that starts can be stopped, and shutting down ends one that serves without draining it") {
  Bench bench(SpawnerKind::real);
  auto slow = replica("echo {port}; sleep 600");
  bench.agent->on_message(slow);
  auto ready = replica("touch up; sleep 600");
  ready.id.replica = 1;
  ready.service.ready = {Probe::Kind::file, test::text("up"), std::chrono::minutes(1)};
  bench.agent->on_message(ready);
  REQUIRE(until_ready(bench));
  bench.agent->on_message(StopReplica{slow.id});
  REQUIRE(until_ended(bench));
  CHECK(bench.sent<ReplicaEnded>()[0].id == slow.id);
  CHECK(bench.drains.empty());
  bench.agent->on_message(ShutdownAgent{});
  REQUIRE(bench.until([&] { return bench.agent->done(); }));
  CHECK(bench.drains.empty());
  CHECK(bench.sent<ReplicaEnded>().size() == 2);
}

TEST_CASE("each rank of a replica is a process with its number and its own logs, and rank 0 makes it ready") {
  Bench bench(SpawnerKind::real);
  auto order = replica(
      "echo rank {rank} of $TRIREME_RANKS at {head}; test {rank} -eq 0 && exec /usr/bin/python3 -m http.server {port}; "
      "sleep 600");
  order.service.ranks = 3;
  order.local_ranks = 3;
  order.layout = {{3, 0, 3}};
  bench.agent->on_message(order);
  REQUIRE(until_ready(bench));
  CHECK(bench.sent<ReplicaStarted>().size() == 1);
  const fs::path folder = bench.root.path() / "run/services/web/0/0";
  REQUIRE(bench.until([&] { return contains(read(folder / "stdout.2"), "\n"); }));
  CHECK(read(folder / "stdout.2") == "rank 2 of 3 at 127.0.0.1\n");
  CHECK(bench.to_peers.empty());
  bench.agent->on_message(StopReplica{order.id, Drain::none});
  REQUIRE(until_ended(bench));
  CHECK(bench.drains.size() <= 2);
  CHECK(bench.sent<ReplicaEnded>()[0].end.outcome == Outcome::cancelled);
}

TEST_CASE("a replica whose other rank ends, however well, ends with the words of that rank") {
  Bench bench(SpawnerKind::real);
  auto order = replica("echo from {rank} >&2; test {rank} -eq 1 && exit {replica}; echo {port}; sleep 600");
  order.service.ranks = 2;
  order.local_ranks = 2;
  order.layout = {{3, 0, 2}};
  SUBCASE("badly") {
    order.id.replica = 7;
  }
  SUBCASE("well") {
    order.id.replica = 0;
  }
  bench.agent->on_message(order);
  REQUIRE(until_ended(bench));
  const AttemptEnd end = bench.sent<ReplicaEnded>()[0].end;
  CHECK(end.outcome == Outcome::failed);
  CHECK(contains(end.reason, "rank 1: exit code " + std::to_string(order.id.replica) + " before it was ready"));
  CHECK(contains(end.reason, "; the end of its stderr.1:\nfrom 1"));
}

TEST_CASE("the node of rank 0 tells the others where that is, and they start when they know") {
  Bench bench(SpawnerKind::real);
  auto order = replica("echo {rank} {head} {head_port} {key}; touch up; sleep 600");
  order.service.ready = {Probe::Kind::file, test::text("up"), std::chrono::minutes(1)};
  order.service.ranks = 3;
  order.layout = {{3, 0, 1}, {4, 1, 2}};
  bench.agent->on_message(order);
  REQUIRE(until_ready(bench));
  REQUIRE(bench.to_peers.size() == 1);
  CHECK(bench.to_peers[0].first == 4);
  const auto message = wireup::decode(bench.to_peers[0].second);
  REQUIRE(message.ok());
  const auto head = std::get<wireup::HeadAddress>(*message);
  CHECK(head.replica == order.id);
  CHECK(head.host == "n003");
  CHECK(head.meeting_port > 0);
  CHECK(head.key.size() == 32);

  // And now this node is the other one.
  auto other = replica("echo {rank} {head} {head_port} {port} {key}; sleep 600");
  other.id.replica = 1;
  other.service.ranks = 3;
  other.first_rank = 1;
  other.local_ranks = 2;
  other.layout = {{4, 0, 1}, {3, 1, 2}};
  const wireup::HeadAddress there{other.id, "n004", 7001, 7000, "", "secret"};
  const fs::path folder = bench.root.path() / "run/services/web/1/0";
  SUBCASE("the order comes first") {
    bench.agent->on_message(other);
    bench.settle();
    CHECK(!fs::exists(folder));
    bench.agent->on_peer_message(4, wireup::encode(there));
  }
  SUBCASE("the head is known first") {
    bench.agent->on_peer_message(4, wireup::encode(there));
    bench.agent->on_message(other);
  }
  REQUIRE(bench.until([&] { return contains(read(folder / "stdout.2"), "\n"); }));
  CHECK(read(folder / "stdout.2") == "2 n004 7001 7000 secret\n");
  REQUIRE(bench.until([&] { return contains(read(folder / "stdout.1"), "\n"); }));
  CHECK(bench.sent<ReplicaReady>().size() == 1);
  bench.agent->on_message(StopReplica{other.id, Drain::none});
  REQUIRE(until_ended(bench));
  CHECK(bench.sent<ReplicaEnded>()[0].id == other.id);
  CHECK(bench.sent<ReplicaEnded>()[0].end.outcome == Outcome::cancelled);
}

TEST_CASE("ranks that wait for their head end when they are told to, and those that fail say why") {
  Bench bench(SpawnerKind::real);
  auto order = replica("echo no luck at {head} >&2; exit 4");
  order.service.ranks = 2;
  order.first_rank = 1;
  order.layout = {{4, 0, 1}, {3, 1, 1}};
  bench.agent->on_message(order);
  SUBCASE("told") {
    bench.agent->on_message(StopReplica{order.id, Drain::none});
    REQUIRE(until_ended(bench));
    CHECK(bench.sent<ReplicaEnded>()[0].end.outcome == Outcome::cancelled);
  }
  SUBCASE("failed") {
    bench.agent->on_peer_message(4, wireup::encode(wireup::HeadAddress{order.id, "n004", 0, 0, "", ""}));
    REQUIRE(until_ended(bench));
    CHECK(bench.sent<ReplicaEnded>()[0].end.reason == "rank 1: exit code 4; the end of its stderr.1:\nno luck at n004");
  }
  SUBCASE("shut down") {
    bench.agent->on_message(ShutdownAgent{});
    REQUIRE(bench.until([&] { return bench.agent->done(); }));
    CHECK(bench.sent<ReplicaEnded>().size() == 1);
  }
}
