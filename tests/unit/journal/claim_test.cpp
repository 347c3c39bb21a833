#include "journal/claim.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "core/run_paths.hpp"
#include "support.hpp"

namespace trireme {
namespace {

using namespace test;
using namespace std::chrono_literals;

TEST_CASE("a run directory is claimed once, and the second is told by whom") {
  const TemporaryFolder folder;
  const auto dir = folder.path() / "runs" / "one";
  const RunClaim mine = this_process("run-1", "screening");
  REQUIRE(claim_run_dir(dir, mine).ok());
  const auto read = read_claim(dir);
  REQUIRE(read.ok());
  CHECK(*read == mine);

  const Status second = claim_run_dir(dir, this_process("run-2", "screening"));
  REQUIRE_FALSE(second.ok());
  CHECK(second.error().code == ExitCode::usage);
  CHECK(second.error().text().find("run-1") != std::string::npos);
  CHECK(read_claim(dir)->run_id == "run-1");
}

TEST_CASE("of many that claim at once exactly one succeeds") {
  const TemporaryFolder folder;
  std::atomic<int> claimed{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      if (claim_run_dir(folder.path(), this_process("run-" + std::to_string(i), "x")).ok()) ++claimed;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(claimed == 1);
}

TEST_CASE("a run whose pilot lives cannot be continued; one whose pilot is gone can") {
  const TemporaryFolder folder;
  REQUIRE(claim_run_dir(folder.path(), this_process("run-1", "x")).ok());
  CHECK(pilot_life(*read_claim(folder.path())) == PilotLife::alive);
  CHECK_FALSE(check_abandoned(folder.path(), false, 0s).ok());
  CHECK_FALSE(check_abandoned(folder.path(), true, 0s).ok());

  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) ::_exit(0);
  REQUIRE(::waitpid(child, nullptr, 0) == child);
  RunClaim dead = this_process("run-1", "x");
  dead.pid = child;
  CHECK(pilot_life(dead) == PilotLife::gone);

  RunClaim reused = this_process("run-1", "x");
  reused.pid_start += 1;
  CHECK(pilot_life(reused) == PilotLife::gone);

  RunClaim elsewhere = this_process("run-1", "x");
  elsewhere.host = "another-host";
  CHECK(pilot_life(elsewhere) == PilotLife::unknown);

  const TemporaryFolder other;
  REQUIRE(claim_run_dir(other.path(), dead).ok());
  REQUIRE(check_abandoned(other.path(), false, 1h).ok());
  REQUIRE(take_over_run_dir(other.path(), this_process("run-1", "x")).ok());
  CHECK(read_claim(other.path())->pid == ::getpid());
}

TEST_CASE("a run on another host can be continued once it shows no sign of life any more") {
  const TemporaryFolder folder;
  RunClaim elsewhere = this_process("run-1", "x");
  elsewhere.host = "another-host";
  REQUIRE(claim_run_dir(folder.path(), elsewhere).ok());
  CHECK(check_abandoned(folder.path(), true, 1h).ok());  // its log says that it has ended: nothing to watch for
  CHECK(check_abandoned(folder.path(), false, 10ms).ok());

  std::atomic<bool> over{false};
  std::thread pilot([&] {
    ClaimKeeper keeper(folder.path());
    while (!over) {
      CHECK(keeper.beat().ok());
      std::this_thread::sleep_for(10ms);
    }
  });
  const Status refused = check_abandoned(folder.path(), false, 1min);
  over = true;
  pilot.join();
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == ExitCode::usage);
  CHECK(refused.error().text().find("another-host") != std::string::npos);
  CHECK(check_abandoned(folder.path(), false, 10ms).ok());
}

TEST_CASE("a pilot that was taken for dead gives the run up at its next beat") {
  const TemporaryFolder folder;
  REQUIRE(claim_run_dir(folder.path(), this_process("run-1", "x")).ok());
  ClaimKeeper keeper(folder.path());
  CHECK(keeper.beat().ok());
  RunClaim other = this_process("run-1", "x");
  other.host = "another-host";
  REQUIRE(take_over_run_dir(folder.path(), other).ok());
  const Status kept = keeper.beat();
  REQUIRE_FALSE(kept.ok());
  CHECK(kept.error().code == ExitCode::runtime_failed);
  CHECK(kept.error().text().find("another-host") != std::string::npos);
}

TEST_CASE("a directory without a run, or with a broken run.json, is an error in words") {
  const TemporaryFolder folder;
  CHECK_FALSE(read_claim(folder.path()).ok());
  for (const char* broken : {"", "{", "[]", "{\"pid\": \"seven\"}"}) {
    write_file(RunPaths(folder.path()).claim(), broken);
    const auto info = read_claim(folder.path());
    REQUIRE_FALSE(info.ok());
    CHECK(info.error().code == ExitCode::usage);
  }
}

TEST_CASE("ids become one path component each, and different ids different ones") {
  CHECK(path_of_id("train") == "train");
  CHECK(path_of_id("train[seed=1,method=lora]") == "train%5Bseed=1,method=lora%5D");
  CHECK(path_of_id("a/b") == "a%2Fb");
  CHECK(path_of_id("50%") == "50%25");
  CHECK(path_of_id("..") == "%2E.");
  CHECK(path_of_id(".") == "%2E");
  CHECK(path_of_id(".hidden") == ".hidden");
  CHECK(path_of_id("\xC3\xA9") == "%C3%A9");
  CHECK(path_of_id("") == "%");
  const std::string long_id(1000, 'x');
  CHECK(path_of_id(long_id + "1").size() <= 255);
  CHECK(path_of_id(long_id + "1") != path_of_id(long_id + "2"));
  CHECK(RunPaths("/r").attempt("a b", 2) == "/r/tasks/a%20b/2");
  CHECK(RunPaths("/r").replica("llama", 1, 0) == "/r/services/llama/1/0");
}

}  // namespace
}  // namespace trireme
