// The two ends of the native protocol against each other, over real sockets, and against a peer that breaks the rules. What a
// proxy does between them is tested in tests/unit/proxy/native and tests/e2e.
#include <doctest/doctest.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "native/codec.hpp"
#include "native/socket.hpp"
#include "trireme/native.hpp"

using namespace trireme::native;
using namespace std::chrono_literals;
namespace frames = trireme::frames;

extern "C" const char* use_from_c(const char* socket);

namespace {

struct Folder {
  Folder() {
    char name[] = "/tmp/trireme-test-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    path = name;
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string socket() const { return path + "/socket"; }
  std::string path;
};

/// Counts, and waits for a count.
class Counter {
 public:
  void add() {
    const std::lock_guard lock(mutex_);
    ++count_;
    changed_.notify_all();
  }
  bool reaches(int count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 20s, [&] { return count_ >= count; });
  }
  int count() {
    const std::lock_guard lock(mutex_);
    return count_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int count_ = 0;
};

struct TestService : Service {
  using Service::Service;
  Response handle(const Request& request) override {
    const std::string_view target = request.target().substr(request.target().rfind('/'));
    if (target == "/throw") throw std::runtime_error("as asked");
    if (target == "/bad") return {.status = 200, .headers = {{"no token", "x"}}, .body = {}};
    if (target == "/wait") {
      waiting.add();
      const auto end = std::chrono::steady_clock::now() + 20s;
      while (!request.cancelled() && !released && std::chrono::steady_clock::now() < end) std::this_thread::yield();
      if (request.cancelled()) cancelled.add();
    }
    return {.status = 201,
            .headers = {{"X-Method", std::string(request.method())},
                        {"X-Given", std::string(request.header("x-given").value_or("none"))},
                        {"X-Deadline", std::string(request.header("x-trireme-deadline").value_or("none"))}},
            .body = std::string(request.body())};
  }
  std::vector<Response> handle_batch(std::span<const Request> requests) override {
    {
      const std::lock_guard lock(mutex);
      batches.push_back(requests.size());
    }
    return Service::handle_batch(requests);
  }
  Counter waiting;
  Counter cancelled;
  std::atomic<bool> released = false;
  std::mutex mutex;
  std::vector<std::size_t> batches;
};

/// A service that runs for as long as this lives.
struct Running {
  explicit Running(const std::string& socket, ServiceOptions options = {}) : service(options), path(socket) {
    thread = std::thread([this] { good = service.serve(path); });
    const auto end = std::chrono::steady_clock::now() + 20s;
    int probe = -1;
    while ((probe = connect_to(path, end)) < 0 && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    REQUIRE(probe >= 0);
    ::close(probe);
  }
  ~Running() { stop(); }
  void stop() {
    service.released = true;
    if (!thread.joinable()) return;
    service.stop();
    thread.join();
    CHECK(good);
  }
  TestService service;
  std::string path;
  bool good = false;
  std::thread thread;
};

ClientOptions at(const std::string& socket, std::string token = {}) {
  ClientOptions options;
  options.socket = socket;
  options.token = std::move(token);
  return options;
}

constexpr Span plenty = 20s;

/// A proxy in the hands of the test, which says and takes what that wants.
struct Peer {
  explicit Peer(const std::string& path) : listener(listen_at(path)) { REQUIRE(listener >= 0); }
  ~Peer() {
    for (const int descriptor : {listener, socket}) {
      if (descriptor >= 0) ::close(descriptor);
    }
  }
  /// Lets the next client in.
  void welcome() {
    REQUIRE(comes(listener));
    socket = ::accept(listener, nullptr, nullptr);
    std::string out;
    frames::append_welcome(out, {.version = frames::first_version, .window = 256 << 10, .requests = 1024});
    REQUIRE(send_some(socket, out) == static_cast<long>(out.size()));
  }
  /// Takes bytes until `enough`. False: they do not come.
  bool take(const std::function<bool()>& enough) {
    std::vector<char> bytes(1 << 20);
    while (!enough()) {
      if (!comes(socket)) return false;
      const auto got = ::recv(socket, bytes.data(), bytes.size(), 0);
      if (got <= 0) return false;
      taken.append(bytes.data(), static_cast<std::size_t>(got));
    }
    return true;
  }
  static bool comes(int descriptor) {
    pollfd wait{descriptor, POLLIN, 0};
    return ::poll(&wait, 1, 20'000) == 1;
  }
  int listener = -1;
  int socket = -1;
  std::string taken;
};

/// Work on a thread of its own, of which can be seen that it sleeps.
template <typename T>
struct Aside {
  explicit Aside(std::function<T()> work)
      : outcome(std::async(std::launch::async, [this, work = std::move(work)] {
          id = ::gettid();
          return work();
        })) {}
  void until_asleep() const {
    const auto end = std::chrono::steady_clock::now() + 20s;
    for (char state = 'R'; state != 'S'; std::this_thread::yield()) {
      REQUIRE(std::chrono::steady_clock::now() < end);
      if (id == 0) continue;
      std::ifstream stat("/proc/self/task/" + std::to_string(id) + "/stat");
      std::string words;
      std::getline(stat, words);
      const auto name_end = words.rfind(") ");
      if (name_end != std::string::npos) state = words[name_end + 2];
    }
  }
  bool comes() const { return outcome.wait_for(20s) == std::future_status::ready; }
  std::atomic<pid_t> id = 0;
  std::future<T> outcome;
};

/// A client may come before the service listens: it asks until it is there.
Outcome until_reached(Client& client) {
  const auto end = std::chrono::steady_clock::now() + 20s;
  for (;;) {
    Outcome outcome = client.request("any", "x", plenty);
    if (outcome || outcome.failure().kind != Failure::Kind::unreachable || std::chrono::steady_clock::now() > end)
      return outcome;
    std::this_thread::yield();
  }
}

ServiceOptions threads(unsigned count) {
  ServiceOptions options;
  options.threads = count;
  return options;
}

}  // namespace

TEST_CASE("native API: a request has its method, headers and body, and its answer status, headers and body") {
  for (const unsigned count : {1u, 3u}) {
    Folder folder;
    Running running(folder.socket(), threads(count));
    Client client(at(folder.socket()));
    REQUIRE(until_reached(client));
    const Headers given = {{"X-Given", "yes"}};
    const auto answer =
        client.request({.service = "any", .body = "body", .method = "PUT", .headers = given, .deadline = plenty});
    REQUIRE(answer);
    CHECK(answer->status == 201);
    CHECK(answer->body == "body");
    CHECK(answer->header("x-method") == "PUT");
    CHECK(answer->header("X-GIVEN") == "yes");
    CHECK(client.request("any", "", Span::max())->header("X-Deadline") == std::to_string(7 * 24 * 3600));
  }
}

TEST_CASE("native API: pipelined requests of many threads each have their own answer") {
  Folder folder;
  Running running(folder.socket(), threads(3));
  Client client(at(folder.socket()));
  REQUIRE(until_reached(client));
  std::atomic<int> right = 0;
  std::vector<std::thread> askers;
  for (int t = 0; t < 6; ++t) {
    askers.emplace_back([&, t] {
      std::vector<Pending> pending;
      for (int i = 0; i < 500; ++i) {
        const std::string body = std::to_string(t) + "/" + std::to_string(i);
        pending.push_back(client.submit({.service = "any", .body = body, .deadline = plenty}));
      }
      for (int i = 0; i < 500; ++i) {
        const auto answer = pending[static_cast<std::size_t>(i)].get();
        if (answer && answer->body == std::to_string(t) + "/" + std::to_string(i)) ++right;
      }
    });
  }
  for (auto& asker : askers) asker.join();
  CHECK(right == 3000);
}

TEST_CASE("native API: threads that ask one after the other over one connection are all answered") {
  Folder folder;
  Running running(folder.socket());
  Client client(at(folder.socket()));
  REQUIRE(until_reached(client));
  std::atomic<int> right = 0;
  std::vector<std::thread> askers;
  for (int t = 0; t < 6; ++t) {
    askers.emplace_back([&, t] {
      for (int i = 0; i < 300; ++i) {
        const std::string body = std::to_string(t * 1000 + i);
        const auto answer = client.request("any", body, plenty);
        if (answer && answer->body == body) ++right;
      }
    });
  }
  for (auto& asker : askers) asker.join();
  CHECK(right == 1800);
}

TEST_CASE("native API: every callback is called once, and may submit more") {
  Folder folder;
  Running running(folder.socket());
  Counter called;
  std::atomic<int> right = 0;
  Client client(at(folder.socket()));
  REQUIRE(until_reached(client));
  std::function<void(int)> ask = [&](int left) {
    client.submit({.service = "any", .body = std::to_string(left), .deadline = plenty}, [&, left](Outcome outcome) {
      if (outcome && outcome->body == std::to_string(left)) ++right;
      if (left > 0) ask(left - 1);
      called.add();
    });
  };
  {
    Client::Gather gather(client);
    for (int i = 0; i < 100; ++i) ask(9);
  }
  REQUIRE(called.reaches(1000));
  CHECK(right == 1000);
  CHECK(called.count() == 1000);
}

TEST_CASE("native API: bodies far beyond the window pass in both directions, side by side") {
  for (const unsigned count : {1u, 2u}) {
    Folder folder;
    Running running(folder.socket(), threads(count));
    Client client(at(folder.socket()));
    REQUIRE(until_reached(client));
    std::string body(9u << 20, '\0');
    for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>(i * 7 + i / 4096);
    std::vector<Pending> pending;
    for (int i = 0; i < 3; ++i) pending.push_back(client.submit({.service = "any", .body = body, .deadline = plenty}));
    const auto blocking = client.request("any", body, plenty);
    REQUIRE(blocking);
    CHECK(blocking->body == body);
    for (auto& one : pending) {
      const auto answer = one.get();
      REQUIRE(answer);
      CHECK(answer->body == body);
    }
  }
}

TEST_CASE("native API: a cancelled request is over for both ends") {
  Folder folder;
  Running running(folder.socket(), threads(2));
  Client client(at(folder.socket()));
  REQUIRE(until_reached(client));
  auto pending = client.submit({.service = "any", .path = "/wait", .deadline = plenty});
  REQUIRE(running.service.waiting.reaches(1));
  CHECK_FALSE(pending.done());
  pending.cancel();
  const auto outcome = pending.get();
  REQUIRE_FALSE(outcome);
  CHECK(outcome.failure().kind == Failure::Kind::cancelled);
  CHECK(running.service.cancelled.reaches(1));
  CHECK(client.request("any", "after", plenty)->body == "after");
}

TEST_CASE("native API: a thread that waits for an answer is woken when another cancels the request") {
  Folder folder;
  Peer peer(folder.socket());
  Client client(at(folder.socket()));
  Aside<Pending> asked([&] { return client.submit({.service = "any"}); });
  peer.welcome();
  Pending pending = asked.outcome.get();
  Aside<Outcome> waiting([&] { return pending.get(); });
  waiting.until_asleep();
  pending.cancel();
  REQUIRE(waiting.comes());
  CHECK(waiting.outcome.get().failure().kind == Failure::Kind::cancelled);
  CHECK(pending.done());
  CHECK_MESSAGE(pending.get().failure().kind == Failure::Kind::invalid, "an outcome is taken once");
}

TEST_CASE("native API: a request that was gathered leaves when somebody waits for it, though another thread reads") {
  Folder folder;
  Running running(folder.socket(), threads(3));
  Client client(at(folder.socket()));
  REQUIRE(until_reached(client));
  Pending slow = client.submit({.service = "any", .path = "/wait"});
  REQUIRE(running.service.waiting.reaches(1));
  Aside<Outcome> reader([&] { return slow.get(); });
  reader.until_asleep();
  {
    Client::Gather gather(client);
    CHECK(client.request("any", "x", plenty));
  }
  running.service.released = true;
  CHECK(reader.outcome.get());
}

TEST_CASE("native API: to submit is to wait until the request has left and no longer, though another thread reads") {
  Folder folder;
  Peer peer(folder.socket());
  Client client(at(folder.socket()));
  Aside<Pending> asked([&] { return client.submit({.service = "any"}); });
  peer.welcome();
  Pending first = asked.outcome.get();
  Pending same = first;
  Aside<Outcome> reader([&] { return same.get(); });
  reader.until_asleep();
  constexpr std::size_t count = 32;
  const std::string body(frames::max_payload / 2, 'x');
  Aside<bool> submitted([&] {  // more than the socket holds
    for (std::size_t i = 0; i < count; ++i) client.submit({.service = "any", .body = body, .deadline = 1min});
    return true;
  });
  submitted.until_asleep();
  CHECK(peer.take([&] { return peer.taken.size() > count * body.size(); }));
  CHECK(submitted.comes());
  first.cancel();
}

TEST_CASE("native API: of requests that the proxy did not take before their deadlines, no more is kept than so much") {
  Folder folder;
  Peer peer(folder.socket());
  Client client(at(folder.socket()));
  Aside<Pending> asked([&] { return client.submit({.service = "any"}); });
  peer.welcome();
  asked.outcome.get();
  const std::string body(frames::max_payload / 2, 'x');
  for (int i = 0; i < 40; ++i) {
    CHECK(client.request("any", body, 2ms).failure().kind == Failure::Kind::deadline);
  }
  Aside<Pending> last([&] { return client.submit({.service = "any", .body = "the last"}); });
  REQUIRE(peer.take([&] { return peer.taken.ends_with("the last"); }));
  CHECK(peer.taken.size() < 20 * body.size());
}

TEST_CASE("native API: who connects waits while more want to be let in than there is room for, but not for good") {
  Folder folder;
  const int listener = listen_at(folder.socket());
  REQUIRE(::listen(listener, 0) == 0);
  const int first = connect_to(folder.socket(), Clock::now() + 20s);
  CHECK(first >= 0);
  CHECK(connect_to(folder.socket(), Clock::now() + 1ms) == -1);
  CHECK(errno == EAGAIN);
  Aside<int> second([&] { return connect_to(folder.socket(), Clock::now() + 20s); });
  second.until_asleep();
  const int accepted = ::accept(listener, nullptr, nullptr);
  const int let_in = second.outcome.get();
  CHECK(let_in >= 0);
  for (const int descriptor : {first, let_in, accepted, listener}) ::close(descriptor);
}

TEST_CASE("native API: who only asks whether a request is done is told once it is") {
  Folder folder;
  Running running(folder.socket());
  Client client(at(folder.socket()));
  REQUIRE(until_reached(client));
  for (const bool waits : {false, true}) {
    Pending pending = client.submit({.service = "any", .body = "x", .deadline = plenty});
    const auto end = std::chrono::steady_clock::now() + 10s;
    while (!(waits ? pending.wait_for(Span(0)) : pending.done()) && std::chrono::steady_clock::now() < end)
      std::this_thread::yield();
    CHECK(std::chrono::steady_clock::now() < end);
    CHECK(pending.get()->body == "x");
  }
  Pending late = client.submit({.service = "any", .path = "/wait", .deadline = 1ms});
  while (!late.done()) std::this_thread::yield();
  CHECK(late.get().failure().kind == Failure::Kind::deadline);
}

TEST_CASE("native API: at its deadline a request is cancelled, waited for or with a callback") {
  Folder folder;
  Running running(folder.socket(), threads(3));
  Client client(at(folder.socket()));
  REQUIRE(until_reached(client));
  // Each with more time than the one before, until the service has had it before its deadline.
  for (Span deadline = 30ms; running.service.waiting.count() < 1 && deadline < 20s; deadline *= 2) {
    const auto outcome = client.request({.service = "any", .path = "/wait", .deadline = deadline});
    REQUIRE_FALSE(outcome);
    CHECK(outcome.failure().kind == Failure::Kind::deadline);
  }
  REQUIRE(running.service.cancelled.reaches(1));
  const int before = running.service.waiting.count();
  Counter called;
  int asked = 0;
  for (Span deadline = 30ms; running.service.waiting.count() == before && deadline < 20s; deadline *= 2) {
    client.submit({.service = "any", .path = "/wait", .deadline = deadline}, [&](Outcome late) {
      CHECK(!late);
      CHECK(late.failure().kind == Failure::Kind::deadline);
      called.add();
    });
    REQUIRE(called.reaches(++asked));
  }
  CHECK(running.service.cancelled.reaches(before + 1));
}

TEST_CASE("native API: the end of the connection ends every request once, and the next request connects anew") {
  Folder folder;
  auto running = std::make_unique<Running>(folder.socket());
  Client client(at(folder.socket()));
  REQUIRE(until_reached(client));
  running.reset();
  const auto nobody = client.request("any", "x", plenty);
  REQUIRE_FALSE(nobody);
  CHECK((nobody.failure().kind == Failure::Kind::unreachable || nobody.failure().kind == Failure::Kind::lost));
  const auto still_nobody = client.request("any", "x", plenty);
  REQUIRE_FALSE(still_nobody);
  CHECK(still_nobody.failure().kind == Failure::Kind::unreachable);
  CHECK(still_nobody.failure().what.find(folder.socket()) != std::string::npos);
  running = std::make_unique<Running>(folder.socket());
  CHECK(until_reached(client));
}

TEST_CASE("native API: a client that goes takes its requests with it") {
  Folder folder;
  Running running(folder.socket(), threads(3));
  Counter called;
  Pending pending;
  {
    Client client(at(folder.socket()));
    REQUIRE(until_reached(client));
    pending = client.submit({.service = "any", .path = "/wait", .deadline = plenty});
    client.submit({.service = "any", .path = "/wait", .deadline = plenty}, [&](Outcome outcome) {
      CHECK(!outcome);
      called.add();
    });
    REQUIRE(running.service.waiting.reaches(2));
  }
  CHECK(called.count() == 1);
  const auto outcome = pending.get();
  REQUIRE_FALSE(outcome);
  CHECK(outcome.failure().kind == Failure::Kind::lost);
  CHECK(running.service.cancelled.reaches(2));
}

TEST_CASE("native API: batches are as large as they may be, and are not waited for longer than allowed") {
  Folder folder;
  ServiceOptions options;
  options.max_batch = 8;
  options.max_delay = 10s;
  Running running(folder.socket(), options);
  Client client(at(folder.socket()));
  std::vector<Pending> pending;
  {
    Client::Gather gather(client);
    for (int i = 0; i < 16; ++i) {
      pending.push_back(client.submit({.service = "any", .body = std::to_string(i), .deadline = 60s}));
    }
  }
  for (std::size_t i = 0; i < pending.size(); ++i) {
    const auto answer = pending[i].get();
    REQUIRE(answer);
    CHECK(answer->body == std::to_string(i));
  }
  const std::lock_guard lock(running.service.mutex);
  CHECK(running.service.batches == std::vector<std::size_t>{8, 8});
}

TEST_CASE("native API: a handler that throws, or answers with what is no header, fails its own request") {
  for (const unsigned count : {1u, 2u}) {
    Folder folder;
    Running running(folder.socket(), threads(count));
    Client client(at(folder.socket()));
    REQUIRE(until_reached(client));
    const auto thrown = client.request({.service = "any", .path = "/throw", .deadline = plenty});
    REQUIRE(thrown);
    CHECK(thrown->status == 500);
    CHECK(thrown->body == "as asked\n");
    CHECK(client.request({.service = "any", .path = "/bad", .deadline = plenty})->status == 500);
    CHECK(client.request("any", "after", plenty)->status == 201);
  }
}

TEST_CASE("native API: a request that is none does not leave") {
  Folder folder;
  Running running(folder.socket());
  Client client(at(folder.socket()));
  REQUIRE(until_reached(client));
  const Headers bad = {{"Connection", "close"}};
  CHECK(client.request({.service = "any", .headers = bad}).failure().kind == Failure::Kind::invalid);
  CHECK(client.request({.service = "a b"}).failure().kind == Failure::Kind::invalid);
  CHECK(client.request({.service = "any", .method = ""}).failure().kind == Failure::Kind::invalid);
  CHECK(client.request("any", "after", plenty)->body == "after");
}

TEST_CASE("native API: a service that stops answers what it has") {
  Folder folder;
  Running running(folder.socket(), threads(2));
  Client client(at(folder.socket()));
  REQUIRE(until_reached(client));
  auto pending = client.submit({.service = "any", .body = "kept", .path = "/wait", .deadline = plenty});
  REQUIRE(running.service.waiting.reaches(1));
  running.service.stop();
  running.service.released = true;
  const auto answer = pending.get();
  REQUIRE(answer);
  CHECK(answer->body == "kept");
  running.stop();
}

TEST_CASE("native API: a service without a descriptor left waits for one, does not spin, and goes on") {
  Folder folder;
  Running running(folder.socket());
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  rlimit few = before;
  few.rlim_cur = 256;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
  std::vector<int> taken;
  for (int copy = ::dup(0); copy >= 0; copy = ::dup(0)) taken.push_back(copy);
  // More than it can take with what Running's own connection gives back.
  std::vector<int> clients(4, -1);
  REQUIRE(taken.size() > clients.size());
  for (int& client : clients) {
    ::close(taken.back());
    taken.pop_back();
    // The service may hold the one that is free for a moment.
    const auto end = std::chrono::steady_clock::now() + 20s;
    while ((client = connect_to(folder.socket(), end)) < 0 && std::chrono::steady_clock::now() < end)
      std::this_thread::yield();
    CHECK(client >= 0);
  }

  const std::clock_t worked = std::clock();
  pollfd said{clients.back(), POLLIN, 0};
  CHECK(::poll(&said, 1, 500) == 0);
  CHECK(static_cast<double>(std::clock() - worked) / CLOCKS_PER_SEC < 0.25);

  for (const int descriptor : taken) ::close(descriptor);
  Client client(at(folder.socket()));
  CHECK(until_reached(client));
  for (const int descriptor : clients) ::close(descriptor);
  ::setrlimit(RLIMIT_NOFILE, &before);
}

TEST_CASE("native API: a service with a key takes nobody without") {
  Folder folder;
  ServiceOptions options;
  options.key = "secret";
  Running running(folder.socket(), options);
  Client wrong(at(folder.socket(), "guess"));
  const auto refused = wrong.request("any", "x", plenty);
  REQUIRE_FALSE(refused);
  CHECK(refused.failure().kind == Failure::Kind::unreachable);
  Client right(at(folder.socket(), "secret"));
  CHECK(until_reached(right));
}

TEST_CASE("native API: a peer that breaks the rules ends the connection and every request on it") {
  Folder folder;
  const int listener = listen_at(folder.socket());
  REQUIRE(listener >= 0);
  std::thread peer([&] {
    pollfd wait{listener, POLLIN, 0};
    if (::poll(&wait, 1, 20'000) != 1) return;
    const int socket = ::accept(listener, nullptr, nullptr);
    std::string out;
    frames::append_welcome(out, {.version = frames::first_version, .window = 256 << 10, .requests = 1024});
    char bytes[4096];
    wait.fd = socket;
    for (const std::string& words : {out, std::string(64, '\xff')}) {  // after its hello, and after its request
      ::poll(&wait, 1, 20'000);
      if (::recv(socket, bytes, sizeof bytes, 0) <= 0) break;
      send_some(socket, words);
    }
    while (::recv(socket, bytes, sizeof bytes, 0) > 0) {
    }
    ::close(socket);
  });
  Client client(at(folder.socket()));
  auto one = client.submit({.service = "any", .deadline = plenty});
  const auto outcome = one.get();
  peer.join();
  ::close(listener);
  REQUIRE_FALSE(outcome);
  CHECK(outcome.failure().kind == Failure::Kind::lost);
  CHECK(outcome.failure().what.find("broke the native protocol") != std::string::npos);
}

TEST_CASE("native API: a client in C") {
  Folder folder;
  Running running(folder.socket(), threads(3));
  Client client(at(folder.socket()));
  REQUIRE(until_reached(client));
  const char* const wrong = use_from_c(folder.socket().c_str());
  CHECK_MESSAGE(wrong == nullptr, (wrong == nullptr ? "" : wrong));
}
