#include "fabric/progress.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

using namespace trireme;
using namespace std::chrono_literals;

namespace {

/// Whether the thread whose /proc/.../stat this is waits for something.
bool asleep(const std::string& stat) {
  std::ifstream file(stat);
  std::string text;
  std::getline(file, text);
  const auto name_end = text.rfind(')');
  return name_end != std::string::npos && text.substr(name_end, 3) == ") S";
}

}  // namespace

TEST_CASE(
    "after activity the loop spins for a moment, then each sleep is a quarter of the time that nothing happened") {
  Backoff::Time now{};
  Backoff backoff({.spin = {.least = 50us}, .sleep_min = 20us, .sleep_max = 3ms, .sleep_part = 4}, now);
  CHECK(backoff.idle(now + 49us) == 0us);
  CHECK(backoff.idle(now + 60us) == 20us);
  CHECK(backoff.idle(now + 200us) == 50us);
  CHECK(backoff.idle(now + 8ms) == 2ms);
  CHECK(backoff.idle(now + 1h) == 3ms);
  backoff.active(now + 2h);
  CHECK(backoff.idle(now + 2h + 10us) == 0us);
  CHECK(backoff.idle(now + 2h + 60us) == 20us);
}

TEST_CASE("a local event is a reason to spin for a moment, and none to look at MPI more often") {
  Backoff::Time now{};
  Backoff backoff({.spin = {.least = 50us}, .sleep_min = 20us, .sleep_max = 3ms, .sleep_part = 4}, now);
  backoff.worked(now + 8ms);
  CHECK(backoff.idle(now + 8ms + 49us) == 0us);
  CHECK(backoff.idle(now + 10ms) == 2500us);
  backoff.active(now + 10ms);
  CHECK(backoff.idle(now + 10ms + 200us) == 50us);
}

TEST_CASE("in a crowd of local events it sleeps at once, unless MPI did something a moment ago") {
  Backoff::Time now{};
  Backoff backoff({.spin = {.least = 50us}, .sleep_min = 20us, .sleep_max = 3ms, .sleep_part = 4}, now);
  backoff.worked(now + 8ms);
  backoff.worked_in_crowd(now + 8ms);
  CHECK(backoff.idle(now + 8ms) == 2ms);
  backoff.active(now + 10ms);
  backoff.worked_in_crowd(now + 10ms + 20us);
  CHECK(backoff.idle(now + 10ms + 40us) == 0us);
  backoff.worked_in_crowd(now + 10ms + 60us);
  CHECK(backoff.idle(now + 10ms + 60us) == 20us);
  backoff.worked(now + 20ms);
  CHECK(backoff.idle(now + 20ms + 40us) == 0us);
}

TEST_CASE("where nobody counts microseconds it sleeps at once") {
  Backoff::Time now{};
  Backoff backoff({.spin = {.least = 50us}, .sleep_min = 20us, .sleep_max = 3ms, .sleep_part = 4}, now);
  backoff.active(now + 1ms);
  CHECK(backoff.idle(now + 1ms, false, false) == 20us);
  CHECK(backoff.idle(now + 1ms, false, true) == 0us);
}

TEST_CASE("on a core that others want it sleeps instead of yielding to them") {
  Backoff::Time now{};
  now += 1s;
  Backoff backoff({.spin = {.least = 50us}, .sleep_min = 20us, .sleep_max = 2ms}, now);
  backoff.yielded(now, now + 10us);
  CHECK(backoff.idle(now + 10us) == 0us);
  backoff.yielded(now + 10us, now + 4ms);
  CHECK(backoff.idle(now + 4ms) == 1ms);
}

TEST_CASE("another thread's post ends a sleep") {
  boost::asio::io_context io;
  bool posted = false;
  // So long that the test would run into its time limit if the post did not end it.
  const Backoff::Limits limits{.spin = {.least = 0s, .most = 0s}, .sleep_min = 1h, .sleep_max = 1h};
  std::thread other([&] {
    std::this_thread::sleep_for(20ms);  // the loop is most likely asleep by then
    boost::asio::post(io, [&] { posted = true; });
  });
  run_until(
      io, [] { return false; }, [&] { return posted; }, limits);
  other.join();
  CHECK(posted);
}

TEST_CASE("a ring ends a sleep and is a reason to look, and what came before the sleep is not slept over") {
  boost::asio::io_context io;
  const auto bell = fabric::Doorbell::make();
  REQUIRE(bell);
  auto pull = fabric::BellPull::open(bell->address());
  REQUIRE(pull);
  std::atomic<int> sent = 0;
  int seen = 0;
  // So long that the test would run into its time limit if the rings did not end it.
  const Backoff::Limits limits{.spin = {.least = 0s, .most = 0s}, .sleep_min_rung = 1h, .sleep_max_rung = 1h};
  std::thread other([&] {
    for (int i = 0; i < 2000; ++i) {
      ++sent;
      pull->ring();
      while (sent > 0) std::this_thread::yield();
    }
  });
  run_until(
      io,
      [&] {
        if (sent == 0) return false;
        ++seen;
        --sent;
        return true;
      },
      [&] { return seen == 2000; }, limits, {.doorbell = bell.get(), .will_be_rung = [] { return true; }});
  other.join();
  CHECK(seen == 2000);
}

TEST_CASE("the loop can be run again, and a flood of events does not keep it from polling") {
  boost::asio::io_context io;
  for (int round = 0; round < 3; ++round) {
    int polls = 0;
    bool flooding = true;
    std::function<void()> again = [&] {
      if (flooding) boost::asio::post(io, again);
    };
    boost::asio::post(io, again);
    run_until(
        io, [&] { return ++polls > 0; }, [&] { return polls >= 10; });
    CHECK(polls >= 10);
    flooding = false;
    io.poll();
  }
}

TEST_CASE("what is looked for past the io_context does not keep that, or MPI, from its turn") {
  boost::asio::io_context io;
  int polls = 0;
  int looks = 0;
  bool posted = false;
  bool ran = false;
  run_until(
      io,
      [&] {
        if (++polls == 50) {
          boost::asio::post(io, [&] { ran = true; });
          posted = true;
        }
        return false;
      },
      [&] { return ran; }, {}, {}, {.look = [&] { return ++looks > 0; }, .lie_down = nullptr, .crowded = nullptr});
  CHECK(posted);
  CHECK(ran);
  CHECK(looks > 0);
}

TEST_CASE("the loop sleeps when nothing is found past the io_context any more") {
  boost::asio::io_context io;
  const Backoff::Limits limits{.spin = {.least = 1ms, .most = 1ms}, .sleep_min = 1h, .sleep_max = 1h};
  std::atomic<int> looks = 0;
  bool over = false;
  const std::string state = "/proc/self/task/" + std::to_string(::gettid()) + "/stat";
  std::thread other([&] {
    // Posts, because on a busy machine the loop sleeps between two looks too, until something happens.
    for (; looks < 100; std::this_thread::yield()) boost::asio::post(io, [] {});
    while (!asleep(state)) std::this_thread::yield();
    boost::asio::post(io, [&] { over = true; });
  });
  run_until(
      io, [] { return false; }, [&] { return over; }, limits, {},
      {.look = [&] { return ++looks < 100; }, .lie_down = nullptr, .crowded = nullptr});
  other.join();
  CHECK(looks >= 100);
}

TEST_CASE("what comes at the last moment before a sleep is looked at, not slept over") {
  boost::asio::io_context io;
  const Backoff::Limits limits{.spin = {.least = 0ms, .most = 0ms}, .sleep_min = 1h, .sleep_max = 1h};
  bool came = false;
  bool over = false;
  run_until(
      io, [] { return false; }, [&] { return over; }, limits, {},
      {.look = [&] { return over = came; }, .lie_down = [&] { return !(came = true); }, .crowded = nullptr});
  CHECK(over);
}

TEST_CASE("in a crowd the loop looks once more and sleeps") {
  boost::asio::io_context io;
  // As long as it spins it looks thousands of times.
  const Backoff::Limits limits{.spin = {.least = 20ms, .most = 20ms}, .sleep_min = 1h, .sleep_max = 1h};
  const auto begin = Backoff::Time::clock::now();
  std::atomic<int> in_vain = 0;
  bool over = false;
  std::thread other([&] {
    while (in_vain == 0) std::this_thread::yield();
    const auto enough = Backoff::Time::clock::now() + 15ms;
    while (in_vain < 1000 && Backoff::Time::clock::now() < enough) std::this_thread::yield();
    boost::asio::post(io, [&] { over = true; });
  });
  run_until(
      io, [] { return false; }, [&] { return over; }, limits, {},
      {.look =
           [&] {
             if (Backoff::Time::clock::now() < begin + 50ms) return true;
             ++in_vain;
             return false;
           },
       .lie_down = nullptr,
       .crowded = [] { return true; }});
  other.join();
  CHECK(in_vain < 10);
}
