#include "workflow/wfformat.hpp"

#include <doctest/doctest.h>

#include <filesystem>

using namespace trireme;

namespace {

const char* modern = R"({
  "name": "small", "schemaVersion": "1.5",
  "workflow": {
    "specification": {
      "tasks": [
        {"name": "split", "id": "split_1", "parents": [], "children": ["work_1", "work_2"], "outputFiles": ["a"]},
        {"name": "work", "id": "work_1", "parents": ["split_1"], "children": [], "inputFiles": ["a"]},
        {"name": "work", "id": "work_2", "parents": [], "children": []}
      ],
      "files": [{"id": "a", "sizeInBytes": 7}]
    },
    "execution": {
      "makespanInSeconds": 12.5, "executedAt": "2026-01-01T00:00:00Z",
      "tasks": [
        {"id": "split_1", "runtimeInSeconds": 2.5, "coreCount": 2, "memoryInBytes": 4096, "machines": ["m"]},
        {"id": "work_1", "runtimeInSeconds": 10},
        {"id": "work_2", "runtimeInSeconds": 0.25, "coreCount": 1.5}
      ],
      "machines": [{"nodeName": "m", "cpu": {"coreCount": 4}}]
    }
  }
})";

const char* older = R"({
  "name": "old one", "schemaVersion": "1.3",
  "workflow": {
    "makespanInSeconds": 3, "executedAt": "2020",
    "tasks": [
      {"name": "first", "type": "compute", "runtime": 1, "cores": 4, "memory": 2,
       "files": [{"link": "output", "name": "x", "sizeInBytes": 1}]},
      {"name": "second", "type": "compute", "runtimeInSeconds": 2, "files": [{"link": "input", "name": "x", "sizeInBytes": 1}]},
      {"name": "third", "type": "compute", "runtimeInSeconds": 2, "parents": ["second"]}
    ]
  }
})";

std::string errors_of(std::string_view text) {
  std::string out;
  for (const Diagnostic& error : read_wfformat(text, "f.json").errors) out += error.text() + "\n";
  return out;
}

std::string with_tasks(const std::string& tasks) {
  return R"({"name": "n", "schemaVersion": "1.5", "workflow": {"specification": {"tasks": )" + tasks + "}}}";
}

}  // namespace

TEST_CASE("WfFormat is known by its content, and a workflow file in JSON is none") {
  CHECK(is_wfformat(modern));
  CHECK(is_wfformat(older));
  CHECK_FALSE(is_wfformat(R"({"name": "x", "tasks": {"a": {"command": "true"}}})"));
  CHECK_FALSE(is_wfformat("tasks: {}"));
  // Words in a workflow's texts make it none, and who leaves the version out has written one all the same.
  CHECK_FALSE(is_wfformat(R"({"tasks": {"a": {"script": "echo '{\"schemaVersion\": 1, \"workflow\": 2}'"}}})"));
  CHECK_FALSE(is_wfformat(R"({"name": "x", "tasks": {"workflow": {"command": "true"}}})"));
  CHECK(is_wfformat(R"({"name": "x", "workflow": {"tasks": []}})"));
  const std::string late = R"({"workflow": {"specification": {"tasks": []}}, "description": ")" +
                           std::string(100'000, 'x') + R"(", "schemaVersion": "1.6"})";
  CHECK(is_wfformat(late));
  const std::string marked = std::string("\xEF\xBB\xBF") + modern;  // as editors on Windows begin a file
  CHECK(is_wfformat(marked));
  CHECK(read_wfformat(marked, "f.json").ok());
}

TEST_CASE("WfFormat 1.5: parents and children are one order, runtimes and cores come from the execution") {
  const WfInstance instance = read_wfformat(modern, "f.json");
  REQUIRE_MESSAGE(instance.ok(), errors_of(modern));
  REQUIRE(instance.tasks.size() == 3);
  CHECK(instance.makespan == 12.5);
  CHECK(instance.tasks[0].cores == 2);
  CHECK(instance.tasks[0].memory == 4096);
  CHECK(instance.tasks[1].parents == std::vector<std::uint32_t>{0});
  CHECK(instance.tasks[2].parents == std::vector<std::uint32_t>{0});  // only the parent says so
  CHECK(instance.tasks[2].cores == 2);
  CHECK(instance.tasks[2].runtime == 0.25);
}

TEST_CASE("WfFormat before 1.5: one list of tasks, an order by files where nothing else tells it") {
  const WfInstance instance = read_wfformat(older, "f.json");
  REQUIRE_MESSAGE(instance.ok(), errors_of(older));
  CHECK(instance.tasks[0].cores == 4);
  CHECK(instance.tasks[0].memory == 2048);
  CHECK(instance.tasks[1].parents == std::vector<std::uint32_t>{0});
  CHECK(instance.tasks[2].parents == std::vector<std::uint32_t>{1});
}

TEST_CASE("WfFormat: instances as they are published, of each version and from several systems") {
  struct Case {
    const char* file;
    const char* tasks;  ///< in the order of the replay: id, seconds, cores, what it comes after
  };
  for (const Case& c : {
           Case{"pegasus-1.0.json",
                "baseline_ID0000001 12.160000 1; cycles_ID0000002 1.497000 1 < baseline_ID0000001; "
                "parser_ID0000003 0.050000 1 < baseline_ID0000001 cycles_ID0000002; "},
           Case{"makeflow-1.4.json",
                "ID000001 0.054000 1; ID000002 9.800000 1 < ID000001; ID000003 9.100000 1 < ID000001; "
                "ID000004 0.000000 1 < ID000002 ID000003; "},
           Case{"nextflow-1.5.json",
                "NFCORE.SRA.IDS_4 0.000000 1; NFCORE.SRA.FTP_11 5.000000 6 < NFCORE.SRA.IDS_4; NFCORE.SRA.IDS_9 "
                "0.000000 1; "},
           Case{"ro-crate-1.6.json",
                "SAREK:PREPARE:TABIX__wgs.hg38__ID0000001 11.100000 1; SAREK:CALL__HG00096__ID36028797018963968 "
                "37920.000000 24 < "
                "SAREK:PREPARE:TABIX__wgs.hg38__ID0000001; "},
           Case{"dask-sample.json", "hello 0.000000 1; world 0.000000 1; hello-world 0.000000 1 < hello world; "},
       }) {
    CAPTURE(c.file);
    const auto path = std::filesystem::path(TRIREME_SOURCE_DIR) / "tests/unit/workflow/instances" / c.file;
    const LoadResult replay = load_workflow(path);
    for (const Diagnostic& error : replay.errors) FAIL_CHECK(error.text());
    std::string tasks;
    for (const TaskFamily& family : replay.workflow.tasks) {
      const TaskDescription& task = family.shared();
      tasks += task.id + " " + task.command.back().source() + " " + std::to_string(task.per_rank.cores);
      for (std::size_t i = 0; i < task.after.size(); ++i) tasks += (i == 0 ? " < " : " ") + task.after[i];
      tasks += "; ";
    }
    CHECK(tasks == c.tasks);
  }
}

TEST_CASE("WfFormat: a list of parents or children may name nothing") {
  const std::string text = with_tasks(R"([
    {"id": "a", "parents": [""], "children": ["b", ""]},
    {"id": "b", "parents": null, "children": [""]}])");
  const WfInstance instance = read_wfformat(text, "f.json");
  REQUIRE_MESSAGE(instance.ok(), errors_of(text));
  CHECK(instance.tasks[0].parents.empty());
  CHECK(instance.tasks[1].parents == std::vector<std::uint32_t>{0});
}

TEST_CASE("WfFormat: an id may be a number, and so may a version") {
  const std::string text = R"({"schemaVersion": 1.5, "workflow": {
    "specification": {"tasks": [{"name": "a", "id": -7, "parents": [], "children": [12]},
                                {"name": "b", "id": "12", "parents": ["-7"], "children": []}]},
    "execution": {"tasks": [{"id": 12, "runtimeInSeconds": 3}]}}})";
  const WfInstance instance = read_wfformat(text, "f.json");
  REQUIRE_MESSAGE(instance.ok(), errors_of(text));
  CHECK(instance.version == "1.5");
  CHECK(instance.tasks[0].id == "-7");
  CHECK(instance.tasks[1].runtime == 3);
  CHECK(instance.tasks[1].parents == std::vector<std::uint32_t>{0});
  CHECK(errors_of(with_tasks(R"([{"id": "a", "parents": ["a", true]}])"))
            .find("parents[1]: this is a truth value, and no name") != std::string::npos);
}

TEST_CASE("WfFormat: ids of any letters and length stay as they are in the replay") {
  const std::string odd = "FLOW:PART:STEP__a (b).gz__#task/" + std::string(300, 'f');
  const std::string text = with_tasks(R"([{"name": "s", "id": ")" + odd + R"(", "parents": [], "children": ["../b"]},
                                          {"name": "s", "id": "../b", "parents": [], "children": []}])");
  const LoadResult replay = replay_of(read_wfformat(text, "f.json"), 1, "/dir");
  REQUIRE(replay.ok());
  CHECK(replay.workflow.tasks[0].id(0) == odd);
  CHECK(replay.workflow.tasks[1].shared().after == std::vector<std::string>{odd});
}

TEST_CASE("WfFormat: what is wrong is told with its key") {
  CHECK(errors_of("{").find("no JSON") != std::string::npos);
  CHECK(errors_of(R"({"schemaVersion": "1.5"})").find("workflow: this is missing") != std::string::npos);
  CHECK(errors_of(with_tasks("{}")).find("workflow.specification.tasks: this is an object") != std::string::npos);
  CHECK(errors_of(with_tasks("[]")).find("no tasks") != std::string::npos);
  CHECK(errors_of(with_tasks(R"([{"id": "a", "parents": ["b"]}])")).find("tasks[0].parents: there is no task \"b\"") !=
        std::string::npos);
  CHECK(errors_of(with_tasks(R"([{"id": "a"}, {"id": "a"}])")).find("already a task") != std::string::npos);
  CHECK(errors_of(with_tasks(R"([{"id": "a", "parents": ["b"]}, {"id": "b", "parents": ["a"]}])"))
            .find("wait for each other") != std::string::npos);
  CHECK(errors_of(R"({"schemaVersion": "1.4", "workflow": {"tasks": [{"name": "a", "runtimeInSeconds": -1}]}})")
            .find("below 0") != std::string::npos);
}

TEST_CASE("WfFormat: what is wrong is told with its place") {
  // Lines and columns, in characters: of the value, or, where it is missing, of what it is missing in.
  const std::string text = R"({
  "name": "é", "schemaVersion": "1.5", "workflow": {"specification": {"tasks": [
    {"id": "a\\\"b", "parents": []},
    {"name": "x", "id": "x", "parents": ["é\"", {"y": [1]}], "children": []},
    {"id": "b", "parents": [],
     "children": ["nobody"]}, 17
  ]}, "execution": {"tasks": [
    {"id": "x", "runtimeInSeconds":-0.5e1},
    {"id": "b", "runtimeInSeconds":
       true, "coreCount": "4" }]}}})";
  CHECK(
      errors_of(text) ==
      "f.json:4:49: workflow.specification.tasks[1].parents[1]: this is an object, and no name; expected a list of "
      "names\n"
      "f.json:6:31: workflow.specification.tasks[3]: this is no task; expected an object with a name\n"
      "f.json:8:36: workflow.execution.tasks[0].runtimeInSeconds: this is below 0; expected a number of at least 0\n"
      "f.json:10:8: workflow.execution.tasks[1].runtimeInSeconds: this is no number; expected a number of at least 0\n"
      "f.json:10:27: workflow.execution.tasks[1].coreCount: this is no number; expected a number of at least 0\n");
  const std::string missing = "\xEF\xBB\xBF{\"schemaVersion\": \"1.5\",\n \"workflow\": {\"specification\": {}}}";
  CHECK(errors_of(missing) == "f.json:2:32: workflow.specification.tasks: this is missing; expected a list of tasks\n");
  CHECK(errors_of(R"("text")") ==
        "f.json:1:1: workflow: this is missing; expected an object with a specification or tasks\n");
  CHECK(errors_of(R"({"schemaVersion": "1.5"})").find("f.json:1:1: workflow: this is missing") == 0);
  // A text that is no JSON, and where that shows.
  CHECK(errors_of("{\"workflow\": {\n  \"tasks\": [1, 2,]}}") ==
        "f.json:2:18: this is no JSON: unexpected ']'; expected '[', '{', or a literal\n");
  CHECK(errors_of("{\"workflow\": {\"runtime\": NaN}}").find("f.json:1:26: this is no JSON: invalid literal") == 0);
  CHECK(errors_of("{\"workflow\":").find("unexpected end of input") != std::string::npos);
  CHECK(errors_of("").find("unexpected end of input") != std::string::npos);
}

TEST_CASE("WfFormat: in a long line places are found in time that grows with its length") {
  std::string tasks = "[";
  for (int i = 0; i < 200'000; ++i) tasks += (i > 0 ? ",{\"id\":\"" : "{\"id\":\"") + std::to_string(i) + "\"}";
  tasks += ",{}]";
  CHECK(errors_of(with_tasks(tasks)).find("tasks[200000]: there is neither an id nor a name") != std::string::npos);
}

TEST_CASE("WfFormat before 1.5: files that are written anew make no circle") {
  const std::string text = R"({"schemaVersion": "1.4", "workflow": {"tasks": [
    {"name": "update", "parents": ["make"], "files": [{"link": "input", "name": "db"}, {"link": "output", "name": "db"}]},
    {"name": "make", "parents": [], "files": [{"link": "input", "name": "db"}, {"link": "input", "name": "list"}]},
    {"name": "list", "parents": [], "files": [{"link": "output", "name": "list"}]}]}})";
  const WfInstance instance = read_wfformat(text, "f.json");
  REQUIRE_MESSAGE(instance.ok(), errors_of(text));
  CHECK(instance.tasks[0].parents == std::vector<std::uint32_t>{1});
  CHECK(instance.tasks[1].parents == std::vector<std::uint32_t>{2});
}

TEST_CASE("WfFormat: a task that ran on several machines is replayed on as many nodes") {
  const std::string text = R"({"schemaVersion": "1.5", "workflow": {
    "specification": {"tasks": [{"id": "wide"}, {"id": "narrow"}, {"id": "odd"}]},
    "execution": {"tasks": [{"id": "wide", "runtimeInSeconds": 1, "coreCount": 7, "machines": ["a", "b", "b"]},
                            {"id": "narrow", "runtimeInSeconds": 1, "machines": ["a", "b"]},
                            {"id": "odd", "runtimeInSeconds": 1, "coreCount": 2, "machines": "a"}]}}})";
  const LoadResult replay = replay_of(read_wfformat(text, "f.json"), 1, "/dir");
  REQUIRE_MESSAGE(replay.ok(), errors_of(text));
  const TaskDescription& wide = replay.workflow.tasks[0].shared();
  CHECK(wide.ranks == 3);
  CHECK(wide.per_rank.cores == 3);
  CHECK(replay.workflow.tasks[1].shared().ranks == 1);
  CHECK(replay.workflow.tasks[2].shared().per_rank.cores == 2);
}

TEST_CASE("WfFormat: tasks without a runtime are counted, and the longest replay has an end") {
  const std::string text = R"({"schemaVersion": "1.5", "workflow": {
    "specification": {"tasks": [{"id": "a"}, {"id": "b"}, {"id": "c"}]},
    "execution": {"tasks": [{"id": "a", "runtimeInSeconds": 1e300}, {"id": "b", "runtimeInSeconds": null}]}}})";
  const LoadResult replay = replay_of(read_wfformat(text, "f.json"), 1e6, "/dir");
  REQUIRE(replay.ok());
  CHECK(replay.runtimes[0] > std::chrono::hours(24) * 36'525);
  REQUIRE(replay.warnings.size() == 1);
  CHECK(replay.warnings[0].text() == "f.json: the runtime of 2 of its 3 tasks is not told; they take no time");
  CHECK(replay_of(read_wfformat(modern, "f.json"), 1, "/dir").warnings.empty());
}

TEST_CASE("WfFormat: a replay sleeps as long as the tasks ran, times the scale") {
  const LoadResult replay = replay_of(read_wfformat(modern, "f.json"), 0.1, "/dir");
  REQUIRE(replay.ok());
  CHECK(replay.workflow.name == "small");
  CHECK(replay.workflow.tasks[1].shared().command[1].source() == "1.000000");
  REQUIRE(replay.runtimes.size() == replay.workflow.tasks.size());
  CHECK(replay.runtimes[1] == std::chrono::seconds(1));
  CHECK(replay.workflow.tasks[1].shared().after == std::vector<std::string>{"split_1"});
  CHECK(replay.workflow.tasks[1].shared().name == "work");
}

TEST_CASE("WfFormat: a replay's tasks have their names, but none that is another's id") {
  const std::string text = R"({"schemaVersion": "1.4", "workflow": {"tasks": [
    {"name": "get"}, {"name": "get"}, {"name": "use", "id": "u", "parents": ["get"]}]}})";
  std::string names;
  for (const TaskFamily& task : replay_of(read_wfformat(text, "f.json"), 1, "/dir").workflow.tasks) {
    names += task.shared().id + "=" + task.shared().name + " ";
  }
  CHECK(names == "get=get get_1=get_1 u=use ");
}

TEST_CASE("WfFormat: a replay starts first what has the longest chain behind it") {
  const std::string tasks = R"([
    {"id": "short", "parents": [], "children": []},
    {"id": "join", "parents": ["b"], "children": []},
    {"id": "a", "parents": [], "children": ["join"]},
    {"id": "b", "parents": ["a"], "children": []},
    {"id": "long", "parents": [], "children": []},
    {"id": "same", "parents": [], "children": []}])";
  const std::string ran = R"([
    {"id": "short", "runtimeInSeconds": 1}, {"id": "join", "runtimeInSeconds": 1}, {"id": "a", "runtimeInSeconds": 1},
    {"id": "b", "runtimeInSeconds": 1}, {"id": "long", "runtimeInSeconds": 2.5}, {"id": "same", "runtimeInSeconds": 1}])";
  const std::string text = R"({"workflow": {"specification": {"tasks": )" + tasks + R"(}, "execution": {"tasks": )" +
                           ran + R"(}}, "name": "n", "schemaVersion": "1.6"})";
  const LoadResult replay = replay_of(read_wfformat(text, "f.json"), 2, "/dir");
  REQUIRE(replay.ok());
  std::string order;
  for (const TaskFamily& task : replay.workflow.tasks) {
    order += task.id(0) + " ";
    CHECK(task.shared().priority == 0);
  }
  CHECK(order == "a long b short join same ");  // equal ones as in the file
  CHECK(replay.runtimes[1] == std::chrono::seconds(5));
}

TEST_CASE("WfFormat before 1.5: tasks are called jobs, and their times and links differ") {
  const std::string text = R"({"schemaVersion": "1.0", "workflow": {"makespan": 454.0, "jobs": [
    {"name": "make", "runtime": 12.5, "files": [{"link": "Output", "name": "x", "size": 7}]},
    {"name": "use", "runtime": 2, "files": [{"link": "Input", "name": "x", "size": 7}]}]}})";
  const WfInstance instance = read_wfformat(text, "f.json");
  REQUIRE_MESSAGE(instance.ok(), errors_of(text));
  CHECK(instance.makespan == 454);
  CHECK(instance.tasks[0].runtime == 12.5);
  CHECK(instance.tasks[1].parents == std::vector<std::uint32_t>{0});
}

TEST_CASE("WfFormat before 1.5: an id may be no more than a number behind the name that parents name") {
  const std::string text = R"({"schemaVersion": "1.4", "workflow": {"tasks": [
    {"name": "split_ID1", "id": "ID1", "parents": [], "children": ["work_ID2"]},
    {"name": "work_ID2", "id": "ID2", "parents": ["split_ID1"], "children": []}]}})";
  const WfInstance instance = read_wfformat(text, "f.json");
  REQUIRE_MESSAGE(instance.ok(), errors_of(text));
  CHECK(instance.tasks[0].id == "ID1");
  CHECK(instance.tasks[1].parents == std::vector<std::uint32_t>{0});
}

TEST_CASE("WfFormat before 1.5: names that are not unique, and empty lists of parents") {
  const std::string text = R"({"schemaVersion": "1.4", "workflow": {"tasks": [
    {"name": "get", "parents": [], "files": [{"link": "output", "path": "/d/", "name": "x"}]},
    {"name": "get", "parents": []},
    {"name": "use", "parents": ["get"]},
    {"name": "read", "parents": [], "children": [], "files": [{"link": "input", "path": "/d/", "name": "x"}]},
    {"name": "other", "parents": [], "files": [{"link": "input", "path": "/e/", "name": "x"}]}]}})";
  const WfInstance instance = read_wfformat(text, "f.json");
  REQUIRE_MESSAGE(instance.ok(), errors_of(text));
  REQUIRE(instance.tasks.size() == 5);
  CHECK(instance.tasks[1].id == "get_1");
  CHECK(instance.tasks[2].parents == std::vector<std::uint32_t>{0});
  CHECK(instance.tasks[3].parents == std::vector<std::uint32_t>{0});
  CHECK(instance.tasks[4].parents.empty());
}
