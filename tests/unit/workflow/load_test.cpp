#include "workflow/load.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/defaults.hpp"

namespace {

using namespace trireme;
namespace fs = std::filesystem;

/// A folder for the time of a test.
class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "trireme-workflow-XXXXXX").string();
    REQUIRE_NE(mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  ~Folder() { fs::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  fs::path write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
    return path_ / name;
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

LoadResult load(const std::string& text, const std::vector<std::string>& settings = {}) {
  return load_workflow_text(text, "f.yaml", "/flow", settings);
}

std::vector<TaskDescription> tasks_of(const LoadResult& result) {
  std::vector<TaskDescription> out;
  for (const TaskFamily& family : result.workflow.tasks) {
    for (std::uint32_t i = 0; i < family.size(); ++i) out.push_back(family.instance(i));
  }
  return out;
}

std::string only_error(const LoadResult& result) {
  REQUIRE_EQ(result.errors.size(), 1);
  return result.errors.front().text();
}

}  // namespace

TEST_CASE("a file is loaded with its folder as workflow_dir, whatever way it is named") {
  const Folder folder;
  const auto file = folder.write("my flow.yaml", "tasks:\n  a: {command: [./x, \"{workflow_dir}\"]}\n");
  fs::create_directory(folder.path() / "sub");
  const auto detour = folder.path() / "sub" / ".." / file.filename();
  for (const auto& path : {file, detour, fs::relative(file)}) {
    const LoadResult result = load_workflow(path);
    REQUIRE(result.ok());
    CHECK_EQ(result.workflow.directory, folder.path().string());
    CHECK_EQ(result.workflow.name, "my-flow");
    const auto tasks = tasks_of(result);
    REQUIRE_EQ(tasks.size(), 1);
    CHECK_EQ(tasks[0].command[0].source(), folder.path().string() + "/x");
    CHECK_EQ(tasks[0].command[1].source(), folder.path().string());
  }
}

TEST_CASE("what cannot be read is an error that names it") {
  const Folder folder;
  const auto missing = folder.path() / "missing.yaml";
  CHECK_EQ(only_error(load_workflow(missing)), missing.string() + ": cannot be opened: No such file or directory");
  CHECK_EQ(only_error(load_workflow(folder.path())),
           folder.path().string() + ": this is a folder; name the workflow file in it");
  const auto empty = folder.write("empty.yaml", "");
  CHECK_EQ(only_error(load_workflow(empty)), empty.string() + ":1:1: the file is empty");
}

TEST_CASE("a file that is too long is refused before it is parsed") {
  const Folder folder;
  const auto file = folder.write("long.yaml", "");
  fs::resize_file(file, defaults::workflow_bytes + 1);  // sparse: it takes no space
  CHECK_EQ(only_error(load_workflow(file)), file.string() + ": the file is longer than 256M");
}

TEST_CASE("--set changes a parameter wherever it is used") {
  const std::string text =
      "parameters: {n: 1, seeds: [1], text: x}\n"
      "tasks:\n"
      "  a: {foreach: {s: \"{seeds}\"}, command: [run, \"{s}\", \"{text}\"], ranks: \"{n}\"}\n";
  const LoadResult result = load(text, {"n=3", "seeds=[4, 5]", "text=a b: {c}"});
  REQUIRE(result.ok());
  const auto tasks = tasks_of(result);
  REQUIRE_EQ(tasks.size(), 2);
  CHECK_EQ(tasks[1].id, "a[s=5]");
  CHECK_EQ(tasks[1].ranks, 3);
  CHECK_EQ(tasks[1].command[2], Template::literal("a b: {c}"));

  // One value for a list is a list of one; a quoted text is what YAML makes of it; the last setting counts.
  const LoadResult other = load(text, {"seeds=7", "text='it''s'", "n=2", "n=4"});
  REQUIRE(other.ok());
  const auto others = tasks_of(other);
  REQUIRE_EQ(others.size(), 1);
  CHECK_EQ(others[0].id, "a[s=7]");
  CHECK_EQ(others[0].ranks, 4);
  CHECK_EQ(others[0].command[2].source(), "it's");
}

TEST_CASE("a value that holds braces is text, and is not read again") {
  const LoadResult result = load(
      "parameters: {p: \"{{port}\"}\n"
      "services: {s: {command: [server, \"{p}\", \"{port}\"]}}\n");
  REQUIRE(result.ok());
  const auto& command = result.workflow.services[0].command;
  CHECK_EQ(command[1], Template::literal("{port}"));
  CHECK_EQ(command[2].open_names(), std::vector<std::string>{"port"});
}

TEST_CASE("twenty thousand instances load, and depend on each other by one name") {
  const LoadResult result = load(
      "tasks:\n"
      "  a: {foreach: {x: 1-200, y: 1-100}, command: [run, \"{x}\", \"{y}\"]}\n"
      "  b: {foreach: {x: 1-200}, command: \"true\", after: [a]}\n");
  REQUIRE(result.ok());
  CHECK_EQ(result.workflow.task_count(), 20'200);
  const auto tasks = tasks_of(result);
  REQUIRE_EQ(tasks.size(), 20'200);
  CHECK_EQ(tasks[100].id, "a[x=2,y=1]");
  CHECK_EQ(tasks.back().after, std::vector<std::string>{"a"});
}

TEST_CASE("too many tasks are an error at the one that is too many") {
  const std::string text =
      "tasks:\n"
      "  a: {foreach: {x: 1-10}, command: x}\n"
      "  b: {command: x}\n";
  CHECK(load_workflow_text(text, "f.yaml", "/flow", {}, 11).ok());
  CHECK_EQ(only_error(load_workflow_text(text, "f.yaml", "/flow", {}, 10)),
           "f.yaml:3:3: tasks.b: there are too many tasks; expected 10 at most");
}

TEST_CASE("a chain of many tasks is no cycle, and one more edge makes it one") {
  constexpr int length = 5'000;
  std::string text = "tasks:\n";
  for (int i = 1; i < length; ++i) {
    text += "  t" + std::to_string(i) + ": {command: x, after: t" + std::to_string(i - 1) + "}\n";
  }
  CHECK(load(text + "  t0: {command: x}\n").ok());
  const LoadResult cyclic = load(text + "  t0: {command: x, after: t4999}\n");
  REQUIRE_EQ(cyclic.errors.size(), 1);
  CHECK_NE(only_error(cyclic).find("tasks wait for each other: "), std::string::npos);
  CHECK_LT(only_error(cyclic).size(), 300);
}

TEST_CASE("every error is reported at once, in the order of the file") {
  const LoadResult result = load(
      "tasks:\n"
      "  a: {command: \"true\", retries: x, timeout: y}\n"
      "  b: {command: \"true\", after: [c], ranks: 0}\n"
      "  d: {command: \"true\", after: [e]}\n");
  REQUIRE_EQ(result.errors.size(), 4);
  CHECK_EQ(result.errors[0].key, "tasks.a.retries");
  CHECK_EQ(result.errors[1].key, "tasks.a.timeout");
  CHECK_EQ(result.errors[2].key, "tasks.b.ranks");
  CHECK_EQ(result.errors[3].key, "tasks.d.after[0]");
}

TEST_CASE("a diagnostic as JSON has its parts and the whole") {
  const LoadResult result = load("tasks:\n  a: {command: \"true\", retires: 1, memory: 8}\n");
  const auto json = nlohmann::json::parse(diagnostics_json(result));
  CHECK_FALSE(json.at("valid").get<bool>());
  REQUIRE_EQ(json.at("errors").size(), 1);
  const auto& error = json["errors"][0];
  CHECK_EQ(error.at("file"), "f.yaml");
  CHECK_EQ(error.at("line"), 2);
  CHECK_EQ(error.at("column"), 24);
  CHECK_EQ(error.at("key"), "tasks.a.retires");
  CHECK_EQ(error.at("message"), "unknown key");
  CHECK_EQ(error.at("hint"), "did you mean \"retries\"?");
  CHECK_EQ(error.at("text"), "f.yaml:2:24: tasks.a.retires: unknown key; did you mean \"retries\"?");
  REQUIRE_EQ(json.at("warnings").size(), 1);
  const auto good = nlohmann::json::parse(diagnostics_json(load("tasks: {a: {command: x}}")));
  CHECK(good.at("valid").get<bool>());
  CHECK(good.at("errors").empty());
}
