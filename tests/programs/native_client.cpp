// native_client all | kill: a task that asks native services through the C++ client, and prints "well" if all is as it should be.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "trireme/native.hpp"

namespace {

using namespace trireme::native;
using namespace std::chrono_literals;

void require(bool good, std::string_view what, const Outcome* outcome = nullptr) {
  if (good) return;
  const std::string why = outcome == nullptr ? ""
                          : *outcome         ? std::to_string((*outcome)->status) + " " + (*outcome)->body
                                             : outcome->failure().what;
  std::printf("wrong: %.*s: %s\n", static_cast<int>(what.size()), what.data(), why.c_str());
  std::fflush(stdout);
  std::_Exit(1);
}

void ask_everything() {
  Client client;
  std::vector<std::thread> askers;
  for (int t = 0; t < 2; ++t) {
    askers.emplace_back([&, t] {
      std::vector<Pending> pending;
      for (int i = 0; i < 500; ++i) {
        const std::string body = std::to_string(t * 1000 + i);
        pending.push_back(client.submit({.service = "asked", .body = body, .path = "/" + body, .deadline = 60s}));
      }
      for (int i = 0; i < 500; ++i) {
        const std::string body = std::to_string(t * 1000 + i);
        const auto answer = pending[static_cast<std::size_t>(i)].get();
        require(answer && answer->body == body && answer->header("x-seen") == "/" + body, "a pipelined answer",
                &answer);
      }
    });
  }
  for (auto& asker : askers) asker.join();

  std::string large(24u << 20, '\0');
  for (std::size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>(i * 31 + i / 65536);
  const auto echoed = client.request("asked", large, 60s);
  require(echoed && echoed->body == large, "a large body", &echoed);

  auto waiting = client.submit({.service = "asked", .path = "/wait", .deadline = 60s});
  require(!waiting.wait_for(20ms), "an answer before its time");
  waiting.cancel();
  const auto cancelled = waiting.get();
  require(!cancelled && cancelled.failure().kind == Failure::Kind::cancelled, "a cancelled request", &cancelled);
  const auto late = client.request({.service = "asked", .path = "/wait", .deadline = 50ms});
  require(!late && late.failure().kind == Failure::Kind::deadline, "a request past its deadline", &late);

  const auto nobody = client.request("nobody", "", 60s);
  require(nobody && nobody->status == 404, "a service that is not", &nobody);
  const auto web = client.request({.service = "web", .method = "GET", .deadline = 60s});
  require(web && web->status == 200, "an HTTP service", &web);

  std::vector<Pending> batch;
  {
    Client::Gather gather(client);
    for (int i = 0; i < 64; ++i)
      batch.push_back(client.submit({.service = "batch", .body = std::to_string(i), .deadline = 60s}));
  }
  int together = 0;
  for (int i = 0; i < 64; ++i) {
    const auto answer = batch[static_cast<std::size_t>(i)].get();
    require(answer && answer->body == std::to_string(i), "an answer of a batch", &answer);
    together += std::atoi(std::string(answer->header("x-batch").value_or("0")).c_str()) > 1;
  }
  require(together > 0, "no two requests were handled together");

  const auto count_end = std::chrono::steady_clock::now() + 30s;
  for (;;) {
    const auto count = client.request({.service = "asked", .path = "/cancelled", .deadline = 60s});
    require(bool(count), "the count", &count);
    if (std::atoi(count->body.c_str()) >= 2) break;
    require(std::chrono::steady_clock::now() < count_end, "the service was not told of cancellations");
  }
}

/// Many requests on their way while a replica dies: each has one outcome, and those that come later are answered.
void ask_the_dying() {
  constexpr int requests = 4000;
  Client client;
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<int> outcomes(requests, 0);
  int over = 0;
  int good = 0;
  int failed = 0;
  for (int i = 0; i < requests; ++i) {
    const std::string body = std::to_string(i);
    const std::string path = i == requests / 4 ? "/die" : "/";
    client.submit({.service = "pair", .body = body, .path = path, .deadline = 60s}, [&, i, body](Outcome outcome) {
      const std::lock_guard lock(mutex);
      ++outcomes[static_cast<std::size_t>(i)];
      ++over;
      if (outcome && outcome->status == 200) {
        require(outcome->body == body, "another's answer", &outcome);
        ++good;
      } else {
        require(outcome && outcome->status == 502, "an end that is none", &outcome);
        ++failed;
      }
      changed.notify_one();
    });
  }
  std::unique_lock lock(mutex);
  require(changed.wait_for(lock, 90s, [&] { return over == requests; }), "some requests have no outcome");
  for (const int count : outcomes) require(count == 1, "a request has two outcomes");
  require(failed >= 1, "nobody died");
  require(good >= requests / 2, "too few were answered");
  lock.unlock();
  const auto after = client.request("pair", "after", 60s);
  require(after && after->body == "after", "a request after the death", &after);
}

}  // namespace

int main(int, char** arguments) {
  if (std::string_view(arguments[1]) == "kill") {
    ask_the_dying();
  } else {
    ask_everything();
  }
  std::printf("well\n");
  return 0;
}
