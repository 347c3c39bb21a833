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

TEST_CASE("functions: failures are in the function's words, and what is not there is told") {
  FunctionBench bench;
  const AttemptEnd refused = bench.run(FunctionBench::call(0, "refuse"));
  CHECK(refused.outcome == Outcome::failed);
  CHECK(refused.reason == "not today");
  CHECK(bench.run(FunctionBench::call(1, "nowhere")).reason.find("no function nowhere") != std::string::npos);
  StartTask lost = FunctionBench::call(2, "echo");
  lost.task.function.library = "/nowhere/lib.so";
  CHECK(bench.run(lost).reason.find("cannot be loaded") != std::string::npos);
  CHECK(bench.run(FunctionBench::call(3, "large")).reason.find("longer than") != std::string::npos);
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
