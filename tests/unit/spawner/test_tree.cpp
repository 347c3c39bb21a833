// The end of a task is the end of its whole tree, wherever its members went.
#include <doctest/doctest.h>

#include <csignal>

#include "fixture.hpp"

using namespace trireme;
using namespace trireme::test;
using namespace std::chrono_literals;

namespace {

// A daemon as daemons are: two forks, a session of its own, deaf to TERM and HUP. Its pid goes to the file given.
std::string daemon(const std::string& pid_file, const std::string& prefix = "") {
  return "(" + prefix + " setsid sh -c 'trap \"\" TERM HUP; echo $$ > " + pid_file +
         "; while :; do sleep 0.05; done' </dev/null >/dev/null 2>&1 &); while ! [ -s " + pid_file +
         " ]; do sleep 0.01; done; ";
}

}  // namespace

TEST_CASE("what a task leaves in its group is gone when its end is reported") {
  Rank rank;
  CHECK(rank.run("sleep 1000 & sh -c 'trap \"\" TERM; sleep 1000' & exit 5").exit_code == 5);
  CHECK(carriers(rank.run_id).empty());
}

TEST_CASE("a job that a shell has put into a group of its own is gone, with its environment or without") {
  Rank rank;
  for (const char* prefix : {"", "env -i "}) {
    const std::string job = std::string(prefix) + "sh -c 'echo $$ > job; while :; do sleep 0.05; done' & ";
    rank.run("set -m; rm -f job; " + job + "while ! [ -s job ]; do sleep 0.01; done; exit 0");
    const int pid = numbers(contents(rank.scratch.path("job"))).at(0);
    CHECK(eventually([&] { return !is_alive(pid); }));
  }
}

TEST_CASE("a daemon with two forks, its own session and deaf to TERM is gone when the end is reported") {
  Rank rank;
  const auto ended = rank.run(daemon("pid") + "exit 3");
  CHECK(ended.exit_code == 3);
  CHECK(ended.leftover == 0);
  const auto pids = numbers(contents(rank.scratch.path("pid")));
  REQUIRE(pids.size() == 1);
  CHECK_FALSE(is_alive(pids[0]));
  CHECK(carriers(rank.run_id).empty());
}

TEST_CASE("daemons of one task are left alone when another task ends") {
  Rank rank;
  rank.spawn(rank.shell(1, daemon("pid1") + "echo up; sleep 1000"));
  REQUIRE(rank.until([&] { return rank.out(1) == "up\n"; }));
  rank.spawn(rank.shell(2, daemon("pid2") + "exit 0"));
  REQUIRE(rank.until_ended(2));
  const int first = numbers(contents(rank.scratch.path("pid1"))).at(0);
  CHECK(is_alive(first));
  CHECK_FALSE(is_alive(numbers(contents(rank.scratch.path("pid2"))).at(0)));
  rank.client->stop(1, 0ms);
  REQUIRE(rank.until_ended(1));
  CHECK_FALSE(is_alive(first));
}

TEST_CASE("a tree of daemons comes apart from the top, also below one that hides its environment") {
  Rank rank;
  // The second daemon is below the first, and has wiped the environment by which it could be told.
  rank.run(daemon("top", "") +
           "(setsid sh -c 'echo $$ > mid; env -i setsid sh -c \"echo \\$\\$ > low; "
           "while :; do sleep 0.05; done\" & wait' >/dev/null 2>&1 &);"
           "while ! [ -s low ]; do sleep 0.01; done");
  for (const char* name : {"top", "mid", "low"}) {
    const auto pids = numbers(contents(rank.scratch.path(name)));
    REQUIRE(pids.size() == 1);
    CHECK_FALSE(is_alive(pids[0]));
  }
}

TEST_CASE("a daemon that hides everything ends with the last task that can have started it") {
  Rank rank;
  rank.spawn(rank.shell(1, daemon("pid", "env -i") + "exit 0"));
  rank.spawn(rank.shell(2, "while ! [ -e go ]; do sleep 0.01; done"));
  REQUIRE(rank.until_ended(1));
  const int hidden = numbers(contents(rank.scratch.path("pid"))).at(0);
  CHECK(is_alive(hidden));  // it might be the second's
  rank.spawn(rank.shell(3, "touch go; exit 0"));
  REQUIRE(rank.until_ended(2));
  REQUIRE(rank.until_ended(3));
  CHECK(eventually([&] { return !is_alive(hidden); }));
}

TEST_CASE("a timeout is TERM to the tree first") {
  Rank rank;
  std::uint64_t id = 1;
  for (std::uint64_t timeout_ms = 500;; ++id, timeout_ms *= 4) {
    auto request = rank.shell(id, "trap 'echo bye; exit 9' TERM; echo up; while :; do sleep 0.02; done");
    request.timeout_ms = timeout_ms;
    request.grace_ms = 60'000;
    rank.spawn(request);
    REQUIRE(rank.until_ended(id));
    CHECK(rank.ended[id].timed_out);
    CHECK_FALSE(rank.ended[id].stopped);
    if (!rank.out(id).empty() || timeout_ms > 30'000) break;  // else the shell was not past its trap yet
  }
  CHECK(rank.ended[id].exit_code == 9);
  CHECK(rank.out(id) == "up\nbye\n");
}

TEST_CASE("a timeout is KILL after the grace to what is deaf to TERM, in the group and outside") {
  Rank rank;
  std::uint64_t id = 1;
  for (std::uint64_t timeout_ms = 500;; ++id, timeout_ms *= 4) {
    auto request =
        rank.shell(id, "trap '' TERM; " + daemon("pid" + std::to_string(id)) + "echo up; while :; do sleep 0.02; done");
    request.timeout_ms = timeout_ms;
    request.grace_ms = 200;
    rank.spawn(request);
    REQUIRE(rank.until_ended(id));
    CHECK(rank.ended[id].timed_out);
    if (!rank.out(id).empty() || timeout_ms > 30'000) break;  // else the shell was not past its trap yet
  }
  CHECK(rank.ended[id].signo == SIGKILL);
  CHECK(carriers(rank.run_id).empty());
}

TEST_CASE("a task that ends in time is not bothered by its timeout") {
  Rank rank;
  auto request = rank.shell(1, "exit 0");
  request.timeout_ms = 60000;
  rank.spawn(request);
  REQUIRE(rank.until_ended(1));
  CHECK_FALSE(rank.ended[1].timed_out);
  CHECK(rank.run("sleep 0.1").exit_code == 0);
}

TEST_CASE("a stop reaches processes that left the group, and a stopped one") {
  Rank rank;
  rank.spawn(rank.shell(1,
                        "setsid sh -c 'trap \"echo outside > said; exit\" TERM; echo > up; "
                        "while :; do sleep 0.02; done' & kill -STOP $$; wait"));
  REQUIRE(rank.until([&] { return !contents(rank.scratch.path("up")).empty(); }));
  rank.client->stop(1, std::chrono::duration_cast<std::chrono::milliseconds>(patience));
  REQUIRE(rank.until_ended(1));
  CHECK(rank.ended[1].stopped);
  CHECK(rank.ended[1].signo == SIGTERM);
  CHECK(contents(rank.scratch.path("said")) == "outside\n");
}

TEST_CASE("what outlives the main process of a stopped task keeps the grace") {
  Rank rank;
  // The shell dies of TERM at once; its child wants to save its work first.
  rank.spawn(rank.shell(1,
                        "sh -c 'trap \"sleep 0.3; echo saved; exit\" TERM; echo up; "
                        "while :; do sleep 0.02; done'; true"));
  REQUIRE(rank.until([&] { return rank.out() == "up\n"; }));
  rank.client->stop(1, std::chrono::duration_cast<std::chrono::milliseconds>(patience));
  REQUIRE(rank.until_ended(1));
  CHECK(rank.ended[1].signo == SIGTERM);
  CHECK(rank.out() == "up\nsaved\n");
}

TEST_CASE("stops amid a burst of spawns: each task ends once, none is left") {
  Rank rank;
  const std::uint64_t count = 100;
  for (std::uint64_t id = 1; id <= count; ++id) {
    rank.spawn(rank.shell(id, "sleep 1000"));
    if (id % 2 == 0) rank.client->stop(id, 100ms);
    if (id % 10 == 0) rank.client->stop(id - 1, 0ms);
  }
  REQUIRE(rank.until([&] { return rank.ends == 60; }));
  CHECK(rank.started.size() == count);
  for (std::uint64_t id = 1; id <= count; ++id) rank.client->stop(id, 0ms);
  REQUIRE(rank.until([&] { return rank.ends == count; }));
  CHECK(rank.ended.size() == count);
  CHECK(carriers(rank.run_id).empty());
}
