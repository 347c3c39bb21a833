#include "workflow/submission.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace trireme;

namespace {

workflow::Beyond run_with(std::vector<std::string> tasks, std::vector<std::string> services = {}) {
  const auto knows = [](std::vector<std::string> names) {
    return [names = std::move(names)](std::string_view name) {
      return std::find(names.begin(), names.end(), name) != names.end();
    };
  };
  return {knows(std::move(tasks)), knows(std::move(services)), {}};
}

std::string errors_of(std::string_view json, const workflow::Beyond& beyond = {}) {
  std::string out;
  for (const Diagnostic& error : load_submission(json, "/flow", beyond).errors) out += error.text() + "\n";
  return out;
}

}  // namespace

TEST_CASE("a submission has the keys of the workflow file, as a map of names") {
  const auto loaded = load_submission(
      R"({"tasks": {"train": {"command": ["./train", "--seed", "{seed}"], "foreach": {"seed": [1, 2]}, "cores": 4,
                              "timeout": "1h", "after": ["prepare"], "services": ["llama"]}}})",
      "/flow", run_with({"prepare"}, {"llama"}));
  REQUIRE(loaded.ok());
  REQUIRE(loaded.tasks.size() == 2);
  CHECK(loaded.tasks[1].id == "train[seed=2]");
  CHECK(loaded.tasks[1].name == "train");
  CHECK(loaded.tasks[1].command[0].source() == "/flow/train");
  CHECK(loaded.tasks[1].command[2].source() == "2");
  CHECK(loaded.tasks[1].per_rank.cores == 4);
  CHECK(loaded.tasks[1].after == std::vector<std::string>{"prepare"});
}

TEST_CASE("a list gives its tasks ids, and numbers those without a name so that the text can be read again") {
  const auto loaded = load_submission(R"({"tasks": [{"command": "true"}, {"name": "f", "id": "f[7]", "command": "true"},
                                    {"name": "g", "command": "true", "after": ["f[7]"]}, {"command": "true"}]})",
                                      "/flow", {}, 5);
  REQUIRE(loaded.ok());
  CHECK(loaded.tasks[0].id == "task[5]");
  CHECK(loaded.tasks[1].id == "f[7]");
  CHECK(loaded.tasks[1].name == "f");
  CHECK(loaded.tasks[2].id == "g");
  CHECK(loaded.tasks[3].id == "task[6]");
  CHECK(loaded.unnamed == 2);
  const auto again = load_submission(loaded.text, "/flow", {}, 99);
  REQUIRE(again.ok());
  CHECK(again.tasks == loaded.tasks);
}

TEST_CASE("mistakes in a submission are the loader's, with the key path as their place") {
  CHECK(errors_of(R"({"tasks": {"a": {"comand": "x"}}})").find("tasks.a.comand") != std::string::npos);
  CHECK(errors_of(R"({"tasks": {"a": {"command": "x", "retries": "many"}}})").find("tasks.a.retries") !=
        std::string::npos);
  CHECK(errors_of(R"({"tasks": {"a": {"command": "x", "after": ["nobody"]}}})").find("no task \"nobody\"") !=
        std::string::npos);
  CHECK(errors_of(R"({"tasks": {"a": {"command": "x", "services": ["no"]}}})").find("no service \"no\"") !=
        std::string::npos);
  CHECK(errors_of(R"({"tasks": [{"name": "a", "id": "x", "command": "x"}, {"id": "x", "command": "x"}]})")
            .find("two tasks have the id \"x\"") != std::string::npos);
  CHECK(errors_of(R"({"tasks": {"a": {"command": ["x", "y\u0000"]}}})").find("a zero byte") != std::string::npos);
  CHECK(errors_of(R"({"tasks": {"a": {"function": {"library": "x.so", "symbol": "f"}, "args": ["\u0000"]}}})").empty());
  CHECK(errors_of(R"({"tasks": [7]})").find("tasks[0]") != std::string::npos);
  CHECK(errors_of(R"({"tasks": {"a": {"command": "x", "after": ["b"]}, "b": {"command": "x", "after": ["a"]}}})")
            .find("wait for each other") != std::string::npos);
  CHECK(errors_of("{}").find("nothing to do") != std::string::npos);
  CHECK(errors_of(R"({"tasks": {"a": {}, "a": {}}})").find("twice") != std::string::npos);
  CHECK(errors_of(R"({"tasks": )").find("no JSON") != std::string::npos);
  CHECK(errors_of(std::string(1000, '[')).find("deep") != std::string::npos);
}

TEST_CASE("services come in the same way") {
  const auto loaded =
      load_submission(R"({"services": {"s": {"command": ["serve", "{port}"], "replicas": 2}}})", "/flow", {});
  REQUIRE(loaded.ok());
  REQUIRE(loaded.services.size() == 1);
  CHECK(loaded.services[0].replicas == 2);
}

TEST_CASE("a YAML text becomes JSON that means the same") {
  const auto json =
      json_of_document("tasks:\n  a:\n    command: [echo, \"1\"]\n    cores: 2\n    env: {X: yes}\n", "f.yaml");
  CHECK(json.errors.empty());
  CHECK(json.json == R"({"tasks":{"a":{"command":["echo","1"],"cores":2,"env":{"X":"yes"}}}})");
  CHECK_FALSE(json_of_document("a: [", "f.yaml").errors.empty());
}
