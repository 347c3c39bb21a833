// What tasks write, by `output: files | stream | none`, with real processes.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "bench.hpp"
#include "core/run_paths.hpp"
#include "journal/output_reader.hpp"

using namespace trireme;
using test::Bench;
using test::SpawnerKind;
namespace fs = std::filesystem;

namespace {

constexpr Rank node_rank = 3;

RunPaths paths_of(const Bench& bench) {
  return RunPaths(bench.root.path() / "run");
}

std::string streamed(const Bench& bench, const StartTask& order, bool is_stderr = false, std::uint32_t rank = 0) {
  const RunPaths paths = paths_of(bench);
  OutputReader reader(paths.output(node_rank), paths.output_index(node_rank),
                      {path_of_id(order.task.id), order.id.attempt, rank, is_stderr});
  std::string out;
  reader.read_new([&](std::string_view bytes) { out += bytes; });
  CHECK(reader.damaged() == 0);
  return out;
}

StartTask script(const Bench& bench, std::uint32_t index, std::string_view source,
                 OutputMode mode = OutputMode::stream) {
  StartTask order = bench.script(index, source);
  order.task.output = mode;
  return order;
}

}  // namespace

TEST_CASE("streamed output is in the node's file when the task has ended, and its folder has gone") {
  Bench bench(SpawnerKind::real);
  const auto order = script(bench, 0, "echo out; echo err >&2; echo more > /dev/stdout");
  const auto end = bench.run(order);
  CHECK(end.outcome == Outcome::done);
  CHECK(streamed(bench, order) == "out\nmore\n");
  CHECK(streamed(bench, order, true) == "err\n");
  CHECK(bench.until([&] { return !fs::exists(bench.folder_of(order).parent_path()); }));
}

TEST_CASE("a task that writes nothing leaves nothing behind") {
  Bench bench(SpawnerKind::real);
  auto order = bench.command(0, {"true"});
  order.task.output = OutputMode::stream;
  CHECK(bench.run(order).outcome == Outcome::done);
  CHECK(streamed(bench, order).empty());
  CHECK(bench.until([&] { return !fs::exists(bench.folder_of(order).parent_path()); }));
  CHECK((!fs::exists(paths_of(bench).output(node_rank)) || fs::file_size(paths_of(bench).output(node_rank)) == 0));
}

TEST_CASE("a folder in which a task has left something stays") {
  Bench bench(SpawnerKind::real);
  const auto order = script(bench, 0, "echo result > result");
  CHECK(bench.run(order).outcome == Outcome::done);
  CHECK(test::read(bench.folder_of(order) / "result") == "result\n");
  CHECK(bench.until([&] { return !fs::exists(bench.folder_of(order) / "script"); }));
}

TEST_CASE("what a task has written is readable while it runs") {
  Bench bench(SpawnerKind::real);
  const auto order = script(bench, 0, "echo early; until test -e go; do sleep 0.02; done; echo late");
  bench.agent->on_message(order);
  CHECK(bench.until([&] { return streamed(bench, order) == "early\n"; }));
  CHECK(bench.sent<TaskEnded>().empty());
  test::write(bench.folder_of(order) / "go", "");
  REQUIRE(bench.until_ended(0));
  CHECK(streamed(bench, order) == "early\nlate\n");
}

TEST_CASE("more than a pipe holds comes through as it was, beside others, whatever its bytes") {
  Bench bench(SpawnerKind::real);
  // 40 MiB of binary numbers; the others write a line each meanwhile.
  const std::string_view big =
      "exec python3 -c 'import sys, array\n"
      "for i in range(40): sys.stdout.buffer.write(array.array(\"I\", range(i << 18, (i + 1) << 18)).tobytes())'";
  const auto chatty = script(bench, 0, big);
  bench.agent->on_message(chatty);
  std::vector<StartTask> quiet;
  for (std::uint32_t i = 1; i <= 40; ++i) {
    quiet.push_back(script(bench, i, "echo line $TRIREME_TASK_ID"));
    bench.agent->on_message(quiet.back());
  }
  REQUIRE(bench.until([&] { return bench.sent<TaskEnded>().size() == 41; }));
  for (const StartTask& order : quiet) CHECK(streamed(bench, order) == "line " + order.task.id + "\n");
  const std::string bytes = streamed(bench, chatty);
  REQUIRE(bytes.size() == 40u << 20);
  std::uint32_t wrong = 0;
  for (std::uint32_t i = 0; i < 40u << 18; ++i) {
    std::uint32_t value = 0;
    bytes.copy(reinterpret_cast<char*>(&value), sizeof value, std::size_t{i} * sizeof value);
    if (value != i) ++wrong;
  }
  CHECK(wrong == 0);
}

TEST_CASE("the ranks of a task are told apart") {
  Bench bench(SpawnerKind::real);
  auto order = script(bench, 0, "echo rank $TRIREME_RANK");
  order.task.ranks = order.local_ranks = 3;
  CHECK(bench.run(order).outcome == Outcome::done);
  for (std::uint32_t rank = 0; rank < 3; ++rank) {
    CHECK(streamed(bench, order, false, rank) == "rank " + std::to_string(rank) + "\n");
  }
}

TEST_CASE("files that a task names for its output are written in every mode") {
  Bench bench(SpawnerKind::real);
  for (const OutputMode mode : {OutputMode::files, OutputMode::stream, OutputMode::none}) {
    auto order = script(bench, static_cast<std::uint32_t>(mode), "echo out", mode);
    order.task.stdout_to = test::text("named.txt");
    CHECK(bench.run(order).outcome == Outcome::done);
    CHECK(test::read(bench.folder_of(order) / "named.txt") == "out\n");
  }
}

TEST_CASE("a cancelled task's output is kept, and what it wrote last too") {
  Bench bench(SpawnerKind::real);
  const auto order = script(bench, 0, "trap 'echo bye; exit 1' TERM; echo up; while true; do sleep 0.02; done");
  bench.agent->on_message(order);
  REQUIRE(bench.until([&] { return streamed(bench, order) == "up\n"; }));
  bench.agent->on_message(CancelTask{order.id, "enough"});
  REQUIRE(bench.until_ended(0));
  CHECK(streamed(bench, order) == "up\nbye\n");
}

TEST_CASE("output that is thrown away is said to be when the task fails") {
  Bench bench(SpawnerKind::real);
  const auto good = script(bench, 0, "echo out", OutputMode::none);
  CHECK(bench.run(good).outcome == Outcome::done);
  CHECK(bench.until([&] { return !fs::exists(bench.folder_of(good).parent_path()); }));
  const auto bad = bench.run(script(bench, 1, "echo trouble >&2; exit 3", OutputMode::none));
  CHECK(bad.outcome == Outcome::failed);
  CHECK(bad.reason ==
        "exit code 3; its output was not kept: run it with `output: files`, or with --output files, to see it");
}

TEST_CASE("a full disk fails the task whose output is lost, and says so; others are not touched") {
  if (!fs::exists("/dev/full")) return;
  Bench bench(SpawnerKind::real);
  const RunPaths paths = paths_of(bench);
  fs::create_directories(paths.node(node_rank));
  fs::create_symlink("/dev/full", paths.output(node_rank));
  const auto full = bench.run(script(bench, 0, "echo out"));
  CHECK(full.outcome == Outcome::failed);
  CHECK(full.reason.find("its output could not be kept") == 0);
  CHECK(full.reason.find("No space left on device") != std::string::npos);
  CHECK(full.reason.find(paths.output(node_rank).string()) != std::string::npos);
  CHECK(bench.run(script(bench, 1, "exit 0")).outcome == Outcome::done);
}
