// The commands that read a run, on run directories that were written by the real writer.
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/command.hpp"
#include "cli/read/rundir.hpp"
#include "cli/read/tail.hpp"
#include "core/run_paths.hpp"
#include "journal/claim.hpp"
#include "journal/output_writer.hpp"
#include "journal/writer.hpp"
#include "story.hpp"

namespace trireme::cli {
namespace {

using namespace test;
namespace fs = std::filesystem;

struct Output {
  int exit_code = 0;
  std::string out;
  std::string err;
};

/// Types a command line.
Output type(std::vector<std::string> words) {
  std::ostringstream out;
  std::ostringstream err;
  Context context{out, err};
  CLI::App app("trireme");
  app.require_subcommand(1);
  add_status(app, context);
  add_explain(app, context);
  add_events(app, context);
  add_logs(app, context);
  add_services(app, context);
  std::reverse(words.begin(), words.end());  // as CLI11 wants it
  try {
    app.parse(words);
  } catch (const CLI::ParseError& error) {
    return {error.get_exit_code(), out.str(), error.what()};
  }
  return {to_int(context.exit_code), out.str(), err.str()};
}

/// A folder of runs, as ./trireme-runs is.
class Runs {
 public:
  Runs() {
    std::string name = (fs::temp_directory_path() / "trireme-test-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Runs() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  Runs(const Runs&) = delete;
  Runs& operator=(const Runs&) = delete;

  std::string write(const std::string& name, const Story& story, RunClaim claim) const {
    const RunPaths paths(path_ / name);
    REQUIRE(claim_run_dir(paths.root(), claim).ok());
    auto writer = JournalWriter::create(paths.events(), claim.run_id);
    REQUIRE(writer.ok());
    for (const Event& event : story.all()) REQUIRE((*writer)->record(event.body, event.time).ok());
    REQUIRE((*writer)->close().ok());
    return paths.root().string();
  }
  std::string write(const std::string& name, const Story& story) const {
    return write(name, story, this_process("run-1", "flow"));
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

/// The claim of a pilot that is no more.
RunClaim dead_claim() {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) ::_exit(0);
  REQUIRE(::waitpid(child, nullptr, 0) == child);
  RunClaim claim = this_process("run-1", "flow");
  claim.pid = child;
  return claim;
}

Story finished() {
  Story story;
  story.start()
      .node(0, "n0", {4, 0, 0})
      .declare(0, "llama", 1)
      .submit(0, "train[seed=1]")
      .submit(1, "collect", {"train"});
  story.replica({ServiceIndex{0}, 0, 0}, ReplicaState::starting, Duration(1'000'000), 7);
  story.replica({ServiceIndex{0}, 0, 0}, ReplicaState::ready, Duration(2'000'000));
  story.run(0).after(1).end(0, 0, 2, 0, "bad seed").change(0, TaskState::failed, "exit code 2: bad seed");
  story.change(1, TaskState::skipped, "train[seed=1] failed").add(events::RunEnded{RunState::failed, 1, ""});
  return story;
}

void put(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("a run is found by its path, by its name, and as the last one") {
  const Runs runs;
  RunClaim early = this_process("run-1", "a");
  early.started = 1;
  RunClaim late = this_process("run-2", "b");
  late.started = 2;
  const std::string newest = runs.write("aaa", Story(), late);
  const std::string oldest = runs.write("zzz", Story(), early);
  CHECK(find_run(oldest, runs.path())->string() == oldest);
  CHECK(find_run("zzz", runs.path())->string() == oldest);
  CHECK(find_run("last", runs.path())->string() == newest);
  const auto missing = find_run("zzy", runs.path());
  REQUIRE_FALSE(missing.ok());
  CHECK(missing.error().code == ExitCode::usage);
  CHECK(contains(missing.error().hint, "did you mean"));
  CHECK_FALSE(find_run("last", runs.path() / "nowhere").ok());
}

TEST_CASE("status tells people and scripts how a run stands") {
  const Runs runs;
  const std::string run = runs.write("r", finished());
  const Output text = type({"status", run});
  CHECK(text.exit_code == 0);
  CHECK(contains(text.out, "0 of 2 done, 1 failed, 1 skipped"));
  const Output machine = type({"status", run, "--json"});
  const auto json = nlohmann::json::parse(machine.out);
  CHECK(json["state"] == "failed");
  CHECK(json["tasks"]["failed"] == 1);
  CHECK(json["tasks"]["running"] == 0);
  CHECK(json["services"]["llama"]["ready"] == 0);
  CHECK(json["nodes_joined"][0]["host"] == "n0");
}

TEST_CASE("a run whose pilot is gone without a word is lost; one whose pilot lives is running") {
  const Runs runs;
  Story story;
  story.start().submit(0, "a").run(0);
  const std::string lost = runs.write("lost", story, dead_claim());
  const std::string live = runs.write("live", story);
  CHECK(nlohmann::json::parse(type({"status", lost, "--json"}).out)["state"] == "lost");
  CHECK(contains(type({"status", lost}).out, "ended without a word"));
  CHECK(nlohmann::json::parse(type({"status", live, "--json"}).out)["state"] == "running");
  CHECK(contains(type({"status", live}).out, "RUNNING"));
}

TEST_CASE("every reading command refuses a directory that is no run, with exit code 2") {
  for (const auto& words : std::vector<std::vector<std::string>>{{"status", "/nowhere"},
                                                                 {"explain", "/nowhere", "t"},
                                                                 {"events", "/nowhere"},
                                                                 {"logs", "/nowhere", "t"},
                                                                 {"services", "/nowhere"}}) {
    const Output output = type(words);
    CHECK(output.exit_code == 2);
    CHECK(output.out.empty());
    CHECK(output.err.starts_with("trireme: /nowhere"));
  }
}

TEST_CASE("explain shows why a task failed and the end of its stderr") {
  const Runs runs;
  const std::string run = runs.write("r", finished());
  put(RunPaths(run).attempt("train[seed=1]", 0) / "stderr", "first\nTraceback\nValueError: bad seed\n");
  const Output text = type({"explain", run, "train[seed=1]"});
  CHECK(text.exit_code == 0);
  CHECK(contains(text.out, "exit code 2: bad seed"));
  CHECK(contains(text.out, "| ValueError: bad seed"));
  CHECK(contains(text.out, "train%5Bseed=1%5D/0/stderr"));
  const auto json = nlohmann::json::parse(type({"explain", run, "train[seed=1]", "--json"}).out);
  CHECK(json["attempts"][0]["exit_code"] == 2);
  CHECK(json["stderr_tail"].size() == 3);
}

TEST_CASE("explain names no stderr where there is none, as of a function's call") {
  const Runs runs;
  const std::string run = runs.write("r", finished());
  CHECK(!contains(type({"explain", run, "train[seed=1]"}).out, "stderr:"));
}

TEST_CASE("explain of an unknown task proposes those that are near, with exit code 2") {
  const Runs runs;
  const std::string run = runs.write("r", finished());
  const Output typo = type({"explain", run, "colect"});
  CHECK(typo.exit_code == 2);
  CHECK(contains(typo.err, "did you mean collect?"));
  CHECK(contains(type({"explain", run, "train"}).err, "did you mean train[seed=1]?"));
}

TEST_CASE("events prints one JSON object per line, or writes a database") {
  const Runs runs;
  const Story story = finished();
  const std::string run = runs.write("r", story);
  std::istringstream lines(type({"events", run}).out);
  std::size_t count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    CHECK(nlohmann::json::parse(line).contains("event"));
  }
  CHECK(count == story.all().size());
  CHECK(type({"events", run, "--follow"}).out == type({"events", run}).out);
  const fs::path db = runs.path() / "run.db";
  CHECK(type({"events", run, "--sqlite", db.string()}).exit_code == 0);
  CHECK(fs::file_size(db) > 0);
  CHECK(type({"events", run, "--sqlite", (runs.path() / "no" / "run.db").string()}).exit_code == 4);
}

TEST_CASE("events --follow ends when the pilot is gone") {
  const Runs runs;
  Story story;
  story.start().submit(0, "a");
  const std::string run = runs.write("r", story, dead_claim());
  const Output output = type({"events", run, "--follow"});
  CHECK(output.exit_code == 0);
  CHECK(std::count(output.out.begin(), output.out.end(), '\n') == 2);
}

TEST_CASE("damage in the log is told, and the rest is used") {
  const Runs runs;
  const std::string run = runs.write("r", finished());
  const fs::path segment = RunPaths(run).events() / "00000000.log";
  std::fstream file(segment, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(100);
  file << "XXXX";
  file.close();
  const Output output = type({"status", run});
  CHECK(output.exit_code == 0);
  CHECK(contains(output.err, "00000000.log, offset"));
  CHECK(contains(output.out, "tasks"));
}

TEST_CASE("logs prints the output of the attempt or replica that was asked for") {
  const Runs runs;
  const std::string run = runs.write("r", finished());
  const RunPaths paths(run);
  put(paths.attempt("train[seed=1]", 0) / "stdout", "to out\n");
  put(paths.attempt("train[seed=1]", 0) / "stderr", "to err\n");
  put(paths.replica("llama", 0, 0) / "stdout", "served\n");
  CHECK(type({"logs", run, "train[seed=1]"}).out == "to out\n");
  CHECK(type({"logs", run, "train[seed=1]", "--stderr", "--attempt", "0"}).out == "to err\n");
  CHECK(type({"logs", run, "train[seed=1]", "--follow"}).out == "to out\n");
  CHECK(type({"logs", run, "llama"}).out == "served\n");
  CHECK(type({"logs", run, "llama", "--replica", "0"}).out == "served\n");
  CHECK(nlohmann::json::parse(type({"logs", run, "llama", "--json"}).out)["replica"] == 0);

  CHECK(type({"logs", run, "train[seed=1]", "--attempt", "9"}).exit_code == 2);
  CHECK(type({"logs", run, "llama", "--replica", "9"}).exit_code == 2);
  CHECK(type({"logs", run, "llama", "--stderr"}).exit_code == 2);
  CHECK(type({"logs", run, "train[seed=1]", "--replica", "0"}).exit_code == 2);
  CHECK(contains(type({"logs", run, "collect"}).err, "has not run"));
  CHECK(contains(type({"logs", run, "lama"}).err, "did you mean llama?"));
}

TEST_CASE("services shows each replica with its times") {
  const Runs runs;
  const std::string run = runs.write("r", finished());
  const Output text = type({"services", run});
  CHECK(contains(text.out, "SERVICE"));
  CHECK(contains(text.out, "0.002 s"));
  const auto json = nlohmann::json::parse(type({"services", run, "--json"}).out);
  CHECK(json[0]["service"] == "llama");
  CHECK(json[0]["lives"][0]["init_s"] == 0.002);
  CHECK(json[0]["lives"][0]["publish_s"].is_null());
  Story none;
  none.start();
  CHECK(contains(type({"services", runs.write("n", none)}).out, "no services"));
}

TEST_CASE("services tells why a replica was started again, also when it is ready again") {
  const Runs runs;
  Story story;
  story.start().node(0, "n0", {4, 0, 0}).declare(0, "llama", 1);
  story.replica({ServiceIndex{0}, 0, 0}, ReplicaState::ended, Duration(0), 0, "exit code 3 while it served");
  story.replica({ServiceIndex{0}, 0, 1}, ReplicaState::ready);
  const Output text = type({"services", runs.write("r", story)});
  CHECK(contains(text.out, "llama replica 0: exit code 3 while it served"));
  CHECK(contains(text.out, "0.1"));
}

TEST_CASE("a tail is the last whole lines") {
  CHECK(last_lines("a\nb\nc", 100, 2) == std::vector<std::string>{"b", "c"});
  CHECK(last_lines("a\nb\nc", 100, 9).size() == 3);
  CHECK(last_lines("", 100, 2).empty());
  CHECK(last_lines(std::string(94, 'x') + "\nlast\n", 100, 5) == std::vector<std::string>{"last"});
}

TEST_CASE("streamed output is shown as output in files is") {
  const Runs runs;
  const std::string run = runs.write("r", finished());
  const RunPaths paths(run);
  fs::create_directories(paths.attempt("train[seed=1]", 0));
  fs::create_directories(paths.node(0));
  const OutputSource out{path_of_id("train[seed=1]"), 0, 0, false};
  const OutputSource err{path_of_id("train[seed=1]"), 0, 0, true};
  const OutputSource other{path_of_id("other"), 0, 0, true};
  auto writer = OutputWriter::open(paths.output(0), paths.output_index(0));
  REQUIRE(writer.ok());
  REQUIRE(writer->append({{&out, "lo"}, {&other, "no"}, {&err, "Traceback\n"}, {&out, "ss 1\n"}}).ok());
  REQUIRE(writer->append({{&err, "ValueError: bad seed\n"}}).ok());
  CHECK(type({"logs", run, "train[seed=1]"}).out == "loss 1\n");
  CHECK(type({"logs", run, "train[seed=1]", "--stderr"}).out == "Traceback\nValueError: bad seed\n");
  CHECK(type({"logs", run, "train[seed=1]", "--rank", "1"}).out.empty());
  const Output text = type({"explain", run, "train[seed=1]"});
  CHECK(contains(text.out, "trireme logs " + run + " 'train[seed=1]' --stderr"));
  CHECK(contains(text.out, "    | ValueError: bad seed"));

  put(paths.output(0), "damage");
  const Output damaged = type({"logs", run, "train[seed=1]"});
  CHECK(contains(damaged.err, "2 pieces of it are damaged and left out"));
}

}  // namespace
}  // namespace trireme::cli
