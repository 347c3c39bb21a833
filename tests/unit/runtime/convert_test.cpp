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
  const auto described = describe(task, "/home/me");
  REQUIRE(described);
  CHECK(described->name == "train");
  CHECK(described->per_rank == Resources{4, 500, 1 << 20});
  CHECK(described->command.at(2).open_names() == std::vector<std::string>{"task_dir"});
}

TEST_CASE("paths of the API are found as those of a workflow file, from the program's working folder") {
  Task task;
  task.id = "analyse";
  task.command = {"bin/analyse", "data/in"};
  task.inputs = {{"data/field.h5"}, {"{run_dir}/state", "start"}, {"https://host/model.bin?v=2"}};
  task.mpi = true;
  const auto described = describe(task, "/home/me");
  REQUIRE(described);
  CHECK(described->command.at(0).source() == "/home/me/bin/analyse");
  CHECK(described->command.at(1).source() == "data/in");
  CHECK(described->inputs.at(0).from.source() == "/home/me/data/field.h5");
  CHECK(described->inputs.at(0).to.source() == "field.h5");
  CHECK(described->inputs.at(1).from.source() == "{run_dir}/state");
  CHECK(described->inputs.at(2).to.source() == "model.bin");
  CHECK(described->inputs.at(2).mode == StagingMode::transfer);
  CHECK(described->mpi == MpiKind::automatic);

  task.command = {"analyse"};
  CHECK(describe(task, "/home/me")->command.at(0).source() == "analyse");
  task.inputs = {{"/"}};
  CHECK(!describe(task, "/home/me"));
}

TEST_CASE("mistakes in the API are usage errors that name the task or service") {
  Task nameless;
  nameless.command = {"true"};
  CHECK(!describe(nameless, "/home/me"));

  Task both;
  both.id = "both";
  both.command = {"true"};
  both.script = "true";
  REQUIRE(!describe(both, "/home/me"));
  CHECK(describe(both, "/home/me").error().where == "task both");
  CHECK(describe(both, "/home/me").error().code == ExitCode::usage);

  Task unknown;
  unknown.id = "unknown";
  unknown.command = {"echo", "{nothing}"};
  REQUIRE(!describe(unknown, "/home/me"));
  CHECK(describe(unknown, "/home/me").error().what.find("{nothing}") != std::string::npos);

  Service empty;
  empty.name = "empty";
  CHECK(!describe(empty, "/home/me"));
}
