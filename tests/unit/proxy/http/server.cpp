// The server side over real sockets: what a client may rely on, and what it cannot do to us.
#include "proxy/http/server.hpp"

#include <sys/resource.h>
#include <sys/stat.h>

#include "harness.hpp"
#include "proxy/http/listener.hpp"

using namespace trireme::proxy::http;
using namespace std::chrono_literals;

namespace {

/// Reads a request's body to its end, then answers with what `reply` makes of it.
class Reader final : private ExchangeObserver {
 public:
  using Reply = std::function<void(Exchange&, const std::string& body)>;
  static void start(std::unique_ptr<Exchange> exchange, Reply reply) {
    std::unique_ptr<Reader> reader(new Reader(std::move(exchange), std::move(reply)));
    Reader& running = *reader;
    running.self_ = std::move(reader);
    running.on_body();
  }

 private:
  Reader(std::unique_ptr<Exchange> exchange, Reply reply) : exchange_(std::move(exchange)), reply_(std::move(reply)) {
    exchange_->observe(this);
  }
  void on_body() override {
    for (auto part = exchange_->body(); !part.empty(); part = exchange_->body()) {
      body_.append(part);
      exchange_->take(part.size());
    }
    if (!exchange_->body_complete()) return;
    exchange_->observe(nullptr);
    reply_(*exchange_, body_);
    const auto ended = std::move(self_);
  }
  void on_written(std::size_t) override {}
  void on_gone() override { const auto ended = std::move(self_); }

  std::unique_ptr<Reader> self_;  ///< until it has answered
  std::unique_ptr<Exchange> exchange_;
  Reply reply_;
  std::string body_;
};

void echo(std::unique_ptr<Exchange> exchange) {
  Reader::start(std::move(exchange), [](Exchange& answered, const std::string& body) {
    answered.respond(200, "text/plain", answered.head().target + ":" + body);
  });
}

std::unique_ptr<Listener> listen(LoopBeside& beside, Handler handler, ListenerOptions options = {}) {
  auto listener = Listener::on_loopback(beside.loop, 0, std::move(handler), std::move(options));
  REQUIRE_MESSAGE(listener.ok(), listener.error().text());
  return std::move(*listener);
}

/// Keeps exchanges unanswered and notes which clients went away.
struct Waiting final : ExchangeObserver {
  std::unique_ptr<Exchange> exchange;
  Event begun;
  Event gone;
  void take(std::unique_ptr<Exchange> taken) {
    exchange = std::move(taken);
    exchange->observe(this);
    begun.set();
  }
  void on_body() override {}
  void on_written(std::size_t) override {}
  void on_gone() override { gone.set(); }
};

const std::string get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

}  // namespace

TEST_CASE("a thousand requests go over one connection") {
  LoopBeside beside;
  auto listener = listen(beside, echo);
  beside.run([&] {
    TestSocket client = TestSocket::to_port(listener->port());
    for (int i = 0; i < 1000; ++i) {
      const std::string body = "body " + std::to_string(i);
      client.send("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
      const Answer answer = take_answer(client);
      REQUIRE(answer.head.status == 200);
      REQUIRE(answer.body == "/p:" + body);
    }
  });
  CHECK(listener->connections() <= 1);
}

TEST_CASE("pipelined requests are answered in their order") {
  LoopBeside beside;
  auto listener = listen(beside, echo);
  beside.run([&] {
    TestSocket client = TestSocket::to_port(listener->port());
    std::string all;
    for (int i = 0; i < 100; ++i) {
      all += "POST /" + std::to_string(i) +
             " HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    }
    client.send(all);
    for (int i = 0; i < 100; ++i) REQUIRE(take_answer(client).body == "/" + std::to_string(i) + ":abc");
  });
}

TEST_CASE("a request that arrives byte by byte is understood") {
  LoopBeside beside;
  auto listener = listen(beside, echo);
  beside.run([&] {
    TestSocket client = TestSocket::to_port(listener->port());
    const int on = 1;
    ::setsockopt(client.fd(), IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof on);
    const std::string text =
        "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;e\r\nde\r\n0\r\n\r\n";
    for (char c : text) client.send(std::string_view(&c, 1));
    CHECK(take_answer(client).body == "/x:abcde");
  });
}

TEST_CASE("what is no proper request is answered with its status, and the connection ends") {
  LoopBeside beside;
  auto listener = listen(beside, echo);
  beside.run([&] {
    struct Case {
      std::string text;
      int status;
    };
    const std::vector<Case> cases = {
        {"nonsense\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/3.0\r\nHost: h\r\n\r\n", 505},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: h\r\nA: " + std::string(100'000, 'a'), 431},
    };
    for (const Case& c : cases) {
      CAPTURE(c.text.substr(0, 80));
      TestSocket client = TestSocket::to_port(listener->port());
      client.send(c.text);
      const Answer answer = take_answer(client);
      CHECK(answer.head.status == c.status);
      CHECK_FALSE(answer.head.keep_alive);
      CHECK(answer.body.starts_with(std::to_string(c.status)));
      CHECK(client.receive_until_closed());
      CHECK_FALSE(client.reset_seen);
    }
  });
}

TEST_CASE("a chunk that breaks after the handler has begun ends the request with 400") {
  LoopBeside beside;
  auto listener = listen(beside, echo);
  beside.run([&] {
    TestSocket client = TestSocket::to_port(listener->port());
    client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    client.send("nonsense");
    CHECK(take_answer(client).head.status == 400);
    CHECK(client.receive_until_closed());
  });
}

TEST_CASE("100 Continue is sent when the body is asked for, and not when it is not") {
  LoopBeside beside;
  auto listener = listen(beside, [](std::unique_ptr<Exchange> exchange) {
    if (exchange->head().target == "/no") return exchange->respond(403, "text/plain", "no");
    echo(std::move(exchange));
  });
  beside.run([&] {
    TestSocket client = TestSocket::to_port(listener->port());
    const std::string rest = " HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    client.send("PUT /yes" + rest);
    CHECK(client.take_until("\r\n\r\n") == continue_head);
    client.send("abc");
    CHECK(take_answer(client).body == "/yes:abc");
    // With the body at hand there is nothing to continue.
    client.send("PUT /yes" + rest + "abc");
    CHECK(take_answer(client).head.status == 200);

    client.send("PUT /no" + rest);
    const Answer refused = take_answer(client);
    CHECK(refused.head.status == 403);
    CHECK_FALSE(refused.head.keep_alive);
    CHECK(client.receive_until_closed());
  });
}

TEST_CASE("HEAD is answered without a body, and HTTP/1.0 in its own way") {
  LoopBeside beside;
  auto listener = listen(beside, [](std::unique_ptr<Exchange> exchange) {
    if (exchange->head().target == "/stream") {
      exchange->respond_head({.body = {Body::Kind::chunked, 0}});
      static_cast<void>(exchange->respond_body("some"));
      static_cast<void>(exchange->respond_body("thing"));
      exchange->respond_end();
    } else {
      exchange->respond(200, "text/plain", "hello");
    }
  });
  beside.run([&] {
    TestSocket client = TestSocket::to_port(listener->port());
    client.send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n" + get);
    const Answer head = take_answer(client, "HEAD");
    CHECK(head.head.body == Body{Body::Kind::length, 5});
    CHECK(take_answer(client).body == "hello");
    client.send("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    const Answer streamed = take_answer(client);
    CHECK(streamed.head.body.kind == Body::Kind::chunked);
    CHECK(streamed.body == "something");

    TestSocket old = TestSocket::to_port(listener->port());
    old.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    CHECK(old.take_until("hello").find("Connection: keep-alive\r\n") != std::string::npos);
    old.send("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    CHECK(old.receive_until_closed());
    CHECK_FALSE(old.reset_seen);
    CHECK(old.received.ends_with("Connection: close\r\n\r\nsomething"));
  });
}

TEST_CASE("the rest of an unread body is passed over, and the connection lives on") {
  LoopBeside beside;
  auto listener =
      listen(beside, [](std::unique_ptr<Exchange> exchange) { exchange->respond(200, "text/plain", "done"); });
  beside.run([&] {
    TestSocket client = TestSocket::to_port(listener->port());
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 500000\r\n\r\n");
    CHECK(take_answer(client).body == "done");
    client.send(std::string(500'000, 'x') + get);
    CHECK(take_answer(client).body == "done");
  });
}

TEST_CASE("an answer before a body that is too long to be passed over says that the connection ends") {
  LoopBeside beside;
  auto listener =
      listen(beside, [](std::unique_ptr<Exchange> exchange) { exchange->respond(404, "text/plain", "no"); });
  beside.run([&] {
    const std::string post = "POST / HTTP/1.1\r\nHost: h\r\n";
    struct Case {
      std::string request;
      bool kept;
    };
    const std::vector<Case> cases = {
        {post + "Content-Length: 1048576\r\n\r\n", true},
        {post + "Content-Length: 1048577\r\n\r\n", false},
        {post + "Content-Length: 1048579\r\n\r\nabc", false},
        {post + "Transfer-Encoding: chunked\r\n\r\n", false},
        {post + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", false},
        {post + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", true},
    };
    for (const Case& c : cases) {
      CAPTURE(c.request);
      TestSocket client = TestSocket::to_port(listener->port());
      client.send(c.request);
      const Answer answer = take_answer(client);
      CHECK(answer.head.status == 404);
      CHECK(answer.head.keep_alive == c.kept);
    }
  });
}

TEST_CASE("a client that sends all of an unwanted body first reads its answer then") {
  LoopBeside beside;
  ListenerOptions patient;
  patient.limits.linger = std::chrono::seconds(give_up_seconds);
  auto listener = listen(
      beside, [](std::unique_ptr<Exchange> exchange) { exchange->respond(413, "text/plain", "too much"); }, patient);
  beside.run([&] {
    const std::size_t size = 33u << 20;
    TestSocket client = TestSocket::to_port(listener->port());
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n");
    CHECK(client.send(std::string(size, 'x')));
    const Answer answer = take_answer(client);
    CHECK(answer.head.status == 413);
    CHECK(answer.body == "too much");
  });
}

TEST_CASE("a client that never ends sending an unwanted body is dismissed") {
  LoopBeside beside;
  ListenerOptions hasty;
  hasty.limits.linger = 200ms;
  auto listener = listen(
      beside, [](std::unique_ptr<Exchange> exchange) { exchange->respond(413, "text/plain", "too much"); }, hasty);
  beside.run([&] {
    TestSocket client = TestSocket::to_port(listener->port());
    client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    CHECK(take_answer(client).head.status == 413);
    while (client.send(std::string(100'000, 'x'))) {
    }
  });
  CHECK(listener->connections() == 0);
}

TEST_CASE("a client that goes away is noticed while its request waits") {
  LoopBeside beside;
  Waiting waiting;
  auto listener = listen(beside, [&](std::unique_ptr<Exchange> e) { waiting.take(std::move(e)); });
  SUBCASE("with nothing more to read") {
    beside.run([&] {
      TestSocket client = TestSocket::to_port(listener->port());
      client.send(get);
      REQUIRE(waiting.begun.wait());
      client.close();
      CHECK(waiting.gone.wait());
    });
  }
  SUBCASE("by a reset") {
    beside.run([&] {
      TestSocket client = TestSocket::to_port(listener->port());
      client.send(get);
      REQUIRE(waiting.begun.wait());
      client.reset();
      CHECK(waiting.gone.wait());
    });
  }
  SUBCASE("with more body than is read ahead") {
    beside.run([&] {
      TestSocket client = TestSocket::to_port(listener->port());
      client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 900000000\r\n\r\n");
      // More than the window, and no more than the kernel takes: its close must not wait behind bytes that nobody reads.
      client.send(std::string(300'000, 'x'));
      REQUIRE(waiting.begun.wait());
      client.close();
      CHECK(waiting.gone.wait());
    });
  }
  SUBCASE("with another request behind it") {
    beside.run([&] {
      TestSocket client = TestSocket::to_port(listener->port());
      client.send(get + get);
      REQUIRE(waiting.begun.wait());
      client.close();
      CHECK(waiting.gone.wait());
    });
  }
  CHECK_FALSE(waiting.exchange->live());
  waiting.exchange->respond(200, "text/plain", "nobody reads this");
  CHECK(listener->connections() == 0);
}

TEST_CASE("at most a window of a body is read ahead") {
  LoopBeside beside;
  Waiting waiting;
  auto listener = listen(beside, [&](std::unique_ptr<Exchange> e) { waiting.take(std::move(e)); });
  std::size_t sent = 0;
  beside.run([&] {
    TestSocket client = TestSocket::to_port(listener->port());
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 900000000\r\n\r\n");
    sent = client.send_until_blocked(900'000'000);
    REQUIRE(waiting.begun.wait());
    for (std::size_t ahead = 0; ahead < 128u << 10;) {
      beside.on_loop([&] { ahead = waiting.exchange->body().size(); });
      CHECK(ahead <= 256u << 10);
    }
    boost::asio::post(beside.io, [&] { waiting.exchange->abort(); });
    CHECK(client.receive_until_closed());
  });
  CHECK(sent < 256u << 20);  // what the kernel holds between us
}

TEST_CASE("an answer that is broken off does not look complete") {
  LoopBeside beside;
  auto listener = listen(beside, [](std::unique_ptr<Exchange> exchange) {
    Body body{Body::Kind::chunked, 0};
    if (exchange->head().target == "/length") body = {Body::Kind::length, 100};
    exchange->respond_head({.body = body});
    static_cast<void>(exchange->respond_body("the beginning"));
    if (exchange->head().target == "/short") return exchange->respond_end();
    exchange->abort();
  });
  beside.run([&] {
    for (const char* target : {"/chunked", "/length"}) {
      CAPTURE(target);
      TestSocket client = TestSocket::to_port(listener->port());
      client.send(std::string("GET ") + target + " HTTP/1.1\r\nHost: h\r\n\r\n");
      const Answer answer = take_answer(client);
      CHECK(answer.body == "the beginning");
      CHECK_FALSE(answer.complete);
    }
    TestSocket old = TestSocket::to_port(listener->port());
    old.send("GET /old HTTP/1.0\r\n\r\n");
    CHECK(old.receive_until_closed());
    CHECK(old.reset_seen);
  });
}

TEST_CASE("an Exchange that is dropped unanswered closes the connection") {
  LoopBeside beside;
  auto listener = listen(beside, [](std::unique_ptr<Exchange>) {});
  beside.run([&] {
    TestSocket client = TestSocket::to_port(listener->port());
    client.send(get);
    CHECK(client.receive_until_closed());
    CHECK(client.received.empty());
  });
}

TEST_CASE("bytes that the client does not read are reported as unwritten until it does") {
  struct Writer final : ExchangeObserver {
    std::unique_ptr<Exchange> exchange;
    std::size_t given = 0, written = 0, most_unwritten = 0, total = 64u << 20;
    void more() {
      const std::string block(100'000, 'x');
      while (given < total && given - written < 256u << 10) {
        const std::size_t size = std::min(block.size(), total - given);
        given += size;
        written += exchange->respond_body(std::string_view(block).substr(0, size));
        most_unwritten = std::max(most_unwritten, given - written);
      }
      if (given == total && exchange->live()) exchange->respond_end();
    }
    void on_body() override {}
    void on_written(std::size_t bytes) override {
      written += bytes;
      more();
    }
    void on_gone() override {}
  } writer;
  LoopBeside beside;
  Event blocked;
  auto listener = listen(beside, [&](std::unique_ptr<Exchange> exchange) {
    writer.exchange = std::move(exchange);
    writer.exchange->observe(&writer);
    writer.exchange->respond_head({.body = {Body::Kind::length, writer.total}});
    writer.more();
    if (writer.given < writer.total) blocked.set();
  });
  beside.run([&] {
    TestSocket client = TestSocket::to_port(listener->port());
    client.send(get);
    REQUIRE(blocked.wait());
    const Answer answer = take_answer(client);
    CHECK(answer.complete);
    CHECK(answer.body.size() == writer.total);
  });
  CHECK(writer.most_unwritten < (256u << 10) + 100'000);
}

TEST_CASE("slow and silent clients are dismissed") {
  LoopBeside beside;
  ListenerOptions patient;  // with those that are to send something first
  patient.limits.head_timeout = 100ms;
  patient.limits.idle_timeout = 3s;
  patient.limits.stall_timeout = 300ms;
  auto listener = listen(beside, echo, patient);
  ListenerOptions hasty;
  hasty.limits.idle_timeout = 200ms;
  auto silence = listen(beside, echo, hasty);
  beside.run([&] {
    TestSocket slow = TestSocket::to_port(listener->port());
    slow.send("GET / HT");
    CHECK(take_answer(slow).head.status == 408);
    CHECK(slow.receive_until_closed());

    TestSocket silent = TestSocket::to_port(silence->port());
    CHECK(silent.receive_until_closed());

    TestSocket idle = TestSocket::to_port(listener->port());
    idle.send(get);
    CHECK(take_answer(idle).head.status == 200);
    CHECK(idle.receive_until_closed());
    CHECK(idle.received.empty());

    TestSocket stalled = TestSocket::to_port(listener->port());
    stalled.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab");
    CHECK(stalled.receive_until_closed());
  });
}

TEST_CASE("a port that is taken and a path that cannot be are errors with words") {
  LoopBeside beside;
  auto listener = listen(beside, echo);
  const auto taken = Listener::on_loopback(beside.loop, listener->port(), echo);
  REQUIRE_FALSE(taken.ok());
  CHECK(taken.error().text().find("Address already in use") != std::string::npos);
  CHECK(taken.error().text().find(std::to_string(listener->port())) != std::string::npos);
  CHECK_FALSE(taken.error().hint.empty());

  CHECK_FALSE(Listener::on_path(beside.loop, "/tmp/" + std::string(200, 'x'), echo).ok());
  CHECK_FALSE(Listener::on_path(beside.loop, "/nonexistent/socket", echo).ok());
}

TEST_CASE("a unix socket serves its own user and goes away with the listener") {
  LoopBeside beside;
  const ShortFolder folder;
  const std::string path = folder.path + "/http";
  PeerCheck check;
  ListenerOptions options;
  options.identify = [&](int descriptor) { return check(descriptor); };
  Peer seen = Peer::unknown;
  auto listener = Listener::on_path(
      beside.loop, path,
      [&](std::unique_ptr<Exchange> exchange) {
        seen = exchange->peer();
        echo(std::move(exchange));
      },
      options);
  REQUIRE_MESSAGE(listener.ok(), listener.error().text());
  struct stat file {};
  REQUIRE(::stat(path.c_str(), &file) == 0);
  CHECK((file.st_mode & 0777) == 0600);
  beside.run([&] {
    TestSocket client = TestSocket::to_path(path);
    client.send(get);
    CHECK(take_answer(client).body == "/:");
  });
  CHECK(seen == Peer::ours);
  (*listener).reset();
  CHECK(::stat(path.c_str(), &file) != 0);
}

TEST_CASE("another user's connection is refused at accept") {
  LoopBeside beside;
  bool handled = false;
  ListenerOptions options;
  options.identify = [](int) { return Peer::other; };
  auto listener = listen(
      beside, [&](std::unique_ptr<Exchange>) { handled = true; }, options);
  beside.run([&] {
    TestSocket client = TestSocket::to_port(listener->port());
    client.send(get);
    CHECK(client.receive_until_closed());
    CHECK(client.received.empty());
  });
  CHECK_FALSE(handled);
}

TEST_CASE("beyond the limit of connections clients wait for room") {
  LoopBeside beside;
  ListenerOptions options;
  options.max_connections = 2;
  auto listener = listen(beside, echo, options);
  beside.run([&] {
    TestSocket first = TestSocket::to_port(listener->port());
    TestSocket second = TestSocket::to_port(listener->port());
    first.send(get);
    second.send(get);
    CHECK(take_answer(first).head.status == 200);
    CHECK(take_answer(second).head.status == 200);
    TestSocket third = TestSocket::to_port(listener->port());
    third.send(get);
    pollfd ready{third.fd(), POLLIN, 0};
    CHECK(::poll(&ready, 1, 200) == 0);
    first.close();
    CHECK(take_answer(third).head.status == 200);
  });
}

TEST_CASE("a listener out of descriptors backs off and goes on when there are some again") {
  LoopBeside beside;
  auto listener = listen(beside, echo);
  beside.run([&] {
    TestSocket client(Descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)));
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    rlimit none = before;
    none.rlim_cur = 0;
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
    client.connect_to(listener->port());
    client.send(get);
    const timeval moment{0, 300'000};
    ::setsockopt(client.fd(), SOL_SOCKET, SO_RCVTIMEO, &moment, sizeof moment);
    rusage used_before{};
    ::getrusage(RUSAGE_SELF, &used_before);
    CHECK_FALSE(client.receive());
    rusage used_after{};
    ::getrusage(RUSAGE_SELF, &used_after);
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
    const auto micros = [](const timeval& t) { return t.tv_sec * 1'000'000 + t.tv_usec; };
    CHECK(micros(used_after.ru_utime) - micros(used_before.ru_utime) + micros(used_after.ru_stime) -
              micros(used_before.ru_stime) <
          200'000);
    const timeval patient{give_up_seconds, 0};
    ::setsockopt(client.fd(), SOL_SOCKET, SO_RCVTIMEO, &patient, sizeof patient);
    CHECK(take_answer(client).head.status == 200);
  });
}

TEST_CASE("a listener that stops ends idle connections and lets a request in progress finish") {
  LoopBeside beside;
  Waiting waiting;
  auto listener = listen(beside, [&](std::unique_ptr<Exchange> exchange) {
    if (exchange->head().target == "/wait") return waiting.take(std::move(exchange));
    exchange->respond(200, "text/plain", "x");
  });
  beside.run([&] {
    TestSocket idle = TestSocket::to_port(listener->port());
    idle.send(get);
    CHECK(take_answer(idle).head.status == 200);
    TestSocket busy = TestSocket::to_port(listener->port());
    busy.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
    REQUIRE(waiting.begun.wait());
    boost::asio::post(beside.io, [&] { listener->stop(); });
    CHECK(idle.receive_until_closed());
    boost::asio::post(beside.io, [&] { waiting.exchange->respond(200, "text/plain", "late"); });
    CHECK(take_answer(busy).body == "late");
    CHECK(busy.receive_until_closed());
  });
  CHECK(listener->connections() == 0);
}

TEST_CASE("a listener that is destroyed tells the requests in progress") {
  LoopBeside beside;
  Waiting waiting;
  auto listener = listen(beside, [&](std::unique_ptr<Exchange> e) { waiting.take(std::move(e)); });
  beside.run([&] {
    TestSocket client = TestSocket::to_port(listener->port());
    client.send(get);
    REQUIRE(waiting.begun.wait());
    boost::asio::post(beside.io, [&] { listener.reset(); });
    CHECK(client.receive_until_closed());
    CHECK(waiting.gone.wait());
  });
  CHECK_FALSE(waiting.exchange->live());
}
