// The native protocol through the proxy, between ends of the first version and the others.
#include <doctest/doctest.h>

#include <future>
#include <string>

#include "stage.hpp"

using namespace trireme;
using namespace trireme::proxy;
using namespace trireme::proxy::test;

TEST_CASE("native: pipelined requests reach a replica on this rank or another and are answered in its order") {
  for (const Rank where : {0, 1}) {
    CAPTURE(where);
    Stage stage(where);
    End client(stage.dial());
    client.write(Stage::hello(request(1, "/services/llama/a?b", "first") + request(2, "/services/llama/", "second")));
    client.expect(Type::welcome);
    End replica(stage.accept());
    Stage::greet(replica);
    std::map<std::string, std::uint64_t> ids;
    for (int i = 0; i < 2; ++i) {
      const Got got = replica.expect(Type::request);
      CHECK(got.end);
      const auto read = native::read_request(got.payload);
      REQUIRE(read);
      if (read->body == "first") CHECK(read->head.target == "/a?b");
      ids[std::string(read->body)] = got.id;
    }
    REQUIRE(ids.size() == 2);
    replica.write(answer(ids["second"], "two"));
    const Got second = client.expect(Type::response);
    CHECK(second.id == 2);
    CHECK(second.end);
    CHECK(native::read_response(second.payload)->body == "two");
    replica.write(answer(ids["first"], "one"));
    const Got first = client.expect(Type::response);
    CHECK(first.id == 1);
    CHECK(native::read_response(first.payload)->body == "one");
  }
}

TEST_CASE("native: an HTTP client is answered by a native replica") {
  Stage stage(1);
  auto asked = std::async(std::launch::async, [url = stage.cluster.url(0, "/services/llama/x")] {
    return ask(url, {.method = "POST", .body = "question"});
  });
  End replica(stage.accept());
  Stage::greet(replica);
  const Got got = replica.expect(Type::request);
  const auto read = native::read_request(got.payload);
  REQUIRE(read);
  CHECK(read->head.target == "/x");
  CHECK(read->body == "question");
  replica.write(answer(got.id, "reply"));
  const Answer said = asked.get();
  CHECK(said.status == 200);
  CHECK(said.body == "reply");
}

TEST_CASE("native: what is wrong has the statuses of HTTP, and ends nothing but its request") {
  Stage stage(0);
  End client(stage.dial());
  client.write(Stage::hello(
      request(1, "/services/nobody/", "") + request(2, "/services/llama/", "", {{"X-Trireme-Priority", "urgent"}}) +
      request(3, "/runtime/tasks", "") + request(4, "/services/llama/", "", {{"X-Trireme-Deadline", "0.05"}})));
  client.expect(Type::welcome);
  for (int i = 0; i < 4; ++i) {
    const Got got = client.expect(Type::response);
    CHECK(native::read_response(got.payload)->head.status ==
          std::map<std::uint64_t, int>{{1, 404}, {2, 400}, {3, 403}, {4, 504}}[got.id]);
  }
}

TEST_CASE("native: a cancelled request, and one whose client goes away, is cancelled at the replica") {
  for (const bool leaves : {false, true}) {
    CAPTURE(leaves);
    Stage stage(1);
    End client(stage.dial());
    client.write(Stage::hello(request(1, "/services/llama/", "x")));
    client.expect(Type::welcome);
    End replica(stage.accept());
    Stage::greet(replica);
    const Got got = replica.expect(Type::request);
    if (leaves) {
      client.close();
    } else {
      std::string out;
      native::append(out, {.type = Type::cancel, .end = true, .id = 1, .payload = {}});
      client.write(out);
    }
    CHECK(replica.expect(Type::cancel).id == got.id);
  }
}

TEST_CASE("native: a client that does not take its answer loses it, and the replica's slot is free again") {
  http::ServerLimits limits;
  limits.stall_timeout = std::chrono::milliseconds(50);
  Stage stage(0, http::Peer::ours, 1, limits);
  End client(stage.dial());
  client.write(Stage::hello(request(1, "/services/llama/", "")));
  client.expect(Type::welcome);
  End replica(stage.accept());
  Stage::greet(replica);
  const std::uint64_t id = replica.expect(Type::request).id;
  http::ResponseHead head;
  head.body = {http::Body::Kind::length, 1u << 20};
  const std::string half_window(defaults::stream_window / 2, 'x');
  std::string out;
  native::append_response(out, id, head, half_window, false);
  native::append_data(out, id, half_window, false);
  replica.write(out);
  replica.expect(Type::window);
  out.clear();
  native::append_data(out, id, "more than the client allows", false);
  replica.write(out);
  std::optional<Got> got = client.next();
  while (got && got->type != Type::failure) got = client.next();
  REQUIRE(got);
  CHECK(got->id == 1);
  CHECK(native::read_failure(got->payload)->status == 408);
  client.write(request(2, "/services/llama/", "next"));
  std::optional<Got> at_replica = replica.next();
  bool cancelled = false;
  while (at_replica && at_replica->type != Type::request) {
    cancelled |= at_replica->type == Type::cancel && at_replica->id == id;
    at_replica = replica.next();
  }
  CHECK(cancelled);
  CHECK(at_replica);
}

TEST_CASE("native: a replica that dies fails what it had, with 502") {
  Stage stage(0);
  End client(stage.dial());
  client.write(Stage::hello(request(1, "/services/llama/", "x")));
  client.expect(Type::welcome);
  {
    End replica(stage.accept());
    Stage::greet(replica);
    replica.expect(Type::request);
  }
  const Got got = client.expect(Type::response);
  CHECK(native::read_response(got.payload)->head.status == 502);
}

TEST_CASE("native: a replica that breaks the rules fails its requests, not the proxy") {
  Stage stage(0);
  End client(stage.dial());
  client.write(Stage::hello(request(1, "/services/llama/", "x")));
  client.expect(Type::welcome);
  // Nothing was delivered, so it is tried again.
  for (int proxy = stage.accept(); proxy >= 0; proxy = stage.accept_before(client)) {
    End(proxy).write(std::string(64, '\xff'));
  }
  const Got got = client.expect(Type::response);
  CHECK(native::read_response(got.payload)->head.status == 502);
}

TEST_CASE("native: whoever breaks the rules is told and cut off") {
  std::string twice = request(5, "/services/nobody/", "") + request(5, "/services/nobody/", "");
  std::string early;
  native::append_window(early, 9, 1);
  std::string welcome;
  native::append_welcome(welcome, {});
  for (const std::string& bad : {twice, early, welcome, std::string(16, '\xff')}) {
    Stage stage(0);
    End client(stage.dial());
    client.write(Stage::hello(bad));
    client.expect(Type::welcome);
    std::optional<Got> got = client.next();
    while (got && got->type == Type::response) got = client.next();
    REQUIRE(got);
    CHECK(got->type == Type::failure);
    CHECK(got->id == 0);
    CHECK_FALSE(client.next());
  }
}

TEST_CASE("native: who cannot be told needs a token, and another user is refused") {
  Stage stage(0, http::Peer::unknown);
  {
    End client(stage.dial());
    client.write(Stage::hello({}, "wrong"));
    const Got got = client.expect(Type::failure);
    CHECK(native::read_failure(got.payload)->status == 401);
    CHECK_FALSE(client.next());
  }
  End client(stage.dial());
  client.write(Stage::hello({}, stage.cluster.run.inference_token));
  client.expect(Type::welcome);
}

TEST_CASE("native: a large body passes in both directions, no further than its windows allow") {
  Stage stage(1);
  constexpr std::size_t size = 3u << 20;
  End client(stage.dial());
  http::RequestHead head;
  head.method = "POST";
  head.target = "/services/llama/";
  head.body = {http::Body::Kind::length, size};
  std::string out;
  native::append_request(out, 1, head, {}, false);
  client.write(Stage::hello(out));
  client.expect(Type::welcome);
  End replica(stage.accept());
  Stage::greet(replica);
  std::uint64_t id = 0;
  std::size_t credit = 256 << 10;
  std::size_t sent = 0;
  std::size_t arrived = 0;
  std::size_t granted = 256 << 10;
  auto reader = std::async(std::launch::async, [&] {
    for (bool end = false; !end;) {
      const auto got = replica.next();
      REQUIRE(got);
      id = got->id;
      end = got->end;
      if (got->type != Type::data) continue;
      arrived += got->payload.size();
      CHECK(arrived <= granted);
      std::string window;
      native::append_window(window, id, got->payload.size());
      granted += got->payload.size();
      replica.write(window);
    }
  });
  while (sent < size) {
    const std::size_t part = std::min({credit, size - sent, std::size_t{64} << 10});
    if (part == 0) {
      credit += *native::read_window(client.expect(Type::window).payload);
      continue;
    }
    credit -= part;
    sent += part;
    std::string data;
    native::append_data(data, 1, std::string(part, 'x'), sent == size);
    client.write(data);
  }
  reader.get();
  CHECK(arrived == size);
  replica.write(answer(id, "thanks"));
  for (;;) {
    const auto got = client.next();
    REQUIRE(got);
    if (got->type == Type::window) continue;
    CHECK(got->type == Type::response);
    break;
  }
}

TEST_CASE(
    "native: a request waits for a slot, is given the next one, and what waits at its deadline is answered with 504") {
  Stage stage(0, http::Peer::ours, 1);
  End client(stage.dial());
  client.write(Stage::hello(request(1, "/services/llama/", "first") + request(2, "/services/llama/", "second") +
                            request(3, "/services/llama/", "third", {{"X-Trireme-Deadline", "0.05"}})));
  client.expect(Type::welcome);
  End replica(stage.accept());
  Stage::greet(replica);
  const Got first = replica.expect(Type::request);
  CHECK(native::read_request(first.payload)->body == "first");
  const Got late = client.expect(Type::response);
  CHECK(late.id == 3);
  CHECK(native::read_response(late.payload)->head.status == 504);
  replica.write(answer(first.id, "one"));
  CHECK(client.expect(Type::response).id == 1);
  const Got second = replica.expect(Type::request);
  CHECK(native::read_request(second.payload)->body == "second");
  replica.write(answer(second.id, "two"));
  CHECK(client.expect(Type::response).id == 2);
}

TEST_CASE("native: a request that its replica does not answer before the deadline is cancelled there") {
  Stage stage(0);
  End client(stage.dial());
  client.write(Stage::hello(request(1, "/services/llama/", "x", {{"X-Trireme-Deadline", "0.05"}})));
  client.expect(Type::welcome);
  End replica(stage.accept());
  Stage::greet(replica);
  const Got got = replica.expect(Type::request);
  const Got said = client.expect(Type::response);
  CHECK(native::read_response(said.payload)->head.status == 504);
  CHECK(replica.expect(Type::cancel).id == got.id);
}

TEST_CASE(
    "native: a replica is not shown the client's credentials, and the client is told who answered, on either way") {
  for (const Rank where : {0, 1}) {
    CAPTURE(where);
    Stage stage(where);
    End client(stage.dial());
    client.write(Stage::hello(request(1, "/services/llama?x=1", "body",
                                      {{"Authorization", "Bearer secret"},
                                       {"Cookie", "a=b"},
                                       {"X-Trireme-Priority", "high"},
                                       {"Proxy-Secret", "x"},
                                       {"X-Request-Id", "mine"},
                                       {"X-Kept", "yes"}})));
    client.expect(Type::welcome);
    End replica(stage.accept());
    Stage::greet(replica);
    const Got got = replica.expect(Type::request);
    const auto seen = native::read_request(got.payload);
    REQUIRE(seen);
    CHECK(seen->head.target == "/?x=1");
    CHECK(seen->head.headers == http::Headers{{"X-Kept", "yes"}, {"X-Request-Id", "mine"}});
    http::ResponseHead head;
    head.status = 418;
    head.headers = {{"X-Trireme-Replica", "somebody else"}, {"X-Answer", "yes"}, {"X-Request-Id", "other"}};
    head.body = {http::Body::Kind::length, 3};
    std::string out;
    native::append_response(out, got.id, head, "tea", true);
    replica.write(out);
    const Got answered = client.expect(Type::response);
    const auto told = native::read_response(answered.payload);
    REQUIRE(told);
    CHECK(told->head.status == 418);
    CHECK(told->body == "tea");
    CHECK(http::find(told->head.headers, "X-Answer") == "yes");
    CHECK(std::string(http::find(told->head.headers, "X-Trireme-Replica").value_or("")).starts_with("llama/0"));
    CHECK(http::find(told->head.headers, "X-Request-Id") == "mine");
    CHECK(told->head.headers.size() == 3);
  }
}

TEST_CASE("native: requests in frames are counted as all others are") {
  Stage stage(0);
  End client(stage.dial());
  client.write(Stage::hello(request(1, "/services/llama/", "four") + request(2, "/services/llama/", "x")));
  client.expect(Type::welcome);
  End replica(stage.accept());
  Stage::greet(replica);
  const std::uint64_t first = replica.expect(Type::request).id;
  const std::uint64_t second = replica.expect(Type::request).id;
  const std::string before = ask(stage.cluster.url(0, "/metrics")).body;
  const std::size_t running = before.find("\ntrireme_num_requests_running{");
  REQUIRE(running != std::string::npos);
  CHECK(before.substr(running + 1, before.find('\n', running + 1) - running - 1).ends_with("} 2"));
  replica.write(answer(first, "answer"));
  client.expect(Type::response);
  std::string out;
  native::append(out, {.type = Type::cancel, .end = true, .id = 2, .payload = {}});
  client.write(out);
  CHECK(replica.expect(Type::cancel).id == second);
  const std::string after = ask(stage.cluster.url(0, "/metrics")).body;
  CHECK(after.find("code=\"200\"} 1") != std::string::npos);
  CHECK(after.find("code=\"499\"} 1") != std::string::npos);
}

TEST_CASE("native: an answer in pieces reaches the client whole, over windows that both sides keep") {
  Stage stage(0);
  End client(stage.dial());
  client.write(Stage::hello(request(1, "/services/llama/", "")));
  client.expect(Type::welcome);
  End replica(stage.accept());
  Stage::greet(replica);
  const std::uint64_t id = replica.expect(Type::request).id;
  constexpr std::size_t size = 3u << 20;
  auto sender = std::async(std::launch::async, [&] {
    http::ResponseHead head;
    head.body = {http::Body::Kind::length, size};
    std::string out;
    native::append_response(out, id, head, {}, false);
    replica.write(out);
    std::size_t credit = defaults::stream_window;
    for (std::size_t sent = 0; sent < size;) {
      const std::size_t part = std::min({credit, size - sent, std::size_t{50'000}});
      if (part == 0) {
        credit += *native::read_window(replica.expect(Type::window).payload);
        continue;
      }
      credit -= part;
      std::string data;
      native::append_data(data, id, std::string(part, static_cast<char>('a' + sent % 26)), sent + part == size);
      sent += part;
      replica.write(data);
    }
  });
  CHECK_FALSE(client.expect(Type::response).end);
  std::size_t got = 0;
  std::size_t allowed = defaults::stream_window;
  for (bool end = false; !end;) {
    const Got piece = client.expect(Type::data);
    got += piece.payload.size();
    end = piece.end;
    CHECK(got <= allowed);
    if (end || piece.payload.empty()) continue;
    std::string window;
    native::append_window(window, 1, piece.payload.size());
    allowed += piece.payload.size();
    client.write(window);
  }
  sender.get();
  CHECK(got == size);
}

TEST_CASE(
    "native: a replica has no more requests in progress than it says, and one that waits is cancelled without a word") {
  for (const bool whole : {true, false}) {  // what comes in pieces goes another way through the proxy
    CAPTURE(whole);
    const auto ask = [&](std::uint64_t id, const std::string& body) {
      if (whole) return request(id, "/services/llama/", body);
      http::RequestHead head;
      head.method = "POST";
      head.target = "/services/llama/";
      head.body = {http::Body::Kind::length, body.size()};
      std::string out;
      native::append_request(out, id, head, {}, false);
      native::append_data(out, id, body, true);
      return out;
    };
    Stage stage(0);
    End client(stage.dial());
    client.write(Stage::hello(ask(1, "one") + ask(2, "two") + ask(3, "three")));
    client.expect(Type::welcome);
    End replica(stage.accept());
    Stage::greet(replica, 1);
    const auto next = [&] {
      Got got = replica.expect(Type::request);
      std::string body(native::read_request(got.payload)->body);
      while (!got.end) {
        got = replica.expect(Type::data);
        body += got.payload;
      }
      return std::pair(got.id, body);
    };
    const auto first = next();
    CHECK(first.second == "one");
    client.write(cancel(2) + request(4, "/services/nobody/", ""));
    client.expect(Type::response);  // so the proxy has seen what was before it
    CHECK(replica.silent());
    replica.write(answer(first.first, ""));
    CHECK(client.expect(Type::response).id == 1);
    const auto second = next();
    CHECK(second.second == "three");
    replica.write(answer(second.first, ""));
    CHECK(client.expect(Type::response).id == 3);
  }
}

TEST_CASE("native: of requests that were cancelled a replica that reads nothing is kept no more than so much") {
  Stage stage(0);
  End client(stage.dial());
  client.write(Stage::hello());
  client.expect(Type::welcome);
  const std::string body(native::max_payload / 2, 'x');
  client.write(request(1, "/services/llama/", "first"));
  End replica(stage.accept());
  Stage::greet(replica);
  replica.expect(Type::request);
  constexpr std::uint64_t many = 100;
  for (std::uint64_t id = 2; id < many; ++id) client.write(request(id, "/services/llama/", body) + cancel(id));
  client.write(request(many, "/services/llama/", "last"));
  std::size_t got = 0;
  for (bool last = false; !last;) {
    const auto frame = replica.next();
    REQUIRE(frame);
    got += frame->payload.size();
    last = frame->type == Type::request && native::read_request(frame->payload)->body == "last";
  }
  CHECK(got < 24 * body.size());
}

TEST_CASE("native: a replica that allows more of a body than it reads does not make the proxy keep it") {
  constexpr std::size_t size = 16u << 20;
  Stage stage(0);
  End client(stage.dial());
  http::RequestHead head;
  head.method = "POST";
  head.target = "/services/llama/";
  head.body = {http::Body::Kind::length, size};
  std::string out;
  native::append_request(out, 1, head, {}, false);
  client.write(Stage::hello(out));
  client.expect(Type::welcome);
  End replica(stage.accept());
  Stage::greet(replica);
  const std::uint64_t id = replica.expect(Type::request).id;
  std::string window;
  native::append_window(window, id, std::uint64_t{1} << 30);
  replica.write(window);
  std::size_t sent = 0;
  std::size_t credit = defaults::stream_window;
  const auto send = [&] {
    for (; credit > 0 && sent < size; credit -= std::min(credit, std::size_t{64} << 10)) {
      const std::size_t part = std::min({credit, size - sent, std::size_t{64} << 10});
      sent += part;
      std::string data;
      native::append_data(data, 1, std::string(part, 'x'), sent == size);
      client.write(data);
    }
  };
  for (send(); sent < size && !client.quiet(); send()) {
    credit += *native::read_window(client.expect(Type::window).payload);
  }
  CHECK(sent < 4u << 20);
  auto reader = std::async(std::launch::async, [&] {
    std::size_t got = 0;
    for (bool end = false; !end;) {
      const auto frame = replica.next();
      REQUIRE(frame);
      got += frame->payload.size();
      end = frame->end;
    }
    return got;
  });
  for (; sent < size; send()) credit += *native::read_window(client.expect(Type::window).payload);
  CHECK(reader.get() == size);
}

TEST_CASE("native: a replica that says another window is told apart, in words") {
  Stage stage(0);
  End client(stage.dial());
  client.write(Stage::hello(request(1, "/services/llama/", "x")));
  client.expect(Type::welcome);
  for (int proxy = stage.accept(); proxy >= 0; proxy = stage.accept_before(client)) {
    End replica(proxy);
    replica.expect_preface();
    replica.expect(Type::hello);
    replica.write(Stage::welcome_of(native::first_version, 1024, 64 << 10));
    CHECK_FALSE(replica.next());
  }
  const Got got = client.expect(Type::response);
  const auto said = native::read_response(got.payload);
  CHECK(said->head.status == 502);
  CHECK(said->body.find("says a window of 65536 bytes") != std::string::npos);
}

TEST_CASE("native: why a replica ends its connection is told to whoever asked") {
  Stage stage(0);
  End client(stage.dial());
  client.write(Stage::hello(request(1, "/services/llama/", "x")));
  client.expect(Type::welcome);
  End replica(stage.accept());
  Stage::greet(replica);
  replica.expect(Type::request);
  std::string out;
  native::append_failure(out, 0, 500, "the model is gone");
  replica.write(out);
  replica.close();
  const Got got = client.expect(Type::response);
  CHECK(native::read_response(got.payload)->body.find("ended the connection: the model is gone") != std::string::npos);
}

TEST_CASE("native: an answer that is not as long as it said breaks off, and no other") {
  for (const Rank where : {0, 1}) {
    for (const std::string_view rest : {"short", "much too long to be the end of it"}) {
      CAPTURE(where);
      CAPTURE(rest);
      Stage stage(where);
      End client(stage.dial());
      client.write(Stage::hello(request(1, "/services/llama/", "") + request(2, "/services/llama/", "")));
      client.expect(Type::welcome);
      End replica(stage.accept());
      Stage::greet(replica);
      const std::uint64_t bad = replica.expect(Type::request).id;
      const std::uint64_t good = replica.expect(Type::request).id;
      http::ResponseHead head;
      head.body = {http::Body::Kind::length, 16};
      std::string out;
      native::append_response(out, bad, head, "", false);
      native::append_data(out, bad, rest, true);
      replica.write(out + answer(good, "fine"));
      std::map<std::uint64_t, std::string> bodies;
      std::map<std::uint64_t, bool> broken;
      for (int ends = 0; ends < 2;) {
        const auto got = client.next();
        REQUIRE(got);
        if (got->type == Type::response) bodies[got->id] += native::read_response(got->payload)->body;
        if (got->type == Type::data) bodies[got->id] += got->payload;
        broken[got->id] |= got->type == Type::failure;
        ends += got->end ? 1 : 0;
      }
      CHECK(broken[1] == (rest.size() < 16 || where == 0));
      CHECK(bodies[1].size() <= 16);
      CHECK(bodies[2] == "fine");
    }
  }
}

TEST_CASE("native: an answer of one frame that is not as long as it said is none, and harms no other") {
  for (const Rank where : {0, 1}) {
    for (const std::string_view body : {"short", "much too long to be the end of it", ""}) {
      CAPTURE(where);
      CAPTURE(body);
      Stage stage(where);
      End client(stage.dial());
      client.write(Stage::hello(request(1, "/services/llama/", "") + request(2, "/services/llama/", "")));
      client.expect(Type::welcome);
      End replica(stage.accept());
      Stage::greet(replica);
      const std::uint64_t bad = replica.expect(Type::request).id;
      const std::uint64_t good = replica.expect(Type::request).id;
      http::ResponseHead head;
      head.body = {http::Body::Kind::length, 16};
      std::string out;
      native::append_response(out, bad, head, body, true);
      replica.write(out + answer(good, "fine"));
      std::map<std::uint64_t, int> status;
      while (status.size() < 2) {
        const Got got = client.expect(Type::response);
        status[got.id] = native::read_response(got.payload)->head.status;
      }
      CHECK(status == std::map<std::uint64_t, int>{{1, 502}, {2, 200}});
    }
  }
}

TEST_CASE("native: an answer to HEAD says how long it would be, and has no body") {
  for (const Rank where : {0, 1}) {
    CAPTURE(where);
    Stage stage(where);
    End client(stage.dial());
    http::RequestHead asked;
    asked.method = "HEAD";
    asked.target = "/services/llama/";
    asked.body = {http::Body::Kind::length, 0};
    std::string out;
    native::append_request(out, 1, asked, "", true);
    client.write(Stage::hello(out));
    client.expect(Type::welcome);
    End replica(stage.accept());
    Stage::greet(replica);
    http::ResponseHead head;
    head.body = {http::Body::Kind::length, 1234};
    out.clear();
    native::append_response(out, replica.expect(Type::request).id, head, "", true);
    replica.write(out);
    const Got got = client.expect(Type::response);
    const auto said = native::read_response(got.payload);
    CHECK(said->head.body == http::Body{http::Body::Kind::length, 1234});
    CHECK(said->body.empty());
    CHECK(got.end);
  }
}

TEST_CASE("native: CONNECT is not passed on") {
  Stage stage(0);
  End client(stage.dial());
  http::RequestHead head;
  head.method = "CONNECT";
  head.target = "/services/llama/";
  head.body = {http::Body::Kind::length, 0};
  std::string out;
  native::append_request(out, 1, head, "", true);
  client.write(Stage::hello(out));
  client.expect(Type::welcome);
  CHECK(native::read_response(client.expect(Type::response).payload)->head.status == 501);
}

TEST_CASE("native: a client that takes nothing of what waits for it loses its connection") {
  http::ServerLimits limits;
  limits.stall_timeout = std::chrono::milliseconds(50);
  Stage stage(0, http::Peer::ours, 16, limits);
  End client(stage.dial());
  constexpr int many = 8;
  std::string out;
  for (std::uint64_t id = 1; id <= many; ++id) out += request(id, "/services/llama/", "");
  client.write(Stage::hello(out));
  client.expect(Type::welcome);
  End replica(stage.accept());
  Stage::greet(replica);
  const std::string body(native::max_payload / 2, 'x');
  for (int i = 0; i < many; ++i) replica.write(answer(replica.expect(Type::request).id, body));
  CHECK(client.is_cut_off());
}

TEST_CASE("native: as many requests as may be are in progress again as soon as one of them is cancelled") {
  Stage stage(1, http::Peer::ours, 2048);
  End client(stage.dial());
  client.write(Stage::hello());
  client.expect(Type::welcome);
  std::string out;
  for (std::uint64_t id = 1; id <= defaults::native_requests; ++id) out += request(id, "/services/llama/", "");
  client.write(out + cancel(7) + request(defaults::native_requests + 1, "/services/nobody/", ""));
  const Got got = client.expect(Type::response);
  CHECK(got.id == defaults::native_requests + 1);
}
