// Function tasks in real executors: a library of small functions is loaded by the real trireme-executor.
#include <doctest/doctest.h>

#include <cstdlib>
#include <map>

#include "bench.hpp"

using namespace trireme;
using test::Bench;
using test::SpawnerKind;

namespace {

class FunctionBench : public Bench {
 public:
  FunctionBench() : Bench(SpawnerKind::real) { setenv("TRIREME_EXECUTOR", TRIREME_EXECUTOR_PROGRAM, 1); }

  static StartTask call(std::uint32_t index, const std::string& symbol, const std::string& args = "[]",
                        std::uint32_t cores = 1) {
    StartTask order;
    order.id = {TaskIndex{index}, 0};
    order.task.id = order.task.name = "f" + std::to_string(index);
    order.task.function = {
        .kind = FunctionCall::Kind::native, .library = TRIREME_TEST_FUNCTIONS, .name = symbol, .args = args};
    order.task.per_rank.cores = cores;
    return order;
  }

  std::map<std::uint32_t, AttemptEnd> ends() const {
    std::map<std::uint32_t, AttemptEnd> out;
    for (const TaskEnded& ended : sent<TaskEnded>()) {
      CHECK_MESSAGE(out.emplace(ended.id.task.value, ended.end).second, "a call ended twice");
    }
    return out;
  }
};

}  // namespace

TEST_CASE("functions: each of many calls ends once, with its own result") {
  FunctionBench bench;
  constexpr std::uint32_t count = 3000;
  for (std::uint32_t i = 0; i < count; ++i) {
    bench.agent->on_message(FunctionBench::call(i, "echo", "[" + std::to_string(i) + "]", i % 2));
  }
  REQUIRE(bench.until([&] { return bench.sent<TaskEnded>().size() == count; }));
  for (const auto& [index, end] : bench.ends()) {
    CHECK(end.outcome == Outcome::done);
    CHECK(end.result == "[" + std::to_string(index) + "]");
    CHECK(end.ended >= end.started);
  }
}

TEST_CASE("functions: a crash fails the call that crashed; those behind it are made by another executor") {
  FunctionBench bench;
  for (std::uint32_t i = 0; i < 40; ++i)
    bench.agent->on_message(FunctionBench::call(i, i == 20 ? "crash" : "echo", "7", 4));
  REQUIRE(bench.until([&] { return bench.sent<TaskEnded>().size() == 40; }));
  for (const auto& [index, end] : bench.ends()) {
    CHECK((end.outcome == Outcome::done) == (index != 20));
    if (index == 20) CHECK(end.reason.find("SIGABRT") != std::string::npos);
  }
}

TEST_CASE("functions: whatever an executor dies of, the call that ran fails and no other") {
  for (const std::string end : {"leave", "killed", "overflow"}) {
    CAPTURE(end);
    FunctionBench bench;
    // So that they are known to be quick, and many are sent ahead.
    for (std::uint32_t i = 0; i < 200; ++i) bench.agent->on_message(FunctionBench::call(i, "echo", "7", 4));
    REQUIRE(bench.until([&] { return bench.sent<TaskEnded>().size() == 200; }));
    for (std::uint32_t i = 200; i < 240; ++i) {
      bench.agent->on_message(FunctionBench::call(i, i == 220 ? end : "echo", "7", 4));
    }
    REQUIRE(bench.until([&] { return bench.sent<TaskEnded>().size() == 240; }));
    for (const auto& [index, how] : bench.ends()) CHECK((how.outcome == Outcome::done) == (index != 220));
    CHECK(bench.ends()[220].reason.find("executors/") != std::string::npos);
  }
}

TEST_CASE("functions: the child of a function that forks and comes back from it makes no calls") {
  FunctionBench bench;
  for (std::uint32_t i = 0; i < 100; ++i) {
    bench.agent->on_message(FunctionBench::call(i, i % 10 == 5 ? "fork_back" : "echo", "\"once\"", 4));
  }
  REQUIRE(bench.until([&] { return bench.sent<TaskEnded>().size() == 100; }));
  for (const auto& [index, end] : bench.ends()) CHECK_MESSAGE(end.result == "\"once\"", end.reason);
}

TEST_CASE("functions: nothing waits behind a call of a function that is not known to be quick") {
  FunctionBench bench;
  const std::string place = "\"" + (bench.root.path() / "mark").string() + "\"";
  for (std::uint32_t i = 0; i < 400; ++i) bench.agent->on_message(FunctionBench::call(i, "echo", "[]"));
  REQUIRE(bench.until([&] { return bench.sent<TaskEnded>().size() == 400; }));
  // It ends when all of the others have been made, which none would be that waits for its executor.
  bench.agent->on_message(FunctionBench::call(400, "await_marks", place));
  for (std::uint32_t i = 401; i < 417; ++i) bench.agent->on_message(FunctionBench::call(i, "mark", place));
  REQUIRE(bench.until([&] { return bench.sent<TaskEnded>().size() == 417; }));
  CHECK_MESSAGE(bench.ends()[400].outcome == Outcome::done, bench.ends()[400].reason);
}

TEST_CASE("functions: a timeout counts from when the call has its cores") {
  FunctionBench bench;
  const auto go = bench.root.path() / "go";
  StartTask holder = bench.script(0, "until test -e " + go.string() + "; do sleep 0.01; done");
  holder.task.per_rank.cores = 4;
  bench.agent->on_message(holder);
  REQUIRE(bench.until([&] { return !bench.sent<TaskStarted>().empty(); }));
  StartTask call = FunctionBench::call(1, "echo", "[]", 4);
  call.task.timeout = std::chrono::seconds(1);
  bench.agent->on_message(call);
  const MonoTime late = mono_now() + Duration(std::chrono::milliseconds(1500)).count();
  REQUIRE(bench.until([&] { return mono_now() >= late || !bench.sent<TaskEnded>().empty(); }));
  test::write(go, "");
  REQUIRE(bench.until([&] { return bench.sent<TaskEnded>().size() == 2; }));
  CHECK_MESSAGE(bench.ends()[1].outcome == Outcome::done, bench.ends()[1].reason);
}

TEST_CASE("functions: a result is JSON that everybody can read, and not too long") {
  FunctionBench bench;
  CHECK(bench.run(FunctionBench::call(0, "no_json")).reason == "the result is no JSON: see byte 2");
  CHECK(bench.run(FunctionBench::call(1, "no_text")).reason.starts_with("the result is no JSON"));
  CHECK(bench.run(FunctionBench::call(2, "deep")).reason.find("more than 512 deep") != std::string::npos);
  CHECK(bench.run(FunctionBench::call(3, "large")).reason.find("longer than 1 MiB") != std::string::npos);
  CHECK(bench.run(FunctionBench::call(4, "huge")).reason.find("longer than 1 MiB") != std::string::npos);
}

TEST_CASE("functions: failures are in the function's words, and what is not there is told") {
  FunctionBench bench;
  const AttemptEnd refused = bench.run(FunctionBench::call(0, "refuse"));
  CHECK(refused.outcome == Outcome::failed);
  CHECK(refused.reason == "not today");
  CHECK(bench.run(FunctionBench::call(1, "nowhere")).reason.find("no function nowhere") != std::string::npos);
  StartTask lost = FunctionBench::call(2, "echo");
  lost.task.function.library = "/nowhere/lib.so";
  CHECK(bench.run(lost).reason.find("cannot be loaded") != std::string::npos);
}

TEST_CASE("functions: a call that is stuck ends by its timeout or by a cancel, and others go on") {
  FunctionBench bench;
  StartTask late = FunctionBench::call(0, "stick", "[]", 4);
  late.task.timeout = std::chrono::milliseconds(100);
  bench.agent->on_message(late);
  bench.agent->on_message(FunctionBench::call(1, "stick", "[]", 4));
  bench.agent->on_message(FunctionBench::call(2, "echo", "[]", 4));
  REQUIRE(bench.until([&] { return bench.sent<TaskEnded>().size() == 1; }));
  CHECK(bench.ends()[0].outcome == Outcome::timeout);
  bench.agent->on_message(CancelTask{{TaskIndex{1}, 0}, "enough"});
  REQUIRE(bench.until([&] { return bench.sent<TaskEnded>().size() == 3; }));
  CHECK(bench.ends()[1].outcome == Outcome::cancelled);
  CHECK(bench.ends()[1].reason == "enough");
  CHECK(bench.ends()[2].outcome == Outcome::done);
}

TEST_CASE("functions: at the end of the run calls are cancelled and executors are gone") {
  FunctionBench bench;
  bench.agent->on_message(FunctionBench::call(0, "stick"));
  bench.settle();
  bench.agent->on_message(ShutdownAgent{});
  REQUIRE(bench.until([&] { return bench.agent->done(); }));
  CHECK(bench.ends()[0].outcome == Outcome::cancelled);
}
