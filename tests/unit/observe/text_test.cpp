// The summary, the explanations, the progress display and the export.
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <nlohmann/json.hpp>
#include <sstream>

#include "observe/explain.hpp"
#include "observe/progress.hpp"
#include "observe/summary.hpp"
#include "observe/wfformat.hpp"
#include "story.hpp"

namespace trireme::observe {
namespace {

using namespace test;

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

nlohmann::json exported(const RunView& view) {
  std::ostringstream out;
  write_wfformat(view, out);
  return nlohmann::json::parse(out.str());
}

std::string all_causes(const Explanation& why) {
  std::string out;
  for (const Cause& cause : why.causes) out += cause.name + " " + cause.detail + "\n";
  return out;
}

Story failed_run() {
  Story story;
  story.start(2).node(0, "n0", {4, 0, 0}).node(1, "n0", {4, 0, 0}).declare(0, "llama", 1);
  const ReplicaId replica{ServiceIndex{0}, 0, 0};
  story.replica(replica, ReplicaState::starting, Duration(5'000'000), 77);
  story.replica(replica, ReplicaState::ready, Duration(2'500'000'000));
  story.add(events::EpochPublished{1, Duration(1'000'000), {replica}});
  story.add(events::RequestsCounted{0, {ServiceIndex{0}, 12, 1, 0, {{0, 11, 0}}}});
  story.submit(0, "a b").submit(1, "next", {"a b"}).submit(2, "fine");
  story.run(0).after(1).end(0, 0, 3).change(0, TaskState::ready).run(0, 1).after(1);
  story.end(0, 1, 127, 0, "not found").change(0, TaskState::failed, "exit code 127: not found");
  story.change(1, TaskState::skipped, "a b failed").run(2).end(2).change(2, TaskState::done);
  story.after(1).add(events::RunEnded{RunState::failed, 1, ""});
  return story;
}

TEST_CASE("summary.json has every key that scripts rely on") {
  const Story story = failed_run();
  const auto json = nlohmann::json::parse(summary_json(story.view(), RunPaths("/runs/r"), story.now()));
  CHECK(json["name"] == "flow");
  CHECK(json["state"] == "failed");
  CHECK(json["exit_code"] == 1);
  CHECK(json["ranks"] == 2);
  CHECK(json["nodes"] == 1);
  CHECK(json["started"] == "2023-11-14T22:13:20.000Z");
  CHECK(json["seconds"] == 3.0);
  CHECK(json["tasks"] ==
        nlohmann::json{{"total", 3}, {"done", 1}, {"failed", 1}, {"cancelled", 0}, {"skipped", 1}, {"retried", 1}});
  const auto& service = json["services"]["llama"];
  CHECK(service["replicas"] == 1);
  CHECK(service["requests"] == 12);
  CHECK(service["failed"] == 1);
  CHECK(service["restarts"] == 0);
  CHECK(service["launch_s"] == 0.005);
  CHECK(service["init_s"] == 2.5);
  CHECK(service["publish_s"] == 0.001);
  CHECK(service["replica_requests"]["0"] == 11);
  CHECK(json["utilisation"]["cores"].is_number());
  CHECK(json["utilisation"]["gpus"] == 0.0);
  REQUIRE(json["failures"].size() == 1);
  CHECK(json["failures"][0]["task"] == "a b");
  CHECK(json["failures"][0]["exit_code"] == 127);
  CHECK(json["failures"][0]["attempts"] == 2);
  CHECK(json["failures"][0]["stderr"] == "/runs/r/tasks/a%20b/1/stderr");
}

TEST_CASE("numbers that were never measured are null, not zero") {
  Story story;
  story.start().declare(0, "s", 1);
  const auto json = nlohmann::json::parse(summary_json(story.view(), RunPaths("/r"), story.now()));
  CHECK(json["services"]["s"]["init_s"].is_null());
  CHECK(json["exit_code"].is_null());
  CHECK(json["state"] == "running");
}

TEST_CASE("the summary for people names the failure, its code and where its stderr lies") {
  const Story story = failed_run();
  const std::string text = summary_text(story.view(), RunPaths("/runs/r"), story.now());
  CAPTURE(text);
  CHECK(contains(text, "failed in 3.0s on 2 ranks, 1 node"));
  CHECK(contains(text, "1 of 3 done, 1 failed, 1 skipped, 1 retried"));
  CHECK(contains(text, "llama: 1 replica, 12 requests, 1 failed, ready in 2.5s"));
  CHECK(contains(text, "a b: exit code 127: not found"));
  CHECK(contains(text, "/runs/r/tasks/a%20b/1/stderr"));
  CHECK_FALSE(contains(text, "\x1b"));
}

TEST_CASE("of many failures a few are shown and all are counted") {
  Story story;
  story.start();
  for (std::uint32_t i = 0; i < 50; ++i) {
    story.submit(i, "t[" + std::to_string(i) + "]").run(i).end(i, 0, 1).change(i, TaskState::failed, "exit code 1");
  }
  const std::string text = summary_text(story.view(), RunPaths("/r"), story.now());
  CHECK(contains(text, "and 45 more; see /r/summary.json"));
  CHECK_FALSE(contains(text, "t[5]:"));
}

TEST_CASE("explain: a task that comes after others names those that are not done") {
  Story story;
  story.start().submit(0, "train[seed=1]").submit(1, "train[seed=2]").submit(2, "collect", {"train"});
  story.run(0).end(0).change(0, TaskState::done).run(1);
  const Explanation why = explain(story.view(), *story.view().find_task("collect"));
  CHECK(why.headline == "collect waits for 1 task that it comes after");
  REQUIRE(why.causes.size() == 1);
  CHECK(why.causes[0].name == "train[seed=2]");
  CHECK(why.causes[0].detail == "is running");
}

TEST_CASE("explain: a service that is not ready is named with its last error") {
  Story story;
  story.start().declare(0, "llama", 1).submit(0, "ask", {}, {"llama"});
  CHECK(contains(all_causes(explain(story.view(), *story.view().find_task("ask"))), "no replica was started yet"));
  story.replica({ServiceIndex{0}, 0, 0}, ReplicaState::starting, Duration(1), 5);
  story.replica({ServiceIndex{0}, 0, 0}, ReplicaState::ended, Duration(0), 0, "exit code 1: no such model");
  story.replica({ServiceIndex{0}, 0, 1}, ReplicaState::starting);
  const Explanation why = explain(story.view(), *story.view().find_task("ask"));
  CHECK(why.headline == "ask waits for 1 service to be ready");
  CHECK(contains(all_causes(why), "replica 0 is starting after 1 restart"));
  CHECK(contains(all_causes(why), "no such model"));
}

TEST_CASE("explain: a task that is ready says what it needs and what nodes have left") {
  Story story;
  story.start().node(0, "n000", {4, 0, 0}).submit(0, "small", {}, {}, 2).submit(1, "big", {}, {}, 4).run(0);
  story.change(1, TaskState::ready);
  const Explanation why = explain(story.view(), *story.view().find_task("big"));
  CHECK(why.headline == "big waits for resources");
  CHECK(contains(all_causes(why), "needs 4 cores; node 0 (n000) has 2 cores free"));
}

TEST_CASE("explain: a failed task says how, where and in which attempts") {
  const Story story = failed_run();
  const Explanation why = explain(story.view(), *story.view().find_task("a b"));
  CHECK(contains(why.headline, "a b failed on node 0 (n0): exit code 127: not found, after 2 attempts"));
  REQUIRE(why.attempts.size() == 2);
  CHECK(contains(why.attempts[0], "attempt 0 on node 0 (n0): exit code 3 after 1s"));
}

TEST_CASE("explain: a skipped task names what failed before it") {
  const Story story = failed_run();
  const Explanation why = explain(story.view(), *story.view().find_task("next"));
  CHECK(why.headline == "next was skipped: a b failed");
  CHECK(contains(all_causes(why), "a b failed (exit code 127: not found)"));
}

TEST_CASE("explain: an MPI task says by which method it was launched, and why") {
  Story story;
  story.start().node(0, "n0", {2, 0, 0}).submit(0, "wide");
  story.add(events::AttemptPlaced{{TaskIndex{0}, 0}, 0, 2});
  story.add(events::AttemptStarted{{TaskIndex{0}, 0}, 0, 100, story.now(), {0, 1}, {}, "pmix: the task says Open MPI"});
  const Explanation why = explain(story.view(), *story.view().find_task("wide"));
  REQUIRE(why.attempts.size() == 1);
  CHECK(contains(why.attempts[0], "launched by pmix: the task says Open MPI"));
}

TEST_CASE("explain: what was not run when the run ended says so") {
  Story story;
  story.start().submit(0, "late").add(events::RunEnded{RunState::interrupted, 75, "SIGTERM"});
  const Explanation why = explain(story.view(), *story.view().find_task("late"));
  CHECK(why.headline == "late was not run: the run ended before");
  CHECK(contains(all_causes(why), "interrupted: SIGTERM"));
}

TEST_CASE("a signal is told with its name") {
  AttemptPart part;
  part.phase = AttemptPart::Phase::over;
  part.outcome = Outcome::failed;
  part.signal = 9;
  CHECK(describe_end(part) == "signal 9 (Killed)");
  part.reason = "the kernel's memory limit";
  CHECK(describe_end(part) == "signal 9 (Killed): the kernel's memory limit");
  part.reason = "ended by signal 9";
  CHECK(describe_end(part) == "ended by signal 9");
  part.reason = "ended by signal 9\nand the tail of a log";
  CHECK(describe_end(part) == "ended by signal 9");
}

class StringSink final : public TextSink {
 public:
  StringSink(std::string& out, bool terminal, std::size_t columns)
      : out_(out), terminal_(terminal), columns_(columns) {}
  void write(std::string_view text) override { out_ += text; }
  bool is_terminal() const override { return terminal_; }
  std::size_t width() const override { return columns_; }

 private:
  std::string& out_;
  bool terminal_;
  std::size_t columns_;
};

Progress progress_into(std::string& out, ProgressMode mode, bool terminal, bool no_color = false,
                       std::size_t columns = 200) {
  return {mode, std::make_unique<StringSink>(out, terminal, columns), no_color};
}

TEST_CASE("without a terminal there are plain lines, and only when something changed") {
  std::string out;
  Progress progress = progress_into(out, ProgressMode::automatic, false);
  Story story;
  story.start().submit(0, "a").submit(1, "b");
  progress.on_time(0, story.view());
  CHECK(out == "trireme: 0/2 done, 2 waiting\n");
  out.clear();
  progress.on_time(1 * second, story.view());
  progress.on_time(60 * second, story.view());
  CHECK(out.empty());
  story.run(0);
  progress.on_time(61 * second, story.view());
  CHECK(out.empty());  // too soon after the last look
  progress.on_time(70 * second, story.view());
  CHECK(out == "trireme: 0/2 done, 1 running, 1 waiting\n");
  story.end(0).change(0, TaskState::failed, "x");
  out.clear();
  progress.finish(71 * second, story.view());
  CHECK(contains(out, "1 failed"));
  CHECK_FALSE(contains(out, "\x1b"));
}

TEST_CASE("the bar is one line, redrawn at a bounded rate, and never wider than the terminal") {
  std::string out;
  Progress progress = progress_into(out, ProgressMode::bar, true, true, 30);
  Story story;
  story.start().declare(0, "llama", 2).submit(0, "a");
  progress.on_time(0, story.view());
  CHECK(out.substr(0, 4) == "\r\x1b[K");
  CHECK(out.size() == 4 + 29);
  CHECK(contains(out, "0/1 done, 1 waiting"));  // and no meter in their place
  story.run(0);
  out.clear();
  progress.on_time(1'000'000, story.view());
  CHECK(out.empty());
  CHECK(progress.next_deadline(1'000'000) == 100'000'000);
  progress.on_time(100'000'000, story.view());
  CHECK_FALSE(out.empty());
  CHECK_FALSE(contains(out, "\n"));
  out.clear();
  progress.clear();
  CHECK(out == "\r\x1b[K");
  progress.finish(200'000'000, story.view());
  CHECK(out.back() == '\n');
}

TEST_CASE("colour is for terminals, and not where NO_COLOR is set") {
  Story story;
  story.start().submit(0, "a");
  for (const bool no_color : {false, true}) {
    std::string out;
    progress_into(out, ProgressMode::bar, true, no_color).on_time(0, story.view());
    CHECK(contains(out, "\x1b[32m") == !no_color);
  }
}

TEST_CASE("no progress writes nothing at all") {
  std::string out;
  Progress progress = progress_into(out, ProgressMode::none, true);
  Story story;
  story.start().submit(0, "a");
  progress.on_time(0, story.view());
  progress.finish(1, story.view());
  progress.clear();
  CHECK(out.empty());
}

TEST_CASE("a warning is told at once, on lines of its own") {
  std::string out;
  progress_into(out, ProgressMode::plain, false).warn("replica 0 is started again: exit code 3\nno such model");
  CHECK(out == "trireme: warning: replica 0 is started again: exit code 3\ntrireme:   no such model\n");
  out.clear();
  progress_into(out, ProgressMode::none, false).warn("nobody wants to know");
  CHECK(out.empty());
}

TEST_CASE("whoever does not read standard error does not stop the run") {
  std::array<int, 2> pipe{};
  REQUIRE(::pipe2(pipe.data(), O_CLOEXEC) == 0);
  const int before = ::dup(STDERR_FILENO);
  ::dup2(pipe[1], STDERR_FILENO);
  StderrSink sink;
  sink.write("first words");
  sink.write(std::string(1 << 20, 'x'));  // more than any pipe holds: returns all the same
  sink.write("and more");
  ::dup2(before, STDERR_FILENO);
  std::array<char, 11> read{};
  CHECK(::read(pipe[0], read.data(), read.size()) == 11);
  CHECK(std::string(read.data(), read.size()) == "first words");
  for (const int fd : {pipe[0], pipe[1], before}) ::close(fd);
}

TEST_CASE("a part of an attempt is told with the node of its own time") {
  Story story;
  story.start().node(0, "old", {4, 0, 0}).submit(0, "early").submit(1, "late");
  story.run(0).after(1).end(0, 0, 3).change(0, TaskState::failed);
  story.start().node(0, "new", {8, 0, 0}).submit(0, "early").submit(1, "late").run(1).after(2).end(1);
  story.change(1, TaskState::done);
  CHECK(contains(explain(story.view(), *story.view().find_task("early")).attempts.at(0), "node 0 (old)"));
  const auto json = exported(story.view());
  const auto& execution = json["workflow"]["execution"];
  CHECK(execution["tasks"][0]["machines"] == nlohmann::json{"old"});
  CHECK(execution["tasks"][1]["machines"] == nlohmann::json{"new"});
  CHECK(execution["machines"].size() == 2);  // whoever names a machine finds it among them
}

TEST_CASE("an export tells each dependency from both ends, by ids that WfFormat allows") {
  Story story;
  story.start()
      .submit(0, "a[i=1]")
      .submit(1, "a[i:1]")
      .submit(2, "b c", {"a", "a[i=1]"})
      .submit(3, "\xFF", {"b c", "\xFF"});
  const auto tasks = exported(story.view())["workflow"]["specification"]["tasks"];
  REQUIRE(tasks.size() == 4);
  CHECK(tasks[0]["id"] == "a_i_1_");
  CHECK(tasks[1]["id"] == "a_i_1__2");
  CHECK(tasks[0]["children"] == nlohmann::json{"b_c"});
  CHECK(tasks[2]["parents"] == nlohmann::json{"a_i_1_", "a_i_1__2"});
  CHECK(tasks[2]["children"] == nlohmann::json{"_"});
  CHECK(tasks[3]["parents"] == nlohmann::json{"b_c"});
}

TEST_CASE("an exported program has a name") {
  Story story;
  story.start();
  for (const char* command : {"", " ", " true", "run  -x y"}) {
    events::TaskSubmitted task;
    task.id = task.name = "t" + std::to_string(story.view().tasks().size());
    task.task = TaskIndex{static_cast<std::uint32_t>(story.view().tasks().size())};
    task.command = command;
    story.add(std::move(task));
  }
  const auto json = exported(story.view());
  const auto& tasks = json["workflow"]["execution"]["tasks"];
  CHECK(!tasks[0].contains("command"));
  CHECK(!tasks[1].contains("command"));
  CHECK(tasks[2]["command"] == nlohmann::json{{"program", "true"}, {"arguments", nlohmann::json::array()}});
  CHECK(tasks[3]["command"]["program"] == "run");
}

TEST_CASE("the names of the displays are those of the command line") {
  CHECK(*parse_progress_mode("auto") == ProgressMode::automatic);
  CHECK(*parse_progress_mode("plain") == ProgressMode::plain);
  CHECK(parse_progress_mode("loud").error().code == ExitCode::usage);
}

TEST_CASE("progress tells the rate and the services") {
  std::string out;
  Progress progress = progress_into(out, ProgressMode::plain, false);
  Story story;
  story.start().declare(0, "llama", 2).submit(0, "a").submit(1, "b");
  progress.on_time(0, story.view());
  CHECK(contains(out, "replicas ready 0/2"));
  story.replica({ServiceIndex{0}, 0, 0}, ReplicaState::ready).change(0, TaskState::done).change(1, TaskState::done);
  progress.on_time(10 * second, story.view());
  CHECK(contains(out, "2/2 done, replicas ready 1/2, 0.2 tasks/s"));
  story.replica({ServiceIndex{0}, 0, 0}, ReplicaState::draining).replica({ServiceIndex{0}, 0, 0}, ReplicaState::ended);
  out.clear();
  progress.finish(20 * second, story.view());
  CHECK(contains(out, "2/2 done"));
  CHECK(!contains(out, "replicas"));
}

TEST_CASE("progress tells how long it may still take, once it knows") {
  std::string out;
  Progress progress = progress_into(out, ProgressMode::plain, false);
  Story story;
  story.start();
  for (std::uint32_t i = 0; i < 100; ++i) story.submit(i, "t" + std::to_string(i));
  progress.on_time(0, story.view());
  story.change(0, TaskState::done);
  progress.on_time(5 * second / 2, story.view());
  CHECK(!contains(out, "left"));
  story.change(1, TaskState::done);
  progress.on_time(100 * second, story.view());
  CHECK(contains(out, "2/100 done, 98 waiting"));
  CHECK(contains(out, ", 1h21m left\n"));
  for (std::uint32_t i = 2; i < 60; ++i) story.change(i, TaskState::done);
  progress.on_time(120 * second, story.view());
  CHECK(contains(out, ", 1m20s left\n"));
  for (std::uint32_t i = 60; i < 100; ++i) story.change(i, TaskState::failed);
  out.clear();
  progress.on_time(200 * second, story.view());
  CHECK(!contains(out, "left"));
}

}  // namespace
}  // namespace trireme::observe
