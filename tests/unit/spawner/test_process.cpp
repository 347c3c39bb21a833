// One process: where it runs, what it inherits, what is reported about it.
#include <doctest/doctest.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "fixture.hpp"
#include "launch/spawner/procfs.hpp"

using namespace trireme;
using namespace trireme::test;
using namespace std::chrono_literals;
using spawner::Stage;

TEST_CASE("the exit code is reported, with times and resource usage") {
  Rank rank;
  const auto ended = rank.run("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; exit 7");
  CHECK(ended.exit_code == 7);
  CHECK(ended.signo == 0);
  CHECK_FALSE(ended.timed_out);
  CHECK_FALSE(ended.stopped);
  CHECK(ended.leftover == 0);
  CHECK(ended.max_rss_bytes > 100'000);
  CHECK(ended.user_ns + ended.system_ns > 0);
  const auto& started = rank.started[1];
  CHECK(started.pid > 0);
  CHECK(ended.at.monotonic_ns >= started.at.monotonic_ns);
  CHECK(started.at.wall_ns > 1'600'000'000'000'000'000);
}

TEST_CASE("the signal that ended a process is reported") {
  Rank rank;
  CHECK(rank.run("kill -SEGV $$").signo == SIGSEGV);
}

TEST_CASE("a signal is delivered to the group of a task") {
  Rank rank;
  rank.spawn(rank.shell(1, "trap 'echo got; exit 3' USR1; echo ready; while :; do sleep 0.02; done"));
  REQUIRE(rank.until([&] { return rank.out() == "ready\n"; }));
  rank.client->signal(1, SIGUSR1);
  rank.client->signal(99, SIGKILL);
  REQUIRE(rank.until_ended(1));
  CHECK(rank.ended[1].exit_code == 3);
  CHECK(rank.out() == "ready\ngot\n");
}

TEST_CASE("a task is leader of a group of its own in the session of the spawner, whose child it is") {
  Rank rank;
  rank.run("cut -d' ' -f1,4,5,6 /proc/$$/stat");
  const int pid = rank.started[1].pid;
  const int spawner = rank.client->pid();
  CHECK(numbers(rank.out()) == std::vector<int>{pid, spawner, pid, spawner});
}

TEST_CASE("a task inherits stdin, stdout and stderr and no other descriptor") {
  const int leak = ::dup(1);  // without close-on-exec: the spawner inherits it
  REQUIRE(leak > 2);
  Rank rank;
  REQUIRE(rank.run("ls /proc/$$/fd").exit_code == 0);
  CHECK(numbers(rank.out()) == std::vector<int>{0, 1, 2});
  ::close(leak);
}

TEST_CASE("the spawner itself holds no descriptor of the rank and is in a session of its own") {
  const int leak = ::dup(1);
  Rank rank;
  rank.run("true");
  const auto folder = "/proc/" + std::to_string(rank.client->pid()) + "/fd";
  const auto own = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(leak));
  std::size_t sockets = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string target = std::filesystem::read_symlink(entry.path());
    CAPTURE(target);
    CHECK(target != own.string());
    sockets += target.starts_with("socket:") ? 1 : 0;
  }
  CHECK(sockets == 1);
  CHECK(::getsid(rank.client->pid()) == rank.client->pid());
  ::close(leak);
}

TEST_CASE("stdin, stdout and stderr are the files named; one file for both keeps their order") {
  Rank rank;
  std::ofstream(rank.scratch.path("in")) << "hello\n";
  auto request = rank.shell(1, "cat; echo error >&2; echo end");
  request.stdin_path = rank.scratch.path("in");
  rank.spawn(request);
  REQUIRE(rank.until_ended(1));
  CHECK(rank.out() == "hello\nend\n");
  CHECK(contents(request.stderr_path) == "error\n");

  request.id = 2;
  request.stderr_path = request.stdout_path;
  rank.spawn(request);
  REQUIRE(rank.until_ended(2));
  CHECK(rank.out() == "hello\nerror\nend\n");

  request.id = 3;
  request.append = true;
  request.stdin_path = "/dev/null";
  rank.spawn(request);
  REQUIRE(rank.until_ended(3));
  CHECK(rank.out() == "hello\nerror\nend\nerror\nend\n");
}

TEST_CASE("the environment is the one given and nothing else, the folder too") {
  Rank rank;
  auto request = rank.shell(1, "");
  request.argv = {"env"};
  rank.spawn(request);
  REQUIRE(rank.until_ended(1));
  std::string expected;
  for (const auto& entry : request.env) expected += entry + "\n";
  CHECK(rank.out() == expected);
  rank.spawn(rank.shell(2, "pwd -P"));
  REQUIRE(rank.until_ended(2));
  CHECK(std::filesystem::equivalent(rank.out(2).substr(0, rank.out(2).size() - 1), request.cwd));
}

TEST_CASE("a program is searched in the PATH of the task's own environment") {
  Rank rank;
  const auto folder = rank.scratch.path("bin");
  std::filesystem::create_directory(folder);
  std::ofstream(folder + "/only-here") << "echo found $1\n";  // no #! line: the shell runs it
  ::chmod((folder + "/only-here").c_str(), 0755);
  auto request = rank.shell(1, "");
  request.argv = {"only-here", "it"};
  rank.spawn(request);
  REQUIRE(rank.until([&] { return rank.failed.contains(1); }));
  CHECK(rank.failed[1].error == ENOENT);
  CHECK(rank.failed[1].stage == Stage::program);
  CHECK(rank.failed[1].text == "cannot run 'only-here': not found in PATH");

  request.id = 2;
  request.env[0] = "PATH=/nowhere:" + folder + ":/bin";
  rank.spawn(request);
  REQUIRE(rank.until_ended(2));
  CHECK(rank.out() == "found it\n");
}

TEST_CASE("what cannot be started says why, and at which step") {
  Rank rank;
  struct Case {
    std::function<void(SpawnRequest&)> change;
    int error;
    Stage stage;
  };
  std::ofstream(rank.scratch.path("plain")) << "text\n";
  std::ofstream(rank.scratch.path("orphaned")) << "#!/no/such/interpreter\n";
  ::chmod(rank.scratch.path("orphaned").c_str(), 0755);
  const std::vector<Case> cases{
      {[](auto& r) { r.argv = {"/no/such/program"}; }, ENOENT, Stage::program},
      {[](auto& r) { r.argv = {"./plain"}; }, EACCES, Stage::program},
      {[&](auto& r) { r.argv = {rank.scratch.path("orphaned")}; }, ENOENT, Stage::program},
      {[](auto& r) { r.argv = {}; }, EINVAL, Stage::refused},
      {[](auto& r) { r.cwd = "/no/such/folder"; }, ENOENT, Stage::working_folder},
      {[](auto& r) { r.stdin_path = "/no/such/file"; }, ENOENT, Stage::stdin_file},
      {[](auto& r) { r.stdout_path = "/no/such/folder/out"; }, ENOENT, Stage::stdout_file},
      {[](auto& r) { r.stderr_path = "/no/such/folder/err"; }, ENOENT, Stage::stderr_file},
      {[](auto& r) { r.cpus = {4095}; }, EINVAL, Stage::affinity},
      {[](auto& r) { r.cpus = {~0u}; }, EINVAL, Stage::refused},
      {[](auto& r) {
         r.limits = {{9999, 1, 1}};
       },
       EINVAL, Stage::limits},
  };
  std::uint64_t id = 0;
  for (const auto& test : cases) {
    auto request = rank.shell(++id, "true");
    test.change(request);
    rank.spawn(request);
    CAPTURE(id);
    REQUIRE(rank.until([&] { return rank.failed.contains(id); }));
    CAPTURE(rank.failed[id].text);
    CHECK(rank.failed[id].error == test.error);
    CHECK(rank.failed[id].stage == test.stage);
  }
  CHECK(rank.failed[3].text.find("interpreter") != std::string::npos);
  CHECK(rank.started.empty());
  // None of the failed children is left as a zombie.
  CHECK(procfs::children_of(rank.client->pid()).empty());
}

TEST_CASE("a task begins with default signals and an empty mask, whatever the rank ignores or blocks") {
  sigset_t blocked;
  sigset_t before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  sigaddset(&blocked, SIGUSR1);
  ::sigprocmask(SIG_BLOCK, &blocked, &before);
  auto* const old_pipe = ::signal(SIGPIPE, SIG_IGN);
  auto* const old_hup = ::signal(SIGHUP, SIG_IGN);
  Rank rank;
  rank.run("cat /proc/self/status");
  ::signal(SIGPIPE, old_pipe);
  ::signal(SIGHUP, old_hup);
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  for (const char* line : {"SigBlk:\t", "SigIgn:\t", "SigCgt:\t"}) {
    CAPTURE(line);
    CHECK(rank.out().find(line + std::string(16, '0') + "\n") != std::string::npos);
  }
}

TEST_CASE("limits are set, and the kernel prefers tasks when memory runs out") {
  Rank rank;
  auto request = rank.shell(1, "ulimit -Sn; cat /proc/self/oom_score_adj");
  request.limits = {{RLIMIT_NOFILE, 77, 100}};
  rank.spawn(request);
  REQUIRE(rank.until_ended(1));
  const auto got = numbers(rank.out());
  REQUIRE(got.size() == 2);
  CHECK(got[0] == 77);
  CHECK(got[1] > numbers(contents("/proc/self/oom_score_adj")).at(0));
}

TEST_CASE("the binding of a rank to one core is not inherited; given cores are") {
  cpu_set_t all;
  cpu_set_t before;
  REQUIRE(::sched_getaffinity(0, sizeof before, &before) == 0);
  std::fill_n(reinterpret_cast<char*>(&all), sizeof all, '\xff');
  REQUIRE(::sched_setaffinity(0, sizeof all, &all) == 0);
  REQUIRE(::sched_getaffinity(0, sizeof all, &all) == 0);
  int first = 0;
  while (!CPU_ISSET(first, &all)) ++first;
  int last = CPU_SETSIZE - 1;
  while (!CPU_ISSET(last, &all)) --last;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  REQUIRE(::sched_setaffinity(0, sizeof one, &one) == 0);

  const std::string count = "exec awk '/^Cpus_allowed_list/ {print $2}' /proc/self/status";
  Rank rank;
  rank.spawn(rank.shell(1, "nproc"));
  auto request = rank.shell(2, count);
  request.cpus = {static_cast<std::uint32_t>(last)};
  rank.spawn(request);
  const bool ended = rank.until_ended(1) && rank.until_ended(2);
  ::sched_setaffinity(0, sizeof before, &before);
  REQUIRE(ended);
  CHECK(numbers(rank.out(1)) == std::vector<int>{CPU_COUNT(&all)});
  CHECK(rank.out(2) == std::to_string(last) + "\n");
  if (CPU_COUNT(&all) == 1) MESSAGE("one core only: little was tested");
}

TEST_CASE("500 tasks, eight at a time: each ends once, and neither zombies nor descriptors are left") {
  Rank rank;
  rank.run("true");
  const auto descriptors = [&] {
    const auto folder = "/proc/" + std::to_string(rank.client->pid()) + "/fd";
    return std::distance(std::filesystem::directory_iterator(folder), {});
  };
  const auto before = descriptors();
  std::uint64_t next = 2;
  const std::uint64_t last = 501;
  while (rank.ends < last) {
    while (next <= last && next - 1 - rank.ends < 8) {
      auto request = rank.shell(next++, "");
      request.argv = {"/bin/true"};
      rank.spawn(request);
    }
    const auto ends = rank.ends;
    REQUIRE(rank.until([&] { return rank.ends > ends; }));
  }
  CHECK(rank.ends == last);
  CHECK(rank.ended.size() == last);
  CHECK(
      std::all_of(rank.ended.begin(), rank.ended.end(), [](const auto& entry) { return entry.second.exit_code == 0; }));
  CHECK(procfs::children_of(rank.client->pid()).empty());
  CHECK(descriptors() == before);
}

TEST_CASE("an id that is still alive is refused") {
  Rank rank;
  rank.spawn(rank.shell(1, "sleep 1000"));
  rank.spawn(rank.shell(1, "true"));
  REQUIRE(rank.until([&] { return rank.failed.contains(1); }));
  CHECK(rank.failed[1].stage == Stage::refused);
  CHECK(rank.ends == 0);
}

TEST_CASE("a request that exceeds a frame is refused at once, and the next one works") {
  Rank rank;
  auto request = rank.shell(1, std::string(5u << 20, ' '));
  CHECK_FALSE(rank.client->spawn(request).ok());
  CHECK(rank.run("exit 4").exit_code == 4);
}

TEST_CASE("a process that is to be connected finds the connection at descriptor 3, its greeting said") {
  Rank rank;
  const std::string path = rank.scratch.path("socket");
  boost::asio::local::stream_protocol::acceptor listener(rank.loop, path);
  auto request = rank.shell(1, "read -r line <&3; echo \"$line\"; echo bye >&3");
  request.connect_path = path;
  request.connect_greeting = "rank-one";
  rank.spawn(request);
  boost::asio::local::stream_protocol::socket peer(rank.loop);
  std::string heard;
  listener.async_accept(peer, [&](boost::system::error_code failed) {
    REQUIRE_FALSE(failed);
    boost::asio::write(peer, boost::asio::buffer(std::string("hello\n")));
    boost::asio::async_read(peer, boost::asio::dynamic_buffer(heard), [](boost::system::error_code, std::size_t) {});
  });
  REQUIRE(rank.until_ended(1));
  CHECK(rank.ended[1].exit_code == 0);
  CHECK(rank.out() == "hello\n");
  REQUIRE(rank.until([&] { return heard.ends_with('\n'); }));
  CHECK(heard == "rank-onebye\n");
}

TEST_CASE("a process whose connection is refused does not run, and says where it could not connect") {
  Rank rank;
  auto request = rank.shell(1, "echo ran");
  request.connect_path = rank.scratch.path("nobody");
  rank.spawn(request);
  REQUIRE(rank.until([&] { return rank.failed.contains(1); }));
  CHECK(rank.failed[1].stage == Stage::connection);
  CHECK(rank.failed[1].text.find(request.connect_path) != std::string::npos);
  CHECK(rank.out().empty());
}
