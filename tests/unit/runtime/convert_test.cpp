#include "runtime/convert.hpp"

#include <doctest/doctest.h>

using namespace trireme;

TEST_CASE("a task of the API becomes the description that the workflow file would give") {
  Task task;
  task.id = "train";
  task.command = {"./train", "--out", "{task_dir}"};
  task.gpus = 0.5;
  task.cores = 4;
  task.memory = 1 << 20;
  const auto described = describe(task);
  REQUIRE(described);
  CHECK(described->name == "train");
  CHECK(described->per_rank == Resources{4, 500, 1 << 20});
  CHECK(described->command.at(2).open_names() == std::vector<std::string>{"task_dir"});
}

TEST_CASE("mistakes in the API are usage errors that name the task or service") {
  Task nameless;
  nameless.command = {"true"};
  CHECK(!describe(nameless));

  Task both;
  both.id = "both";
  both.command = {"true"};
  both.script = "true";
  REQUIRE(!describe(both));
  CHECK(describe(both).error().where == "task both");
  CHECK(describe(both).error().code == ExitCode::usage);

  Task unknown;
  unknown.id = "unknown";
  unknown.command = {"echo", "{nothing}"};
  REQUIRE(!describe(unknown));
  CHECK(describe(unknown).error().what.find("{nothing}") != std::string::npos);

  Service empty;
  empty.name = "empty";
  CHECK(!describe(empty));
}
