// LocalUpstream against servers whose every byte is decided here: what a caller may rely on, whatever the server does.
#include "proxy/http/client.hpp"

#include "harness.hpp"

using namespace trireme::proxy;
using namespace trireme::proxy::http;
using namespace std::chrono_literals;

namespace {

/// Keeps what a call brings. Used on the loop's thread; read by the script after `over`.
struct Recorder final : CallObserver {
  void on_head(ResponseHead&& got) override {
    order += 'h';
    head = std::move(got);
    headed.set();
  }
  void on_body(std::string_view data) override {
    if (!order.ends_with('b')) order += 'b';
    body.append(data);
    if (consume) call->consumed(data.size());
  }
  void on_end() override {
    order += 'e';
    over.set();
  }
  void on_error(CallError got) override {
    order += 'x';
    error = std::move(got);
    over.set();
  }
  void on_window() override { windows++; }

  std::unique_ptr<Call> call;
  bool consume = true;
  std::string order;  ///< of the callbacks: head, body, end, error (x)
  ResponseHead head;
  std::string body;
  CallError error;
  int windows = 0;
  Event headed;
  Event over;
};

/// A server that is slow to close its connections has closed them before all the same.
LocalUpstreamOptions patient() {
  LocalUpstreamOptions options;
  options.stale = 30s;
  return options;
}

RequestHead get() {
  return {.method = "GET", .target = "/", .headers = {{"Host", "h"}}, .repeatable = true};
}
RequestHead post(Body body) {
  return {.method = "POST", .target = "/", .headers = {{"Host", "h"}}, .body = body, .repeatable = true};
}

const std::string hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// Answers each request on the connection with `answer`.
ScriptedServer::Script always(const std::string& answer) {
  return [answer](TestSocket& socket, int) {
    while (!socket.received.empty() || socket.receive()) {
      take_request(socket);
      socket.send(answer);
    }
  };
}

/// Opens a whole request and waits for its end.
void exchange(LoopBeside& beside, LocalUpstream& upstream, Recorder& recorder, const RequestHead& head = get(),
              const std::string& body = "") {
  beside.on_loop([&] { recorder.call = upstream.open(head, body, true, recorder); });
  REQUIRE(recorder.over.wait());
}

}  // namespace

TEST_CASE("a call brings head, body and end, and its connection serves the next") {
  ScriptedServer server(always(hello));
  LoopBeside beside;
  LocalUpstream upstream(beside.loop, {.port = server.port()});
  beside.run([&] {
    for (int i = 0; i < 50; ++i) {
      Recorder recorder;
      exchange(beside, upstream, recorder, post({Body::Kind::length, 3}), "abc");
      REQUIRE(recorder.order == "hbe");
      REQUIRE(recorder.head.status == 200);
      REQUIRE(recorder.body == "hello");
      beside.on_loop([&] { recorder.call.reset(); });
    }
  });
  CHECK(server.connections() == 1);
  CHECK(upstream.idle() == 1);
}

TEST_CASE("a request is written as it was meant") {
  Asked asked;
  std::string raw;
  ScriptedServer server([&](TestSocket& socket, int) {
    raw = socket.take_until("\r\n\r\n");
    socket.received.insert(0, raw);
    asked = take_request(socket);
    socket.send(hello);
    socket.receive_until_closed();
  });
  LoopBeside beside;
  SUBCASE("a whole body that came in chunks gets a length") {
    LocalUpstream upstream(beside.loop, {.port = server.port()});
    beside.run([&] {
      Recorder recorder;
      exchange(beside, upstream, recorder, post({Body::Kind::chunked, 0}), "abc");
      beside.on_loop([&] { recorder.call.reset(); });
    });
    CHECK(asked.head.body == Body{Body::Kind::length, 3});
    CHECK(asked.body == "abc");
  }
  SUBCASE("a body that is not all here is sent in chunks") {
    LocalUpstream upstream(beside.loop, {.port = server.port()});
    beside.run([&] {
      Recorder recorder;
      beside.on_loop([&] {
        recorder.call = upstream.open(post({Body::Kind::chunked, 0}), "abc", false, recorder);
        CHECK(recorder.call->window() > 0);
        recorder.call->send("defg");
        recorder.call->send_end();
      });
      REQUIRE(recorder.over.wait());
      beside.on_loop([&] { recorder.call.reset(); });
    });
    CHECK(asked.head.body.kind == Body::Kind::chunked);
    CHECK(asked.body == "abcdefg");
  }
  SUBCASE("what the head says of the client's connection is not passed on") {
    LocalUpstream upstream(beside.loop, {.port = server.port()});
    beside.run([&] {
      Recorder recorder;
      RequestHead head = get();
      head.keep_alive = false;
      head.expect_continue = true;
      exchange(beside, upstream, recorder, head);
      beside.on_loop([&] { recorder.call.reset(); });
    });
    CHECK(raw == "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  }
}

TEST_CASE("the ways in which an answer can end") {
  struct Case {
    const char* name;
    std::string answer;
    std::string order;
    std::string body;
    CallError::Kind kind = CallError::Kind::lost;
  };
  const std::vector<Case> cases = {
      {"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "hbe", "abc"},
      {"with the connection", "HTTP/1.1 200 OK\r\n\r\nabc", "hbe", "abc"},
      {"with Connection: close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc", "hbe", "abc"},
      {"without a body", "HTTP/1.1 204 No Content\r\n\r\n", "he", ""},
      {"after informational heads", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + hello,
       "hbe", "hello"},
      {"too early, with a length", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "hbx", "abc"},
      {"too early, in chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc", "hbx", "abc"},
      {"too early, in its head", "HTTP/1.1 200 OK\r\nConte", "x", ""},
      {"before it began", "", "x", ""},
      {"with no HTTP", "SSH-2.0-OpenSSH\r\n", "x", "", CallError::Kind::bad_response},
      {"with a head that is ambiguous", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
       "x", "", CallError::Kind::bad_response},
      {"with a broken chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX", "hbx", "abc",
       CallError::Kind::bad_response},
      {"with another protocol", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "x", "",
       CallError::Kind::bad_response},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    ScriptedServer server([&](TestSocket& socket, int) {
      take_request(socket);
      socket.send(c.answer);
    });
    LoopBeside beside;
    LocalUpstream upstream(beside.loop, {.port = server.port()}, [] {
      LocalUpstreamOptions options;
      options.name = "replica 1 of test";
      return options;
    }());
    beside.run([&] {
      Recorder recorder;
      exchange(beside, upstream, recorder);
      CHECK(recorder.order == c.order);
      CHECK(recorder.body == c.body);
      if (c.order.ends_with('x')) {
        CHECK(recorder.error.kind == c.kind);
        CHECK(recorder.error.what.starts_with("replica 1 of test "));
      }
      beside.on_loop([&] { recorder.call.reset(); });
    });
  }
}

TEST_CASE("a server that nobody listens for was not delivered to") {
  std::uint16_t port = 0;
  {
    ScriptedServer gone(always(hello));
    port = gone.port();
  }
  LoopBeside beside;
  LocalUpstream by_port(beside.loop, {.port = port});
  LocalUpstream by_path(beside.loop, {.path = "/nonexistent/socket"});
  LocalUpstream too_long(beside.loop, {.path = "/tmp/" + std::string(200, 'x')});
  beside.run([&] {
    for (LocalUpstream* upstream : {&by_port, &by_path, &too_long}) {
      Recorder recorder;
      exchange(beside, *upstream, recorder);
      CHECK(recorder.order == "x");
      CHECK(recorder.error.kind == CallError::Kind::not_delivered);
      beside.on_loop([&] { recorder.call.reset(); });
    }
  });
}

TEST_CASE("a pooled connection that the server has closed costs nobody a request") {
  // Each connection answers once and closes without having said so.
  ScriptedServer server([](TestSocket& socket, int) {
    take_request(socket);
    socket.send(hello);
  });
  LoopBeside beside;
  LocalUpstream upstream(beside.loop, {.port = server.port()}, patient());
  beside.run([&] {
    for (int i = 0; i < 30; ++i) {
      Recorder recorder;
      exchange(beside, upstream, recorder, post({Body::Kind::length, 3}), "abc");
      REQUIRE_MESSAGE(recorder.order == "hbe", recorder.error.what);
      beside.on_loop([&] { recorder.call.reset(); });
    }
  });
}

TEST_CASE("a request that a server must not see twice is given only connections that were used a moment ago") {
  ScriptedServer server(always(hello));
  LoopBeside beside;
  LocalUpstreamOptions options;
  options.stale = 100ms;
  LocalUpstream upstream(beside.loop, {.port = server.port()}, options);
  RequestHead once = get();
  once.repeatable = false;
  beside.run([&] {
    const auto ask = [&] {
      Recorder recorder;
      exchange(beside, upstream, recorder, once);
      CHECK(recorder.order == "hbe");
      beside.on_loop([&] { recorder.call.reset(); });
    };
    ask();
    const int before = server.connections();
    std::this_thread::sleep_for(options.stale + 50ms);
    ask();
    CHECK(server.connections() == before + 1);
  });
}

TEST_CASE("a request that asks for a fresh connection gets one, and leaves those that wait alone") {
  ScriptedServer server(always(hello));
  LoopBeside beside;
  LocalUpstream upstream(beside.loop, {.port = server.port()}, patient());
  RequestHead fresh = get();
  fresh.fresh = true;
  beside.run([&] {
    for (const RequestHead& head : {get(), fresh, get()}) {
      Recorder recorder;
      exchange(beside, upstream, recorder, head);
      CHECK(recorder.order == "hbe");
      beside.on_loop([&] { recorder.call.reset(); });
    }
  });
  CHECK(server.connections() == 2);
  CHECK(upstream.idle() == 2);
}

TEST_CASE("a reused connection that ends before an answer is tried once more, if all of the request is here") {
  std::atomic<int> requests = 0;
  // The second request on the first connection is read and never answered.
  ScriptedServer server([&](TestSocket& socket, int) {
    while (!socket.received.empty() || socket.receive()) {
      take_request(socket);
      if (++requests == 2) return;
      socket.send(hello);
    }
  });
  LoopBeside beside;
  LocalUpstream upstream(beside.loop, {.port = server.port()}, patient());
  SUBCASE("whole") {
    beside.run([&] {
      for (int i = 0; i < 2; ++i) {
        Recorder recorder;
        exchange(beside, upstream, recorder, post({Body::Kind::length, 3}), "abc");
        CHECK(recorder.order == "hbe");
        beside.on_loop([&] { recorder.call.reset(); });
      }
    });
    CHECK(requests == 3);
    CHECK(server.connections() == 2);
  }
  SUBCASE("whole, and must not be seen twice") {
    beside.run([&] {
      Recorder first;
      exchange(beside, upstream, first);
      Recorder second;
      RequestHead once = post({Body::Kind::length, 3});
      once.repeatable = false;
      exchange(beside, upstream, second, once, "abc");
      CHECK(second.order == "x");
      CHECK(second.error.kind == CallError::Kind::lost);
      beside.on_loop([&] {
        first.call.reset();
        second.call.reset();
      });
    });
    CHECK(requests == 2);
  }
  SUBCASE("not whole") {
    beside.run([&] {
      Recorder first;
      exchange(beside, upstream, first);
      Recorder second;
      beside.on_loop([&] {
        second.call = upstream.open(post({Body::Kind::length, 6}), "abc", false, second);
        second.call->send("def");
        second.call->send_end();
      });
      REQUIRE(second.over.wait());
      CHECK(second.order == "x");
      CHECK(second.error.kind == CallError::Kind::lost);
      beside.on_loop([&] {
        first.call.reset();
        second.call.reset();
      });
    });
    CHECK(requests == 2);
  }
}

TEST_CASE("a request that may have been seen is lost, even when the second connection is refused") {
  LoopBeside beside;
  ShortFolder folder;
  const std::string path = folder.path + "/server";
  // A server that answers once, stops listening, and dies over the second request.
  const Descriptor listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  REQUIRE(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(::listen(listener.get(), 1) == 0);
  std::thread server([&] {
    TestSocket socket(Descriptor(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)));
    take_request(socket);
    ::unlink(path.c_str());
    socket.send(hello);
    take_request(socket);
  });
  LocalUpstream upstream(beside.loop, {.path = path});
  beside.run([&] {
    Recorder first;
    exchange(beside, upstream, first);
    CHECK(first.order == "hbe");
    Recorder second;
    exchange(beside, upstream, second);
    CHECK(second.order == "x");
    CHECK(second.error.kind == CallError::Kind::lost);
    beside.on_loop([&] {
      first.call.reset();
      second.call.reset();
    });
  });
  server.join();
}

TEST_CASE("a server may answer before it has read the request") {
  ScriptedServer server([](TestSocket& socket, int) {
    socket.take_until("\r\n\r\n");
    socket.send("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig");
    socket.receive_until_closed();
  });
  LoopBeside beside;
  LocalUpstream upstream(beside.loop, {.port = server.port()});
  beside.run([&] {
    Recorder recorder;
    beside.on_loop([&] {
      recorder.call = upstream.open(post({Body::Kind::length, 1u << 30}), "abc", false, recorder);
    });
    REQUIRE(recorder.over.wait());
    CHECK(recorder.order == "hbe");
    CHECK(recorder.head.status == 413);
    beside.on_loop([&] {
      recorder.call->send("more");  // of no effect
      recorder.call.reset();
      CHECK(upstream.idle() == 0);
    });
  });
}

TEST_CASE("a server that hangs is given up at the deadline for its head") {
  Event finish;
  ScriptedServer server([&](TestSocket& socket, int) {
    take_request(socket);
    finish.wait();
  });
  LoopBeside beside;
  LocalUpstreamOptions options;
  options.head_timeout = 50ms;
  LocalUpstream upstream(beside.loop, {.port = server.port()}, options);
  beside.run([&] {
    Recorder recorder;
    exchange(beside, upstream, recorder);
    CHECK(recorder.order == "x");
    CHECK(recorder.error.kind == CallError::Kind::timeout);
    beside.on_loop([&] { recorder.call.reset(); });
  });
  finish.set();
}

TEST_CASE("a server that accepts nobody is given up at the deadline for connecting") {
  LoopBeside beside;
  ShortFolder folder;
  const std::string path = folder.path + "/full";
  const Descriptor listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  REQUIRE(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(::listen(listener.get(), 0) == 0);
  const TestSocket fills_the_backlog = TestSocket::to_path(path);
  LocalUpstreamOptions options;
  options.connect_timeout = 50ms;
  LocalUpstream upstream(beside.loop, {.path = path}, options);
  beside.run([&] {
    Recorder recorder;
    exchange(beside, upstream, recorder);
    CHECK(recorder.order == "x");
    CHECK(recorder.error.kind == CallError::Kind::not_delivered);
    beside.on_loop([&] { recorder.call.reset(); });
  });
  ::unlink(path.c_str());
}

TEST_CASE("destroying a call closes its connection and ends its callbacks") {
  Event closed;
  ScriptedServer server([&](TestSocket& socket, int) {
    take_request(socket);
    socket.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    CHECK(socket.receive_until_closed());
    closed.set();
  });
  LoopBeside beside;
  LocalUpstream upstream(beside.loop, {.port = server.port()});
  beside.run([&] {
    Recorder recorder;
    beside.on_loop([&] { recorder.call = upstream.open(get(), "", true, recorder); });
    REQUIRE(recorder.headed.wait());
    beside.on_loop([&] { recorder.call.reset(); });
    CHECK(closed.wait());
    CHECK_FALSE(recorder.order.ends_with('x'));
    CHECK_FALSE(recorder.order.ends_with('e'));
  });
}

TEST_CASE("an observer that consumes nothing is given a window and no more") {
  constexpr std::size_t total = 8u << 20;
  ScriptedServer server([&](TestSocket& socket, int) {
    take_request(socket);
    socket.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(total) + "\r\n\r\n" + std::string(total, 'x'));
    socket.receive_until_closed();
  });
  LoopBeside beside;
  LocalUpstream upstream(beside.loop, {.port = server.port()});
  beside.run([&] {
    Recorder recorder;
    recorder.consume = false;
    std::size_t seen = 0;
    beside.on_loop([&] { recorder.call = upstream.open(get(), "", true, recorder); });
    while (seen < 256u << 10) beside.on_loop([&] { seen = recorder.body.size(); });
    for (int i = 0; i < 100; ++i) beside.on_loop([&] { seen = recorder.body.size(); });
    CHECK(seen == 256u << 10);
    beside.on_loop([&] {
      recorder.consume = true;
      recorder.call->consumed(seen);
    });
    REQUIRE(recorder.over.wait());
    CHECK(recorder.body.size() == total);
    beside.on_loop([&] { recorder.call.reset(); });
  });
}

TEST_CASE("a server that does not read closes the window, and opens it when it does") {
  Event read_on;
  constexpr std::size_t total = 128u << 20;
  ScriptedServer server([&](TestSocket& socket, int) {
    socket.take_until("\r\n\r\n");
    REQUIRE(read_on.wait());
    std::size_t got = socket.received.size();
    while (got < total) {
      socket.received.clear();
      REQUIRE(socket.receive());
      got += socket.received.size();
    }
    socket.send(hello);
    socket.receive_until_closed();
  });
  struct Sender final : CallObserver {
    std::unique_ptr<Call> call;
    std::size_t sent = 0, most = 0;
    Event over;
    std::string order;
    void more() {
      const std::string block(total / 512, 'x');
      while (sent < total && call->window() > 0) {
        most = std::max(most, call->window());
        const auto part = std::string_view(block).substr(0, std::min(total - sent, call->window()));
        call->send(part);
        sent += part.size();
      }
      if (sent == total) call->send_end();
    }
    void on_head(ResponseHead&&) override { order += 'h'; }
    void on_body(std::string_view) override {}
    void on_end() override {
      order += 'e';
      over.set();
    }
    void on_error(CallError) override {
      order += 'x';
      over.set();
    }
    void on_window() override { more(); }
  };
  LoopBeside beside;
  LocalUpstream upstream(beside.loop, {.port = server.port()});
  Sender sender;
  beside.run([&] {
    beside.on_loop([&] {
      sender.call = upstream.open(post({Body::Kind::length, total}), "", false, sender);
      sender.more();
    });
    std::size_t before = 1, after = 0;
    while (before != after) {
      before = after;
      for (int i = 0; i < 50; ++i) beside.on_loop([&] { after = sender.sent; });
    }
    CHECK(after < total);
    read_on.set();
    REQUIRE(sender.over.wait());
    CHECK(sender.most <= 256u << 10);
    CHECK(sender.order == "he");
    beside.on_loop([&] { sender.call.reset(); });
  });
}

TEST_CASE("idle connections are bounded in number and in time") {
  ScriptedServer server(always(hello));
  LoopBeside beside;
  LocalUpstreamOptions options;
  options.max_idle = 2;
  options.idle_timeout = 300ms;
  LocalUpstream upstream(beside.loop, {.port = server.port()}, options);
  beside.run([&] {
    std::array<Recorder, 5> recorders;
    beside.on_loop([&] {
      for (Recorder& recorder : recorders) recorder.call = upstream.open(get(), "", true, recorder);
    });
    for (Recorder& recorder : recorders) REQUIRE(recorder.over.wait());
    std::size_t idle = 99;
    beside.on_loop([&] {
      for (Recorder& recorder : recorders) recorder.call.reset();
      idle = upstream.idle();
    });
    CHECK(idle <= 2);
    while (idle > 0) beside.on_loop([&] { idle = upstream.idle(); });
  });
  CHECK(server.connections() == 5);
}
