// Tasks as real processes of a real spawner.
#include <doctest/doctest.h>

#include <csignal>
#include <filesystem>

#include "bench.hpp"
#include "launch/spawner/procfs.hpp"

using namespace trireme;
using test::Bench;
using test::read;
using test::SpawnerKind;
namespace fs = std::filesystem;

namespace {

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// Processes that carry this entry in their environment.
std::size_t count_marked(const std::string& entry) {
  std::size_t count = 0;
  for (const pid_t pid : procfs::all_processes()) {
    if (procfs::has_entry(procfs::environment_of(pid), entry)) ++count;
  }
  return count;
}

/// "NAME=value" from the environment of the first task's process. The kernel shows it a moment after the exec.
std::string entry_of_first(Bench& bench, std::string_view name) {
  std::string entry;
  REQUIRE(bench.until([&] {
    if (bench.sent<TaskStarted>().empty()) return false;
    const std::string block = procfs::environment_of(bench.sent<TaskStarted>()[0].pid);
    const auto value = procfs::value_in(block, name);
    if (value) entry = std::string(name) + "=" + std::string(*value);
    return value.has_value();
  }));
  return entry;
}

}  // namespace

TEST_CASE("a task that ends well is done, with its output in its folder and its usage counted") {
  Bench bench(SpawnerKind::real);
  const auto order = bench.script(0, "echo out; echo err >&2");
  const auto end = bench.run(order);
  CHECK(end.outcome == Outcome::done);
  CHECK(end.reason.empty());
  CHECK(end.started > 0);
  CHECK(end.ended >= end.started);
  CHECK(end.usage.max_rss > 0);
  CHECK(read(bench.folder_of(order) / "stdout") == "out\n");
  CHECK(read(bench.folder_of(order) / "stderr") == "err\n");
  CHECK(read(bench.folder_of(order) / "script") == "echo out; echo err >&2");
  REQUIRE(bench.sent<TaskStarted>().size() == 1);
  CHECK(bench.sent<TaskStarted>()[0].pid > 0);
}

TEST_CASE("how a task failed is told: exit code, signal, timeout") {
  Bench bench(SpawnerKind::real);
  const auto code = bench.run(bench.script(0, "exit 3"));
  CHECK(code.outcome == Outcome::failed);
  CHECK(code.exit_code == 3);
  CHECK(code.reason == "exit code 3");

  const auto crash = bench.run(bench.script(1, "kill -SEGV $$"));
  CHECK(crash.outcome == Outcome::failed);
  CHECK(crash.signal == SIGSEGV);
  CHECK(crash.exit_code == 128 + SIGSEGV);
  CHECK(crash.reason == "killed by signal 11 (SIGSEGV)");

  auto slow = bench.command(2, {"sleep", "600"});
  slow.task.timeout = std::chrono::milliseconds(100);
  const auto late = bench.run(slow);
  CHECK(late.outcome == Outcome::timeout);
  CHECK(late.reason == "ended after its timeout of 100ms");
}

TEST_CASE("a program that is not there is 127, one that cannot be run 126, each in words") {
  Bench bench(SpawnerKind::real);
  const auto missing = bench.run(bench.command(0, {"no-such-program", "x"}));
  CHECK(missing.outcome == Outcome::failed);
  CHECK(missing.exit_code == 127);
  CHECK(contains(missing.reason, "'no-such-program': not found in PATH"));
  CHECK(bench.sent<TaskStarted>().empty());

  test::write(bench.root.path() / "workflow/data.txt", "no program");
  const auto forbidden = bench.run(bench.command(1, {"./data.txt"}));
  CHECK(forbidden.exit_code == 126);
  CHECK(contains(forbidden.reason, "workflow/data.txt'"));

  const auto inside = bench.run(bench.script(2, "no-such-program"));
  CHECK(inside.exit_code == 127);
  CHECK(inside.reason.starts_with("exit code 127 (a program that it calls was not found, or a library of it)\n"));
  CHECK(inside.reason.ends_with("no-such-program: command not found"));  // of its stderr
}

TEST_CASE("a program named with a slash is found from the workflow's folder, and runs in the task's own") {
  Bench bench(SpawnerKind::real);
  test::write(bench.root.path() / "workflow/bin/tool", "#!/bin/sh\npwd\necho \"$@\"\n");
  fs::permissions(bench.root.path() / "workflow/bin/tool", fs::perms::owner_all);
  const auto order = bench.command(0, {"bin/tool", "{workflow_dir}/x", "{run_dir}", "{host}", "{task_dir}"});
  REQUIRE(bench.run(order).outcome == Outcome::done);
  const std::string root = bench.root.path().string();
  const std::string folder = bench.folder_of(order).string();
  CHECK(read(folder + "/stdout") == folder + "\n" + root + "/workflow/x " + root + "/run n003 " + folder + "\n");
}

TEST_CASE("stdin, stdout, stderr and cwd may be named, and stdout and stderr may be one file") {
  Bench bench(SpawnerKind::real);
  test::write(bench.root.path() / "in.txt", "line\n");
  auto order = bench.script(0, "cat; pwd; echo err >&2");
  order.task.stdin_from = test::text(bench.root.path().string() + "/in.txt");
  order.task.stdout_to = test::text("{run_dir}/logs/all.txt");
  order.task.stderr_to = order.task.stdout_to;
  order.task.cwd = test::text("{workflow_dir}");
  REQUIRE(bench.run(order).outcome == Outcome::done);
  const std::string root = bench.root.path().string();
  CHECK(read(root + "/run/logs/all.txt") == "line\n" + root + "/workflow\nerr\n");
}

TEST_CASE("a working folder or an input file that is not there is named") {
  Bench bench(SpawnerKind::real);
  auto nowhere = bench.command(0, {"true"});
  nowhere.task.cwd = test::text("/nowhere");
  const auto end = bench.run(nowhere);
  CHECK(end.outcome == Outcome::failed);
  CHECK(contains(end.reason, "cannot enter the folder /nowhere"));
  auto no_input = bench.command(1, {"cat"});
  no_input.task.stdin_from = test::text("missing");
  CHECK(contains(bench.run(no_input).reason, "missing as stdin"));
}

TEST_CASE("a task sees the runtime's variables, its own win, and an outer run's are gone") {
  Bench bench(SpawnerKind::real);
  bench.service_names = {"llama"};
  auto order = bench.command(0, {"env", "-0"});
  order.task.per_rank = {2, 0, 0};
  order.task.env = {{"OPENAI_API_KEY", test::text("mine")}, {"WHO", test::text("{task_id}/{rank}")}};
  REQUIRE(bench.run(order).outcome == Outcome::done);
  const std::string block = read(bench.folder_of(order) / "stdout");
  const std::string root = bench.root.path().string();
  for (const std::string& entry : std::vector<std::string>{
           "TRIREME_PROXY_URL=http://127.0.0.1:9999", "TRIREME_SOCKET=/nowhere/proxy", "TRIREME_TOKEN=control-token",
           "TRIREME_TASK_ID=t0", "TRIREME_RUN_DIR=" + root + "/run", "TRIREME_RANK=0", "TRIREME_RANKS=1",
           "TRIREME_CORES=2", "TRIREME_SERVICE_LLAMA_URL=http://127.0.0.1:9999/services/llama",
           "OPENAI_BASE_URL=http://127.0.0.1:9999/v1", "OLLAMA_HOST=http://127.0.0.1:9999", "OPENAI_API_KEY=mine",
           "WHO=t0/0"}) {
    CHECK_MESSAGE(procfs::has_entry(block, entry), entry);
  }
  CHECK(procfs::value_in(block, "TRIREME_ATTEMPT").value_or("").ends_with("/task/0/0/0"));
  CHECK(procfs::value_in(block, "no_proxy").value_or("").ends_with("127.0.0.1,localhost,::1"));
}

TEST_CASE("OMP_NUM_THREADS is the number of cores unless somebody has set it") {
  Bench bench(SpawnerKind::real);
  auto order = bench.script(0, "echo $OMP_NUM_THREADS");
  order.task.per_rank.cores = 3;
  REQUIRE(bench.run(order).outcome == Outcome::done);
  if (::getenv("OMP_NUM_THREADS") == nullptr) CHECK(read(bench.folder_of(order) / "stdout") == "3\n");
  auto own = bench.script(1, "echo $OMP_NUM_THREADS");
  own.task.env = {{"OMP_NUM_THREADS", test::text("17")}};
  REQUIRE(bench.run(own).outcome == Outcome::done);
  CHECK(read(bench.folder_of(own) / "stdout") == "17\n");
}

TEST_CASE("inputs come in, outputs go out, and a promised output that is missing is a failure") {
  Bench bench(SpawnerKind::real);
  test::write(bench.root.path() / "data.txt", "data");
  auto order = bench.script(0, "tr a-z A-Z < in.txt > out.txt");
  order.task.inputs = {{test::text(bench.root.path().string() + "/data.txt"), test::text("in.txt"), StagingMode::copy}};
  order.task.outputs = {{test::text("out.txt"), test::text("{run_dir}/results/{task_id}.txt"), StagingMode::copy}};
  REQUIRE(bench.run(order).outcome == Outcome::done);
  CHECK(read(bench.root.path() / "run/results/t0.txt") == "DATA");

  auto forgetful = bench.script(1, "true");
  forgetful.task.outputs = order.task.outputs;
  const auto end = bench.run(forgetful);
  CHECK(end.outcome == Outcome::failed);
  CHECK(end.exit_code == 0);
  CHECK(end.reason == "the promised output 'out.txt' is not there");

  auto failing = bench.script(2, "echo x > out.txt; exit 1");
  failing.task.outputs = order.task.outputs;
  CHECK(bench.run(failing).reason == "exit code 1");
  CHECK(!fs::exists(bench.root.path() / "run/results/t2.txt"));

  auto without = bench.script(3, "true");
  without.task.inputs = {{test::text("/nowhere/x"), test::text(""), StagingMode::copy}};
  CHECK(bench.run(without).reason == "the input '/nowhere/x' is not there");
}

TEST_CASE("a scratch folder is there for a task that names it, and gone after it") {
  Bench bench(SpawnerKind::real);
  const auto order = bench.script(0, "echo x > {scratch}/file; cat {scratch}/file; echo {scratch}");
  REQUIRE(bench.run(order).outcome == Outcome::done);
  const std::string out = read(bench.folder_of(order) / "stdout");
  REQUIRE(out.starts_with("x\n" + (bench.root.path() / "tmp").string()));
  CHECK(!fs::exists(out.substr(2, out.size() - 3)));
}

TEST_CASE("braces that are the script's own stay, and so does what the shell expands") {
  Bench bench(SpawnerKind::real);
  const auto order = bench.script(0, "A=1; echo '{unknown}' ${A} | awk '{print $1, $2}'");
  REQUIRE(bench.run(order).outcome == Outcome::done);
  CHECK(read(bench.folder_of(order) / "stdout") == "{unknown} 1\n");
}

TEST_CASE("an environment is made once and given to each task that names it") {
  Bench bench(SpawnerKind::real, {{"ml", Template::literal("echo made >> made.log; export ML_HOME=/opt/ml\n"
                                                           "PATH=/opt/ml/bin:$PATH; unset HOME; not_exported=1")}});
  for (const std::uint32_t i : {0u, 1u, 2u}) {
    auto order = bench.script(i, "echo $ML_HOME; echo ${HOME-none}; echo ${PATH%%:*}; echo ${not_exported-no}");
    order.task.environment = "ml";
    if (i == 2) order.task.env = {{"ML_HOME", test::text("mine")}};
    bench.agent->on_message(order);
  }
  for (const std::uint32_t i : {0u, 1u, 2u}) REQUIRE(bench.until_ended(i));
  CHECK(read(bench.root.path() / "workflow/made.log") == "made\n");
  for (const auto& end : bench.sent<TaskEnded>()) CHECK(end.end.outcome == Outcome::done);
  CHECK(read(bench.root.path() / "run/tasks/t0/0/stdout") == "/opt/ml\nnone\n/opt/ml/bin\nno\n");
  CHECK(read(bench.root.path() / "run/tasks/t2/0/stdout") == "mine\nnone\n/opt/ml/bin\nno\n");
}

TEST_CASE("what was given no GPU finds none, unless its environment shows it some") {
  Bench bench(SpawnerKind::real, {{"shown", Template::literal("export CUDA_VISIBLE_DEVICES=1")}});
  const auto found = [&](StartTask order) {
    CHECK(bench.run(order).outcome == Outcome::done);
    return read(bench.folder_of(order) / "stdout");
  };
  const std::string_view script = "echo \"${CUDA_VISIBLE_DEVICES-unset}\"";
  CHECK(found(bench.script(1, script)) == "\n");
  auto given = bench.script(2, script);
  given.task.per_rank.gpus = whole_gpu;
  CHECK(found(given) == "0\n");
  auto shown = bench.script(3, script);
  shown.task.environment = "shown";
  CHECK(found(shown) == "1\n");
}

TEST_CASE("an environment that cannot be made fails every task that names it, with the end of its output") {
  Bench bench(SpawnerKind::real, {{"bad", Template::literal("echo trying\nsource no-such-venv/activate")},
                                  {"exits", Template::literal("exit 0")}});
  for (const std::uint32_t i : {0u, 1u}) {
    auto order = bench.script(i, "true");
    order.task.environment = "bad";
    const auto end = bench.run(order);
    CHECK(end.outcome == Outcome::failed);
    CHECK(contains(end.reason, "the environment 'bad' could not be made: exit code 1\ntrying\n"));
    CHECK(contains(end.reason, "no-such-venv/activate"));
  }
  auto exits = bench.script(2, "true");
  exits.task.environment = "exits";
  CHECK(contains(bench.run(exits).reason, "a setup must not call exit"));
  auto unknown = bench.script(3, "true");
  unknown.task.environment = "nobody";
  CHECK(bench.run(unknown).reason == "the environment 'nobody' is not defined");
  CHECK(bench.sent<TaskStarted>().empty());
}

TEST_CASE("ranks without mpi run beside each other, each with files of its own") {
  Bench bench(SpawnerKind::real);
  auto order = bench.script(0, "echo $TRIREME_RANK of $TRIREME_RANKS; echo {rank} > out.{rank}");
  order.task.ranks = order.local_ranks = 3;
  order.task.outputs = {{test::text("out.{rank}"), test::text("{run_dir}/out/{rank}"), StagingMode::move}};
  REQUIRE(bench.run(order).outcome == Outcome::done);
  const auto folder = bench.folder_of(order);
  CHECK(read(folder / "stdout") == "0 of 3\n");
  CHECK(read(folder / "stdout.1") == "1 of 3\n");
  CHECK(read(folder / "stdout.2") == "2 of 3\n");
  CHECK(read(bench.root.path() / "run/out/2") == "2\n");
}

TEST_CASE("a cancelled task is gone with all its children") {
  Bench bench(SpawnerKind::real);
  bench.agent->on_message(bench.script(0, "sleep 600 & setsid sleep 600 & echo go; wait"));
  REQUIRE(bench.until([&] { return read(bench.root.path() / "run/tasks/t0/0/stdout") == "go\n"; }));
  const std::string mark = entry_of_first(bench, "TRIREME_ATTEMPT");
  REQUIRE(bench.until([&] { return count_marked(mark) == 3; }));
  bench.agent->on_message(CancelTask{{{0}, 0}, "enough"});
  REQUIRE(bench.until_ended(0));
  const auto end = bench.sent<TaskEnded>()[0].end;
  CHECK(end.outcome == Outcome::cancelled);
  CHECK(end.reason == "enough");
  CHECK(count_marked(mark) == 0);
}

TEST_CASE("shutting down leaves no process") {
  Bench bench(SpawnerKind::real);
  bench.agent->on_message(bench.script(0, "sleep 600 & wait"));
  const std::string mark = entry_of_first(bench, "TRIREME_RUN_ID");
  REQUIRE(bench.until([&] { return count_marked(mark) == 2; }));
  bench.agent->on_message(ShutdownAgent{});
  REQUIRE(bench.until([&] { return bench.agent->done(); }));
  CHECK(std::holds_alternative<AgentDone>(bench.messages.back()));
  CHECK(bench.sent<TaskEnded>().at(0).end.outcome == Outcome::cancelled);
  CHECK(count_marked(mark) == 0);
}

TEST_CASE("when the spawner is killed its tasks fail and the next ones run under a new one") {
  Bench bench(SpawnerKind::real);
  bench.agent->on_message(bench.command(0, {"sleep", "600"}));
  REQUIRE(bench.until([&] { return bench.sent<TaskStarted>().size() == 1; }));
  const auto stat = procfs::stat_of(bench.sent<TaskStarted>()[0].pid);
  REQUIRE(stat);
  ::kill(stat->parent, SIGKILL);
  REQUIRE(bench.until_ended(0));
  const auto end = bench.sent<TaskEnded>()[0].end;
  CHECK(end.outcome == Outcome::failed);
  CHECK(contains(end.reason, "the spawner died"));
  CHECK(bench.warnings.size() == 1);
  CHECK(bench.run(bench.script(1, "true")).outcome == Outcome::done);
}

TEST_CASE("an agent that is let go leaves no process") {
  std::string mark;
  {
    Bench bench(SpawnerKind::real);
    bench.agent->on_message(bench.command(0, {"sleep", "600"}));
    mark = entry_of_first(bench, "TRIREME_RUN_ID");
    REQUIRE(count_marked(mark) == 1);
  }
  CHECK(count_marked(mark) == 0);
}
