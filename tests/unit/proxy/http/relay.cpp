// Client, listener, relay and upstream together over real sockets: what passes through is what was sent, in both directions
// at once, whatever goes away in between.
#include "proxy/http/relay.hpp"

#include <condition_variable>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <random>

#include "harness.hpp"
#include "proxy/http/client.hpp"
#include "proxy/http/listener.hpp"

using namespace trireme::proxy;
using namespace trireme::proxy::http;

namespace {

/// A small proxy: each request goes to the first upstream, and when that fails to the next. One port is one upstream, however
/// often it is given.
class Proxy {
 public:
  Proxy(LoopBeside& beside, const std::vector<std::uint16_t>& ports) {
    std::map<std::uint16_t, std::shared_ptr<LocalUpstream>> by_port;
    for (std::uint16_t port : ports) {
      auto& upstream = by_port[port];
      if (!upstream) upstream = std::make_shared<LocalUpstream>(beside.loop, LocalAddress{.port = port, .path = {}});
      upstreams_.push_back(upstream);
    }
    auto made = Listener::on_loopback(beside.loop, 0, [this](std::unique_ptr<Exchange> exchange) {
      requests_.emplace_back(*this, std::move(exchange)).start();
    });
    REQUIRE_MESSAGE(made.ok(), made.error().text());
    listener_ = std::move(*made);
  }
  ~Proxy() { CHECK(requests_.empty()); }

  TestSocket client() const { return TestSocket::to_port(listener_->port()); }
  /// The outcome of the request with that number, once it is there.
  RelayOutcome outcome(std::size_t number) {
    std::unique_lock lock(mutex_);
    REQUIRE(ended_.wait_for(lock, std::chrono::seconds(give_up_seconds), [&] { return outcomes_.size() > number; }));
    return outcomes_[number];
  }

  bool hold = false;  ///< requests wait for a slot that never comes
  Event arrived;

 private:
  class Request final : public RelayOwner {
   public:
    Request(Proxy& proxy, std::unique_ptr<Exchange> exchange) : proxy_(proxy) {
      RequestHead head = std::move(exchange->head());
      relay_ = std::make_unique<Relay>(std::move(exchange), std::move(head), *this);
    }
    void start() {
      proxy_.arrived.set();
      if (!proxy_.hold) relay_->attempt(*proxy_.upstreams_[next_++]);
    }
    void on_failed(Relay& relay, const CallError& error) override {
      if (relay.replayable() && next_ < proxy_.upstreams_.size()) {
        relay.attempt(*proxy_.upstreams_[next_++]);
      } else {
        RelayOwner::on_failed(relay, error);
      }
    }
    void on_answer(Relay&, ResponseHead& head) override { set(head.headers, "X-Via", "test"); }
    void on_done(Relay&, const RelayOutcome& outcome) override {
      {
        const std::lock_guard lock(proxy_.mutex_);
        proxy_.outcomes_.push_back(outcome);
        proxy_.ended_.notify_all();
      }
      proxy_.requests_.remove_if([this](const Request& other) { return &other == this; });
    }

   private:
    Proxy& proxy_;
    std::unique_ptr<Relay> relay_;
    std::size_t next_ = 0;
  };

  std::vector<std::shared_ptr<LocalUpstream>> upstreams_;
  std::list<Request> requests_;
  std::mutex mutex_;
  std::condition_variable ended_;
  std::vector<RelayOutcome> outcomes_;
  std::unique_ptr<Listener> listener_;
};

std::string random_bytes(std::size_t size) {
  std::mt19937_64 random(size);
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i + 8 <= size; i += 8) {
    const std::uint64_t word = random();
    std::memcpy(bytes.data() + i, &word, 8);
  }
  return bytes;
}

std::string post(std::size_t size, const std::string& target = "/") {
  return "POST " + target + " HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n";
}

/// Answers each request with its own body.
void echo(TestSocket& socket, int) {
  while (!socket.received.empty() || socket.receive()) {
    const Asked asked = take_request(socket);
    socket.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(asked.body.size()) + "\r\n\r\n" + asked.body);
  }
}

std::uint16_t port_of_nobody() {
  return ScriptedServer([](TestSocket&, int) {}).port();
}

std::size_t resident_bytes() {
  std::size_t pages = 0, resident = 0;
  FILE* file = std::fopen("/proc/self/statm", "r");
  REQUIRE(file != nullptr);
  CHECK(std::fscanf(file, "%zu %zu", &pages, &resident) == 2);
  std::fclose(file);
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

TEST_CASE("a thousand requests on one connection go over one upstream connection") {
  ScriptedServer server(echo);
  LoopBeside beside;
  Proxy proxy(beside, {server.port()});
  beside.run([&] {
    TestSocket client = proxy.client();
    for (int i = 0; i < 1000; ++i) {
      const std::string body = "body " + std::to_string(i);
      client.send(post(body.size()) + body);
      const Answer answer = take_answer(client);
      REQUIRE(answer.body == body);
      REQUIRE(find(answer.head.headers, "X-Via") == "test");
    }
    const RelayOutcome outcome = proxy.outcome(999);
    CHECK(outcome.status == 200);
    CHECK(outcome.bytes_up == 8);
    CHECK(outcome.bytes_down == 8);
    CHECK(outcome.attempts == 1);
    CHECK_FALSE(outcome.error);
    CHECK_FALSE(outcome.client_gone);
  });
  CHECK(server.connections() == 1);
}

TEST_CASE("64 MiB pass up and down at once, unchanged, through a bounded memory") {
  const std::string bytes = random_bytes(64u << 20);
  // The server returns what it reads as it reads it.
  auto return_one = [](TestSocket& socket) {
    const std::string head = socket.take_until("\r\n\r\n");
    const bool chunked = head.find("chunked") != std::string::npos;
    socket.send(chunked ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                        : "HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n");
    BodyDecoder decoder(chunked ? Body{Body::Kind::chunked, 0} : Body{Body::Kind::length, 64u << 20});
    while (!decoder.done()) {
      std::size_t used = 0;
      for (;;) {
        const auto piece = decoder.next(std::string_view(socket.received).substr(used));
        used += piece.consumed;
        if (piece.consumed == 0) break;
        if (piece.data.empty()) continue;
        std::string out;
        if (chunked) append_chunk_size(out, piece.data.size());
        out.append(piece.data);
        if (chunked) out.append(crlf);
        REQUIRE(socket.send(out));
      }
      socket.received.erase(0, used);
      if (!decoder.done()) REQUIRE(socket.receive());
    }
    if (chunked) socket.send(last_chunk);
  };
  ScriptedServer server([&](TestSocket& socket, int) {
    while (!socket.received.empty() || socket.receive()) return_one(socket);
  });
  LoopBeside beside;
  Proxy proxy(beside, {server.port()});
  for (bool chunked : {false, true}) {
    CAPTURE(chunked);
    beside.run([&] {
      TestSocket client = proxy.client();
      std::jthread sender([&] {
        if (!chunked) {
          client.send(post(bytes.size()));
          client.send(bytes);
          return;
        }
        client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
        constexpr std::size_t chunk = 100'000;
        for (std::size_t at = 0; at < bytes.size(); at += chunk) {
          const std::size_t size = std::min(chunk, bytes.size() - at);
          std::string out;
          append_chunk_size(out, size);
          out.append(bytes, at, size).append(crlf);
          client.send(out);
        }
        client.send(last_chunk);
      });
      const std::size_t before = resident_bytes();
      std::size_t most = before;
      client.take_until("\r\n\r\n");
      BodyDecoder decoder(chunked ? Body{Body::Kind::chunked, 0} : Body{Body::Kind::length, bytes.size()});
      std::size_t at = 0;
      bool same = true;
      bool open = true;
      while (!decoder.done() && open) {
        std::size_t used = 0;
        for (;;) {
          const auto piece = decoder.next(std::string_view(client.received).substr(used));
          same = same && std::string_view(bytes).substr(at, piece.data.size()) == piece.data;
          at += piece.data.size();
          used += piece.consumed;
          if (piece.consumed == 0) break;
        }
        client.received.erase(0, used);
        most = std::max(most, resident_bytes());
        if (!decoder.done()) open = client.receive();
      }
      sender.join();
      CHECK(decoder.done());
      CHECK(at == bytes.size());
      CHECK(same);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they keep what is freed
      CHECK(most - before < 32u << 20);
#endif
    });
  }
}

TEST_CASE("a client that reads nothing stops the server that answers it") {
  std::size_t sent = 0;
  Event blocked;
  ScriptedServer server([&](TestSocket& socket, int) {
    take_request(socket);
    socket.send("HTTP/1.1 200 OK\r\n\r\n");
    sent = socket.send_until_blocked(1u << 30);
    blocked.set();
  });
  LoopBeside beside;
  Proxy proxy(beside, {server.port()});
  beside.run([&] {
    TestSocket client = proxy.client();
    client.send(post(0));
    REQUIRE(blocked.wait());
    const Answer answer = take_answer(client);
    CHECK(answer.complete);
    CHECK(answer.body.size() == sent);
  });
  CHECK(sent < 512u << 20);
}

TEST_CASE("the first event of a stream arrives before the last is made") {
  Event first_arrived;
  ScriptedServer server([&](TestSocket& socket, int) {
    take_request(socket);
    socket.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    socket.send("9\r\ndata: 1\n\n\r\n");
    CHECK(first_arrived.wait());
    socket.send("9\r\ndata: 2\n\n\r\n0\r\n\r\n");
    socket.receive_until_closed();
  });
  LoopBeside beside;
  Proxy proxy(beside, {server.port()});
  beside.run([&] {
    TestSocket client = proxy.client();
    client.send(post(0));
    client.take_until("data: 1\n\n");
    first_arrived.set();
    client.take_until("data: 2\n\n\r\n0\r\n\r\n");
  });
}

TEST_CASE("a client that goes away cancels its request all the way down") {
  Event asked, closed;
  ScriptedServer server([&](TestSocket& socket, int) {
    take_request(socket);
    asked.set();
    CHECK(socket.receive_until_closed());
    closed.set();
  });
  LoopBeside beside;
  Proxy proxy(beside, {server.port()});
  SUBCASE("at work") {
    beside.run([&] {
      TestSocket client = proxy.client();
      client.send(post(3) + "abc");
      REQUIRE(asked.wait());
      client.close();
      CHECK(closed.wait());
      CHECK(proxy.outcome(0).client_gone);
      CHECK(proxy.outcome(0).status == 0);
    });
  }
  SUBCASE("waiting for its turn") {
    proxy.hold = true;
    beside.run([&] {
      TestSocket client = proxy.client();
      client.send(post(3) + "abc");
      REQUIRE(proxy.arrived.wait());
      client.close();
      CHECK(proxy.outcome(0).client_gone);
      CHECK(proxy.outcome(0).attempts == 0);
    });
  }
}

TEST_CASE("an answer that breaks off looks broken off to the client") {
  ScriptedServer server([](TestSocket& socket, int) {
    const Asked asked = take_request(socket);
    socket.send(asked.head.target == "/length" ? "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart"
                                               : "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n");
  });
  LoopBeside beside;
  Proxy proxy(beside, {server.port(), server.port()});
  beside.run([&] {
    for (const char* target : {"/length", "/chunked"}) {
      CAPTURE(target);
      TestSocket client = proxy.client();
      client.send(post(0, target));
      const Answer answer = take_answer(client);
      CHECK(answer.body == "part");
      CHECK_FALSE(answer.complete);
    }
    const RelayOutcome outcome = proxy.outcome(1);
    CHECK(outcome.attempts == 1);
    REQUIRE(outcome.error);
    CHECK(outcome.error->kind == CallError::Kind::lost);
    TestSocket old = proxy.client();
    old.send("GET / HTTP/1.0\r\n\r\n");
    CHECK(old.receive_until_closed());
    CHECK(old.reset_seen);
  });
}

TEST_CASE("an attempt that fails before an answer is made again elsewhere with the same body") {
  // Reads all of the request and dies.
  ScriptedServer dies([](TestSocket& socket, int) { take_request(socket); });
  ScriptedServer works(echo);
  LoopBeside beside;
  Proxy proxy(beside, {port_of_nobody(), dies.port(), works.port()});
  beside.run([&] {
    std::size_t number = 0;
    for (std::size_t size : {0u, 3u, 100'000u, 1u << 20}) {
      CAPTURE(size);
      const std::string body = random_bytes(size);
      TestSocket client = proxy.client();
      client.send(post(size));
      client.send(body);
      const Answer answer = take_answer(client);
      CHECK(answer.head.status == 200);
      CHECK(answer.body == body);
      const RelayOutcome outcome = proxy.outcome(number++);
      CHECK(outcome.attempts == 3);
      CHECK_FALSE(outcome.error);
    }
    TestSocket client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    client.send("3\r\ndef\r\n0\r\n\r\n");
    CHECK(take_answer(client).body == "abcdef");
  });
}

TEST_CASE("an attempt after one that failed is made on a fresh connection") {
  // Every connection is good for one request; two are there before the first is answered.
  std::atomic<int> begun = 0;
  Event two;
  ScriptedServer server([&](TestSocket& socket, int number) {
    const Asked asked = take_request(socket);
    if (++begun == 2) two.set();
    if (number < 2) REQUIRE(two.wait());
    socket.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n" + asked.body);
    if (socket.receive()) take_request(socket);
  });
  LoopBeside beside;
  Proxy proxy(beside, {server.port(), server.port()});
  beside.run([&] {
    TestSocket first = proxy.client();
    TestSocket second = proxy.client();
    for (TestSocket* client : {&first, &second}) client->send(post(3) + "abc");
    for (TestSocket* client : {&first, &second}) CHECK(take_answer(*client).body == "abc");
    first.send(post(3) + "def");
    const Answer answer = take_answer(first);
    CHECK(answer.head.status == 200);
    CHECK(answer.body == "def");
    CHECK(proxy.outcome(2).attempts == 2);
    first.close();
    second.close();
  });
  CHECK(server.connections() == 3);
}

TEST_CASE("a body beyond 1 MiB is not sent twice") {
  ScriptedServer dies([](TestSocket& socket, int) { take_request(socket); });
  ScriptedServer works(echo);
  LoopBeside beside;
  Proxy proxy(beside, {dies.port(), works.port()});
  beside.run([&] {
    TestSocket client = proxy.client();
    client.send(post((1u << 20) + 1));
    client.send(random_bytes((1u << 20) + 1));
    CHECK(take_answer(client).head.status == 502);
    CHECK(proxy.outcome(0).attempts == 1);
  });
  CHECK(works.connections() == 0);
}

TEST_CASE("a server that is none gives 502 with words") {
  ScriptedServer garbage([](TestSocket& socket, int) {
    take_request(socket);
    socket.send("220 mail.example.org ESMTP\r\n");
  });
  LoopBeside beside;
  Proxy proxy(beside, {garbage.port()});
  beside.run([&] {
    TestSocket client = proxy.client();
    client.send(post(3) + "abc");
    const Answer answer = take_answer(client);
    CHECK(answer.head.status == 502);
    CHECK(answer.body.find("no HTTP response") != std::string::npos);
    CHECK(answer.head.keep_alive);
    CHECK(proxy.outcome(0).error->kind == CallError::Kind::bad_response);
  });
}

TEST_CASE("an early answer reaches a client that is still sending") {
  ScriptedServer server([](TestSocket& socket, int) {
    socket.take_until("\r\n\r\n");
    socket.send("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig");
  });
  LoopBeside beside;
  Proxy proxy(beside, {server.port()});
  beside.run([&] {
    TestSocket client = proxy.client();
    client.send(post(900'000'000));
    client.send(std::string(300'000, 'x'));
    const Answer answer = take_answer(client);
    CHECK((answer.head.status == 413 || answer.head.status == 502));
    CHECK(proxy.outcome(0).bytes_up <= 900'000'000);
  });
}

TEST_CASE("HEAD, 304 and hop-by-hop headers pass as they must") {
  Asked asked;
  ScriptedServer server([&](TestSocket& socket, int) {
    while (!socket.received.empty() || socket.receive()) {
      asked = take_request(socket);
      socket.send(asked.head.method == "HEAD"
                      ? "HTTP/1.1 200 OK\r\nContent-Length: 77\r\nKeep-Alive: timeout=5\r\n\r\n"
                      : "HTTP/1.1 304 Not Modified\r\nContent-Length: 78\r\nConnection: X-Hop\r\n"
                        "X-Hop: 1\r\nETag: e\r\n\r\n");
    }
  });
  LoopBeside beside;
  Proxy proxy(beside, {server.port()});
  beside.run([&] {
    TestSocket client = proxy.client();
    client.send("HEAD / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nProxy-Authorization: x\r\nA: b\r\n\r\n");
    const Answer head = take_answer(client, "HEAD");
    CHECK(head.head.body == Body{Body::Kind::length, 77});
    client.send("GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\n");
    const Answer unmodified = take_answer(client);
    CHECK(unmodified.head.body == Body{Body::Kind::length, 78});
    CHECK(find(unmodified.head.headers, "ETag"));
    CHECK_FALSE(find(unmodified.head.headers, "X-Hop"));
    CHECK(asked.head.headers == Headers{{"Host", "h"}, {"A", "b"}});
  });
  CHECK(server.connections() == 1);
}

TEST_CASE("requests of many clients do not mix") {
  ScriptedServer server(echo);
  LoopBeside beside;
  Proxy proxy(beside, {server.port()});
  std::atomic<int> right = 0;
  beside.run([&] {
    std::vector<std::jthread> clients;
    for (int c = 0; c < 16; ++c) {
      clients.emplace_back([&, c] {
        TestSocket client = proxy.client();
        for (int i = 0; i < 50; ++i) {
          const std::string body = std::to_string(c) + " " + std::string(static_cast<std::size_t>(i) * 997, 'x');
          client.send(post(body.size()) + body);
          right += take_answer(client).body == body;
        }
      });
    }
    clients.clear();
  });
  CHECK(right == 16 * 50);
}
