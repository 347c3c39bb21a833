// The dashboard at rank 0's proxy: who may see it, what it sends, and that pages hold nobody up.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <thread>

#include "client.hpp"
#include "cluster.hpp"
#include "core/defaults.hpp"
#include "proxy/dashboard/door.hpp"
#include "proxy/dashboard/files.hpp"

using namespace trireme;
using namespace trireme::proxy;
using namespace trireme::proxy::test;
using dashboard::Verdict;

namespace {

const std::string cookie = "Cookie: other=1; trireme_test=session-secret; more=2";

/// A proxy with a dashboard: the first key is key-0, and each that is used makes the next.
struct Board {
  explicit Board(Duration stall = defaults::dashboard_stall) : cluster(1, options(stall)) {}
  ProxyOptions options(Duration stall) {
    ProxyOptions made;
    made.dashboard = DashboardOptions{.keys = {.once = "key-0", .session = "session-secret"},
                                      .next_key = [this] { return "key-" + std::to_string(++keys); },
                                      .on_viewers =
                                          [this](std::size_t now, bool fresh) {
                                            if (fresh) ++arrivals;
                                            viewers = now;
                                          },
                                      .stall = stall};
    return made;
  }
  Answer get(const std::string& path, std::vector<std::string> headers = {}, const std::string& method = "GET") {
    return ask(
        cluster.url(0, path),
        {.method = method, .headers = std::move(headers), .body = {}, .socket = {}, .upload = {}, .download = {}});
  }
  void show(dashboard::News news) {
    cluster.on_loop([&] { cluster.proxy(0).show(news); });
  }
  /// Opens a stream of events and reads its head.
  std::unique_ptr<Socket> open() {
    auto socket = std::make_unique<Socket>(cluster.port(0));
    socket->write("GET /dashboard/events HTTP/1.1\r\nHost: localhost:1\r\n" + cookie + "\r\n\r\n");
    head = socket->read_until("retry: 2000\n\n");
    return socket;
  }
  void await_viewers(std::size_t wanted) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (viewers != wanted && std::chrono::steady_clock::now() < end) cluster.on_loop([] {});
    CHECK(viewers == wanted);
  }

  std::atomic<int> keys{0};
  std::atomic<std::size_t> viewers{0};
  std::atomic<int> arrivals{0};
  std::string head;
  Cluster cluster;
};

http::RequestHead request(const std::string& target, http::Headers headers) {
  http::RequestHead head;
  head.method = "GET";
  head.target = target;
  head.headers = std::move(headers);
  return head;
}

}  // namespace

TEST_CASE("dashboard: who may see it") {
  RunInfo run;
  run.run_id = "r/1";
  run.control_token = "control";
  const dashboard::Keys keys{.once = "once", .session = "secret"};
  const auto judge = [&](const std::string& target, http::Headers headers, http::Peer peer = http::Peer::ours) {
    return dashboard::judge(request(target, std::move(headers)), peer, keys, run);
  };
  const http::Header host{"Host", "127.0.0.1:8080"};
  const http::Header session{"Cookie", "a=b; trireme_r_1=secret"};
  CHECK(judge("/dashboard", {host, session}) == Verdict::open);
  CHECK(judge("/dashboard/events", {host, session}) == Verdict::open);
  CHECK(judge("/dashboard/events", {host, {"Authorization", "Bearer control"}}) == Verdict::open);
  CHECK(judge("/dashboard?key=once", {host}) == Verdict::redeem);
  CHECK(judge("/dashboard?x=1&key=once", {host}) == Verdict::redeem);
  CHECK(judge("/dashboard?key=twice", {host}) == Verdict::wrong_key);
  CHECK(judge("/dashboard", {host}) == Verdict::no_key);
  CHECK(judge("/dashboard", {host, {"Cookie", "trireme_r_2=secret; xtrireme_r_1=secret"}}) == Verdict::no_key);
  CHECK(judge("/dashboard", {host, {"Cookie", "trireme_r_1=secre"}}) == Verdict::no_key);
  // A key opens the page alone, so that it is used up in the sight of the one who has it.
  CHECK(judge("/dashboard/events?key=once", {host}) == Verdict::files);
  // Another user, a name that was made to lead here, pages of others.
  CHECK(judge("/dashboard", {host, session}, http::Peer::other) == Verdict::refused);
  CHECK(judge("/dashboard", {host, session}, http::Peer::unknown) == Verdict::open);
  CHECK(judge("/dashboard", {{"Host", "evil.example"}, session}) == Verdict::refused);
  CHECK(judge("/dashboard", {{"Host", "127.0.0.1.evil.example"}, session}) == Verdict::refused);
  CHECK(judge("/dashboard", {session}) == Verdict::refused);
  CHECK(judge("/dashboard/events", {host, session, {"Origin", "http://evil.example"}}) == Verdict::refused);
  CHECK(judge("/dashboard/events", {host, session, {"Origin", "null"}}) == Verdict::refused);
  CHECK(judge("/dashboard/main.js", {host, {"Sec-Fetch-Site", "cross-site"}}) == Verdict::refused);
  CHECK(judge("/dashboard/events", {host, session, {"Sec-Fetch-Site", "same-site"}}) == Verdict::refused);
  CHECK(judge("/dashboard/events", {host, session, {"Sec-Fetch-Site", "same-origin"}}) == Verdict::open);
  CHECK(judge("/dashboard?key=once", {host, {"Sec-Fetch-Site", "cross-site"}}) == Verdict::redeem);
  // Where there is no key, none is good.
  CHECK(dashboard::judge(request("/dashboard?key=", {host}), http::Peer::ours, {}, run) == Verdict::no_key);
}

TEST_CASE("dashboard: a key is good once, for a cookie that scripts and other sites cannot use") {
  Board board;
  Answer answer = board.get("/dashboard?key=key-0", {}, "HEAD");
  CHECK(answer.status == 303);
  CHECK(board.keys == 0);
  answer = board.get("/dashboard?key=key-0");
  CHECK(answer.status == 303);
  CHECK(answer.headers["location"] == "/dashboard");
  CHECK(answer.headers["set-cookie"] == "trireme_test=session-secret; Path=/dashboard; HttpOnly; SameSite=Strict");
  answer = board.get("/dashboard?key=key-0");
  CHECK(answer.status == 403);
  CHECK(answer.body.find("dashboard.url") != std::string::npos);
  CHECK(answer.headers["content-type"].find("text/html") == 0);
  CHECK(answer.headers.count("set-cookie") == 0);
  CHECK(board.get("/dashboard?key=key-1").status == 303);
  CHECK(board.get("/dashboard", {cookie}).status == 200);
  CHECK(board.get("/dashboard").status == 403);
  CHECK(board.get("/dashboard/events").status == 403);
}

TEST_CASE("dashboard: every part of the page is there, nothing may be loaded from elsewhere, and nothing is changed") {
  Board board;
  for (const dashboard::File& file : dashboard::files()) {
    Answer answer = board.get("/dashboard" + std::string(file.path), {cookie});
    CHECK(answer.status == 200);
    CHECK(answer.body == file.content);
    CHECK(answer.headers["content-security-policy"].find("default-src 'none'; script-src 'self'") == 0);
    CHECK(answer.headers["x-content-type-options"] == "nosniff");
    CHECK(answer.headers["referrer-policy"] == "no-referrer");
    CHECK(file.content.find("innerHTML =") == std::string::npos);
  }
  CHECK(board.get("/dashboard/none", {cookie}).status == 404);
  for (const char* method : {"POST", "DELETE", "PUT"}) CHECK(board.get("/dashboard", {cookie}, method).status == 405);
}

TEST_CASE("dashboard: without the option there is none, and the answer says how to get it") {
  Cluster cluster(1);
  const Answer answer = ask(cluster.url(0, "/dashboard"));
  CHECK(answer.status == 404);
  CHECK(answer.body.find("--dashboard") != std::string::npos);
}

TEST_CASE("dashboard: a page gets the history once and then each snapshot, until the run is over") {
  Board board;
  const auto page = board.open();
  CHECK(board.head.find("text/event-stream") != std::string::npos);
  board.await_viewers(1);
  CHECK(board.arrivals == 1);
  board.show({.history = "", .snapshot = "{\"n\":0}"});  // nothing without a history
  board.show({.history = "{\"h\":1}", .snapshot = "{\"n\":1}"});
  CHECK(page->read_until("event: snapshot\ndata: {\"n\":1}\n\n").find("event: history\ndata: {\"h\":1}\n\n") !=
        std::string::npos);
  board.show({.history = "{\"h\":2}", .snapshot = "{\"n\":2}"});
  CHECK(page->read_until("{\"n\":2}\n\n").find("history") == std::string::npos);
  board.show({.history = "", .snapshot = "{\"n\":3}", .over = true});
  page->read_until("{\"n\":3}\n\n\r\n0\r\n\r\n");
}

TEST_CASE("dashboard: a page that is closed is forgotten, and only so many are open at once") {
  Board board;
  std::vector<std::unique_ptr<Socket>> pages;
  for (std::size_t i = 0; i < defaults::dashboard_viewers; ++i) pages.push_back(board.open());
  board.await_viewers(defaults::dashboard_viewers);
  CHECK(board.get("/dashboard/events", {cookie}).status == 503);
  CHECK(board.get("/dashboard/events", {cookie}, "HEAD").status == 503);
  pages.pop_back();
  board.await_viewers(defaults::dashboard_viewers - 1);
  pages.push_back(board.open());
  board.await_viewers(defaults::dashboard_viewers);
}

TEST_CASE("dashboard: snapshots pass by a page whose browser is slow, and the others get theirs") {
  Board board;
  const auto slow = board.open();
  const auto quick = board.open();
  board.await_viewers(2);
  const std::string large(8u << 20, 'x');  // more than a socket takes
  board.show({.history = large, .snapshot = "first"});
  quick->read_until("event: history\ndata: ");
  quick->read_until(std::string(large.size() / 2, 'x'));
  std::promise<void> read;
  std::thread reader([&] {
    quick->read_until("data: last\n\n");
    read.set_value();
  });
  auto done = read.get_future();
  int shown = 0;
  while (done.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready && shown < 20'000) {
    board.show({.history = "", .snapshot = "last"});
    ++shown;
  }
  reader.join();
  for (int i = 0; i < 100; ++i) board.show({.history = "", .snapshot = "passes by"});
  board.show({.history = "", .snapshot = "the end", .over = true});
  // What the slow one finds is what it was given first, and the end: not all that was shown meanwhile.
  const std::string found = slow->read_until("data: the end\n\n");
  CHECK(found.find("passes by") == std::string::npos);
}

TEST_CASE("dashboard: a page that takes nothing for too long is let go") {
  Board board(std::chrono::milliseconds(20));
  const auto slow = board.open();
  board.await_viewers(1);
  board.show({.history = std::string(8u << 20, 'x'), .snapshot = "first"});
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (board.viewers > 0 && std::chrono::steady_clock::now() < end) board.show({.history = "", .snapshot = "next"});
  CHECK(board.viewers == 0);
}
