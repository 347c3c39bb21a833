#include "core/task_family.hpp"

#include <doctest/doctest.h>

using namespace trireme;

namespace {

Template text(std::string_view source) {
  auto parsed = Template::parse(source, Template::Mode::strict, [](std::string_view) { return true; });
  REQUIRE(parsed);
  return *parsed;
}

TaskDescription train() {
  TaskDescription task;
  task.name = "train";
  task.command = {Template::literal("train"), text("--seed={seed}")};
  task.env = {{"METHOD", text("{method}")}};
  task.outputs = {{text("{method}.txt"), text("{run_dir}/{seed}")}};
  return task;
}

}  // namespace

TEST_SUITE("task families") {
  TEST_CASE("a cross product, the last variable turning fastest") {
    const TaskFamily family(
        train(), {{"seed", VariableValues(7, 3)}, {"method", VariableValues(std::vector<std::string>{"lora", "full"})}},
        false);
    CHECK(family.size() == 6);
    CHECK(family.id(0) == "train[seed=7,method=lora]");
    CHECK(family.id(3) == "train[seed=8,method=full]");
    const TaskDescription task = family.instance(3);
    CHECK(task.id == family.id(3));
    CHECK(task.command[1] == Template::literal("--seed=8"));
    CHECK(task.env.at("METHOD") == Template::literal("full"));
    CHECK(task.outputs[0].from == Template::literal("full.txt"));
    CHECK(task.outputs[0].to.source() == "{run_dir}/8");
    for (std::uint32_t i = 0; i < family.size(); ++i) CHECK(family.find(family.id(i)) == i);
  }

  TEST_CASE("zipped values, which may hold commas and brackets") {
    const TaskFamily family(train(),
                            {{"seed", VariableValues(std::vector<std::string>{"1,method=x", "1", "a]"})},
                             {"method", VariableValues(std::vector<std::string>{"y", "x,method=y", "b,c"})}},
                            true);
    CHECK(family.size() == 3);
    CHECK(family.id(2) == "train[seed=a],method=b,c]");
    CHECK(family.find(family.id(2)) == 2);
    CHECK(family.id(0) == family.id(1));  // whoever makes the family sees to it that this does not happen
    CHECK(family.find(family.id(0)).has_value());
  }

  TEST_CASE("rows may have a value in common, and each is found by its id") {
    const std::vector<std::string> models{"small", "small", "big", "small"};
    const std::vector<std::string> rates{"0.1", "0.2", "0.1", "0.3"};
    const TaskFamily family(train(), {{"model", VariableValues(models)}, {"rate", VariableValues(rates)}}, true);
    for (std::uint32_t i = 0; i < family.size(); ++i) CHECK(family.find(family.id(i)) == i);
    CHECK(!family.find("train[model=big,rate=0.2]"));
    CHECK(!family.first_repeated());
  }

  TEST_CASE("numbers that are steps apart") {
    const TaskFamily family(train(), {{"seed", VariableValues(5, 4, 10)}}, false);
    CHECK(family.id(3) == "train[seed=35]");
    CHECK(family.find("train[seed=25]") == 2);
    for (const char* id : {"train[seed=45]", "train[seed=24]", "train[seed=-5]", "train[seed=9223372036854775807]"}) {
      CAPTURE(id);
      CHECK(!family.find(id));
    }
  }

  TEST_CASE("the first instance whose id is there already") {
    const auto list = [](std::vector<std::string> values) { return VariableValues(std::move(values)); };
    CHECK(!TaskFamily(train(), {{"a", VariableValues(0, 1'000'000'000)}}, false).first_repeated());
    CHECK(TaskFamily(train(), {{"a", list({"x", "y", "z", "y", "x"})}}, false).first_repeated() == 3);
    CHECK(TaskFamily(train(), {{"a", list({"x", "y", "x"})}, {"b", VariableValues(0, 5)}}, false).first_repeated() ==
          10);
    CHECK(TaskFamily(train(), {{"a", list({"x", "x"})}, {"b", list({"1", "2", "2"})}}, false).first_repeated() == 2);
    CHECK(TaskFamily(train(), {{"a", list({"1,b=2", "1"})}, {"b", list({"3", "2,b=3"})}}, false).first_repeated() == 3);
    CHECK(TaskFamily(train(), {{"a", list({"x", "x", "x"})}, {"b", list({"1", "2", "1"})}}, true).first_repeated() ==
          2);
    CHECK(!TaskFamily(train()).first_repeated());
  }

  TEST_CASE("more instances than can be counted are not there") {
    const TaskFamily family(train(), {{"a", VariableValues(0, 1u << 31)}, {"b", VariableValues(0, 1u << 31)}}, false);
    CHECK(family.size() == TaskFamily::most_instances);
    CHECK(family.find("train[a=0,b=7]") == 7);
    CHECK(!family.find("train[a=2147483647,b=2147483647]"));
    CHECK(TaskFamily(train(), {{"a", VariableValues(0, std::uint64_t{1} << 40)}}, false).size() ==
          TaskFamily::most_instances);
  }

  TEST_CASE("ids that are near and mean nothing") {
    const TaskFamily family(train(), {{"seed", VariableValues(0, 100)}}, false);
    for (const char* id : {"train", "train[seed=100]", "train[seed=-1]", "train[seed=07]", "train[seed=7",
                           "train[seed=]", "train[seeds=7]", "trains[seed=7]", "train[seed=7]]", "train[seed=+7]"}) {
      CAPTURE(id);
      CHECK(!family.find(id));
    }
    CHECK(family.find("train[seed=7]") == 7);
  }

  TEST_CASE("a task by itself") {
    TaskDescription task = train();
    task.id = "train";
    const TaskFamily family(task);
    CHECK(family.size() == 1);
    CHECK(family.instance(0) == task);
    CHECK(family.find("train") == 0);
  }
}
