// Whoever dies, rank or spawner, nothing that they started lives on.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "fixture.hpp"
#include "launch/spawner/procfs.hpp"
#include "node/spawner/sweep.hpp"

using namespace trireme;
using namespace trireme::test;
using namespace std::chrono_literals;

extern "C" char** environ;

namespace {

constexpr const char* stubborn = "trap '' TERM; while :; do sleep 0.05; done";
constexpr const char* escaped = "(setsid sh -c \"trap '' TERM HUP; while :; do sleep 0.05; done\" &); sleep 1000";

// A stand-in rank in a process of its own, ready when this is made.
struct OtherRank {
  OtherRank(const std::string& run_id, const std::string& mode, std::vector<std::string> scripts) {
    std::vector<std::string> words{TRIREME_TEST_RANK, TRIREME_TEST_SPAWNER, run_id, mode};
    words.insert(words.end(), scripts.begin(), scripts.end());
    std::vector<char*> argv;
    for (auto& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    std::array<int, 2> pipe{};
    REQUIRE(::pipe2(pipe.data(), O_CLOEXEC) == 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pipe[1], 1);
    REQUIRE(posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), environ) == 0);
    posix_spawn_file_actions_destroy(&actions);
    ::close(pipe[1]);
    std::string line;
    for (char byte = 0; line.find('\n') == std::string::npos && ::read(pipe[0], &byte, 1) == 1;) {
      line += byte;
    }
    ::close(pipe[0]);
    REQUIRE(line.starts_with("ready "));
    const auto pids = numbers(line.substr(6));
    REQUIRE(pids.size() == 2);
    spawner = pids[0];
    child = pids[1];
  }
  ~OtherRank() {
    die();
    if (child > 0) ::kill(child, SIGKILL);
  }
  void die() {
    if (pid == 0) return;
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    pid = 0;
  }
  pid_t pid = 0;
  pid_t spawner = 0;
  pid_t child = 0;
};

}  // namespace

TEST_CASE("kill -9 of the rank leaves no process behind, stubborn and escaped ones included") {
  const auto run_id = unique_run_id();
  OtherRank rank(run_id, "hold", {"sleep 1000", stubborn, escaped});
  REQUIRE(eventually([&] { return carriers(run_id).size() >= 4; }));
  rank.die();
  CHECK(eventually([&] { return !is_alive(rank.spawner); }));
  CHECK(carriers(run_id).empty());
}

TEST_CASE("the death of the rank is noticed even if a copy of its socket lives on in another process") {
  const auto run_id = unique_run_id();
  OtherRank rank(run_id, "leaky", {"sleep 1000", stubborn});
  REQUIRE(rank.child > 0);
  rank.die();
  CHECK(eventually([&] { return !is_alive(rank.spawner); }));
  CHECK(carriers(run_id).empty());
  CHECK(is_alive(rank.child));
}

TEST_CASE("the spawner ignores TERM, INT and HUP while the rank lives") {
  Rank rank;
  rank.spawn(rank.shell(1, "sleep 1000"));
  REQUIRE(rank.until_started(1));
  for (const int signo : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGPIPE}) ::kill(rank.client->pid(), signo);
  auto request = rank.shell(2, "exit 6");
  rank.spawn(request);
  REQUIRE(rank.until_ended(2));
  CHECK(rank.ended[2].exit_code == 6);
  CHECK(is_alive(rank.started[1].pid));
}

TEST_CASE("kill -9 of the spawner ends its tasks, and the client sweeps up what had escaped") {
  Rank rank;
  rank.spawn(rank.shell(1, "sleep 1000"));
  rank.spawn(rank.shell(2, escaped));
  REQUIRE(rank.until_started(1));
  REQUIRE(rank.until_started(2));
  REQUIRE(rank.until([&] { return carriers(rank.run_id).size() >= 4; }));
  ::kill(rank.client->pid(), SIGKILL);
  REQUIRE(rank.until([&] { return !rank.lost.empty(); }));
  CHECK(rank.lost.find("signal 9") != std::string::npos);
  CHECK(carriers(rank.run_id).empty());
  CHECK_FALSE(rank.client->alive());
  CHECK_FALSE(rank.client->spawn(rank.shell(3, "true")).ok());
  CHECK(rank.ends == 0);
}

TEST_CASE("main processes die with the spawner even if nobody sweeps") {
  Rank rank({"TRIREME_RUN_ID=of-nobody"});
  rank.spawn(rank.shell(1, stubborn));
  REQUIRE(rank.until_started(1));
  ::kill(rank.client->pid(), SIGKILL);
  REQUIRE(rank.until([&] { return !rank.lost.empty(); }));
  CHECK(eventually([&] { return !is_alive(rank.started[1].pid); }));
}

TEST_CASE("a sweep ends those that carry all the marks and no others") {
  Rank rank;
  auto marked = rank.shell(1, "trap '' TERM; sleep 1000");
  marked.env.push_back("SIDE=a");
  auto other = rank.shell(2, "sleep 1000");
  other.env.push_back("SIDE=ab");
  rank.spawn(marked);
  rank.spawn(other);
  REQUIRE(rank.until_started(1));
  REQUIRE(rank.until_started(2));
  // The kernel shows a process's environment some time after its start.
  const auto shows = [&](std::uint64_t id, const char* entry) {
    return procfs::has_entry(procfs::environment_of(rank.started[id].pid), entry);
  };
  REQUIRE(rank.until([&] { return shows(1, "SIDE=a") && shows(2, "SIDE=ab"); }));
  const std::vector<std::string> marks{"TRIREME_RUN_ID=" + rank.run_id, "SIDE=a"};
  const auto swept = sweep(marks);
  CHECK(swept.clean);
  CHECK(swept.killed >= 1);
  REQUIRE(rank.until_ended(1));
  CHECK(rank.ended[1].signo == SIGKILL);
  CHECK(is_alive(rank.started[2].pid));
  CHECK(sweep_run(rank.run_id).clean);
  REQUIRE(rank.until_ended(2));
  CHECK(sweep({}).killed == 0);
}

TEST_CASE("a shutdown stops every task, reports each end, and leaves nothing") {
  Rank rank;
  rank.spawn(rank.shell(1, "trap 'exit 8' TERM; echo up; while :; do sleep 0.02; done"));
  rank.spawn(rank.shell(2, stubborn));
  rank.spawn(rank.shell(3, escaped));
  REQUIRE(rank.until([&] { return rank.out() == "up\n"; }));
  REQUIRE(rank.until_started(2));
  REQUIRE(rank.until([&] { return ignores(rank.started[2].pid, SIGTERM); }));
  REQUIRE(rank.until_started(3));
  const pid_t spawner = rank.client->pid();
  REQUIRE(rank.shut_down(4s));
  CHECK(rank.ends == 3);
  CHECK(rank.ended[1].exit_code == 8);
  CHECK(rank.ended[1].stopped);
  CHECK(rank.ended[2].signo == SIGKILL);
  CHECK(rank.lost.empty());
  CHECK(carriers(rank.run_id).empty());
  CHECK_FALSE(is_alive(spawner));
}

TEST_CASE("an idle spawner exits at once when the client goes away") {
  Rank rank;
  REQUIRE(rank.run("true").exit_code == 0);
  const pid_t spawner = rank.client->pid();
  rank.client = nullptr;
  CHECK_FALSE(is_alive(spawner));
}

TEST_CASE("a spawner that cannot be started is named in the error") {
  boost::asio::io_context loop;
  SpawnerClient::Options options;
  options.program = "/no/such/spawner";
  const auto none = SpawnerClient::start(loop, options, {});
  REQUIRE_FALSE(none.ok());
  CHECK(none.error().text().find("/no/such/spawner") != std::string::npos);
}

TEST_CASE("when the lease runs out everything ends, and nothing starts until it is renewed") {
  Rank rank;
  rank.client->renew_lease(300ms);
  rank.spawn(rank.shell(1, stubborn));
  REQUIRE(rank.until_ended(1));
  CHECK(rank.ended[1].stopped);
  rank.spawn(rank.shell(2, "true"));
  REQUIRE(rank.until([&] { return rank.failed.contains(2); }));
  CHECK(rank.failed[2].stage == spawner::Stage::refused);
  rank.client->renew_lease(0ms);
  rank.spawn(rank.shell(3, "true"));
  REQUIRE(rank.until_ended(3));
  CHECK(rank.ended[3].exit_code == 0);
}

TEST_CASE("a spawner that was frozen beyond its lease ends its tasks before it reads on") {
  Rank rank;
  rank.client->renew_lease(1500ms);
  rank.spawn(rank.shell(1, "sleep 1000"));
  REQUIRE(rank.until_started(1));
  ::kill(rank.client->pid(), SIGSTOP);
  const auto frozen_at = std::chrono::steady_clock::now();
  rank.spawn(rank.shell(2, "true"));
  rank.until([&] { return std::chrono::steady_clock::now() > frozen_at + 1700ms; });
  ::kill(rank.client->pid(), SIGCONT);
  REQUIRE(rank.until([&] { return rank.failed.contains(2) && rank.ended.contains(1); }));
  CHECK(rank.failed[2].stage == spawner::Stage::refused);
}
