#include "fabric/orders.hpp"

#include <doctest/doctest.h>

#include <random>
#include <vector>

using namespace trireme;
using namespace std::chrono_literals;

namespace {

Template open_text(std::string_view source) {
  return *Template::parse(source, Template::Mode::strict, [](std::string_view) { return true; });
}

TaskDescription task(const std::string& id) {
  TaskDescription task;
  task.id = task.name = id;
  task.command = {Template::literal("echo"), Template::literal("of " + id)};
  task.env["OMP_NUM_THREADS"] = Template::literal("1");
  task.after = {"prepare"};
  task.timeout = 2h;
  task.per_rank = {.cores = 4, .gpus = 250, .memory = 1u << 30};
  return task;
}

TaskFamily train() {
  TaskDescription shared;
  shared.name = "train";
  shared.command = {Template::literal("train"), open_text("--seed={seed}"), open_text("{method}")};
  shared.env["METHOD"] = open_text("{method}");
  return {shared, {{"seed", VariableValues(0, 100)}, {"method", VariableValues({"lora", "full"})}}, false};
}

std::vector<ToAgent> read(std::string_view bytes) {
  std::vector<ToAgent> out;
  const Status status = read_orders(bytes, [&](ToAgent order) { out.push_back(std::move(order)); });
  REQUIRE_MESSAGE(status.ok(), (status ? "" : status.error().text()));
  return out;
}

AttemptId attempt(std::uint32_t number) {
  return {{number}, number % 3};
}

}  // namespace

TEST_CASE("orders come back whole and in their order, whatever each has in common with the one before") {
  const std::vector<RankBlock> layout = {{3, 0, 2}, {1, 2, 1}};
  const TaskFamily family = train();
  const TaskFamily one(task("one"));
  const TaskFamily other(task("other"));
  TaskDescription bare;
  const std::vector<StartOrder> starts = {
      {.id = attempt(0), .family = one, .layout = {}},
      {.id = attempt(1), .family = family, .instance = 0, .layout = {}, .ahead = true},
      {.id = attempt(2), .family = family, .instance = 133, .layout = {}, .ahead = true},
      {.id = attempt(3), .first_rank = 2, .local_ranks = 3, .family = other, .layout = layout},
      {.id = attempt(4), .family = family, .instance = 7, .layout = {}},
      {.id = attempt(5), .family = other, .layout = {}}};
  std::vector<ToAgent> wanted;
  OrderWriter writer;
  CHECK(writer.empty());
  for (const StartOrder& start : starts) {
    writer.add(start);
    wanted.emplace_back(start.message());
    const std::vector<ToAgent> between = {
        CancelTask{.id = start.id, .reason = "timeout"}, StartTask{.id = attempt(9), .task = task("by itself")},
        StartTask{.id = attempt(8), .task = bare}, RecallTasks{{attempt(1), attempt(2)}}};
    for (const ToAgent& order : between) {
      writer.add(order);
      wanted.push_back(order);
    }
  }
  std::string bytes = writer.take();
  CHECK(writer.empty());
  stamp_epoch(bytes, 77);
  CHECK(epoch_of(bytes) == 77);
  CHECK(read(bytes) == wanted);

  // The next message is read without this one.
  writer.add(starts[2]);
  CHECK(read(writer.take()) == std::vector<ToAgent>{starts[2].message()});
}

TEST_CASE("what tasks have in common is said once in a message") {
  const TaskFamily family = train();
  OrderWriter writer;
  writer.add({.id = attempt(0), .family = family, .instance = 0, .layout = {}});
  const std::size_t first = writer.size();
  for (std::uint32_t i = 1; i < 100; ++i) writer.add({.id = attempt(i), .family = family, .instance = i, .layout = {}});
  CHECK(writer.size() - first < 99 * 48);
  CHECK(read(writer.take()).size() == 100);
}

TEST_CASE("orders that are damaged or cut are refused and do no harm") {
  OrderWriter writer;
  const TaskFamily family = train();
  for (std::uint32_t i = 0; i < 5; ++i) writer.add({.id = attempt(i), .family = family, .instance = i, .layout = {}});
  writer.add(ToAgent(StartTask{.id = attempt(9), .task = task("by itself")}));
  const std::string good = writer.take();
  for (std::size_t length = 0; length < good.size(); ++length) {
    std::size_t whole = 0;
    const Status read = read_orders(std::string_view(good).substr(0, length), [&](const ToAgent&) { ++whole; });
    CHECK(whole < 6);
    static_cast<void>(read);  // cut between two orders is no damage
  }
  CHECK_FALSE(read_orders("", [](const ToAgent&) {}).ok());
  CHECK_FALSE(epoch_of("1234567"));
  std::mt19937 random(1);
  for (int round = 0; round < 4000; ++round) {
    std::string bytes = good;
    for (auto changes = 1 + random() % 4; changes > 0; --changes) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    std::size_t read = 0;
    static_cast<void>(read_orders(bytes, [&](const ToAgent&) { ++read; }));
    CHECK(read <= bytes.size());
  }
}
