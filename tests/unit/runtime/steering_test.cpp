#include "runtime/steering.hpp"

#include <doctest/doctest.h>

#include <deque>
#include <nlohmann/json.hpp>

using namespace trireme;
using Json = nlohmann::json;

namespace {

constexpr MonoTime second = 1'000'000'000;

/// A pilot whose events are folded into a view, as the pilot's edge does it, and a steering that asks it.
struct World final : pilot::Output {
  explicit World(std::uint32_t cores = 8) {
    info.run_dir = "/run";
    info.workflow_dir = "/flow";
    info.environments.push_back({.name = "ml", .setup = {}});
    core.on_node_joined(0, {.host = "n0", .resources = {.cores = cores}}, now);
    REQUIRE(core.start(now));
  }

  void send(Rank to, ToAgent message) override { sent.emplace_back(to, std::move(message)); }
  void publish(ServiceEndpoint) override {}
  void record(EventBody body) override {
    view.apply({++time, body});
    if (const auto* changed = std::get_if<events::TaskChanged>(&body); changed && is_final(changed->state)) {
      ended.push_back(changed->task);
    }
    if (const auto* grown = std::get_if<events::WorkflowGrew>(&body)) texts.push_back(grown->text);
  }
  void tell_ends() {
    for (; !ended.empty(); ended.pop_front()) steering.on_final(ended.front());
  }

  /// Asks, and gives the number of the request.
  std::uint64_t ask(const std::string& method, const std::string& target, const std::string& body = "", Rank from = 1) {
    steering.on_request(from, {++number, method, target, body}, now);
    tell_ends();
    return number;
  }
  bool answered(std::uint64_t request) const { return answers.contains(request); }
  Json answer(std::uint64_t request, int status = 200) {
    REQUIRE(answered(request));
    const auto found = answers.extract(request);
    CHECK_MESSAGE(found.mapped().status == status, found.mapped().body);
    return Json::parse(found.mapped().body);
  }
  Json ask_now(const std::string& method, const std::string& target, const std::string& body = "", int status = 200) {
    return answer(ask(method, target, body), status);
  }
  void end(std::uint32_t task, Outcome outcome = Outcome::done, int exit_code = 0) {
    core.on_message(
        0, TaskEnded{.id = {TaskIndex{task}, 0}, .end = {.outcome = outcome, .exit_code = exit_code, .reason = ""}},
        now);
    tell_ends();
  }

  RunInfo info;
  MonoTime now = second;
  WallTime time = 0;
  std::vector<std::pair<Rank, ToAgent>> sent;
  std::deque<TaskIndex> ended;
  std::vector<std::string> texts;
  std::map<std::uint64_t, RuntimeAnswer> answers;
  std::uint64_t number = 0;
  observe::RunView view;
  pilot::Pilot core{{}, *this};
  Results results;
  Steering steering{core,
                    view,
                    results,
                    info,
                    [this](Rank, RuntimeAnswer a) { answers.emplace(a.number, std::move(a)); },
                    [this](EventBody body) { record(std::move(body)); }};
};

const char* two = R"({"tasks": [{"name": "a", "command": "true"}, {"name": "b", "command": "true", "after": ["a"]}]})";

}  // namespace

TEST_CASE("steering: tasks are submitted, seen, and waited for by their ends") {
  World world;
  const Json submitted = world.ask_now("POST", "/runtime/tasks", two);
  CHECK(submitted["ids"] == Json::parse(R"(["a", "b"])"));
  CHECK(world.ask_now("GET", "/runtime/tasks/a")["state"] == "running");
  const auto wait = world.ask("POST", "/runtime/wait", R"({"ids": ["a", "b"]})");
  const auto any = world.ask("POST", "/runtime/wait", R"({"ids": ["a", "b"], "for": "any"})");
  CHECK_FALSE(world.answered(any));
  world.end(0);
  CHECK(world.answer(any)["tasks"][0]["id"] == "a");
  CHECK_FALSE(world.answered(wait));
  world.end(1, Outcome::failed, 3);
  const Json both = world.answer(wait);
  CHECK(both["complete"] == true);
  CHECK(both["tasks"][1]["state"] == "failed");
  CHECK(both["tasks"][1]["exit_code"] == 3);
  CHECK(both["tasks"][1]["folder"] == "/run/tasks/b/0");
  CHECK_FALSE(world.steering.next_deadline());
}

TEST_CASE("steering: a wait for a submission tells each end once, in the order of the ends") {
  World world;
  world.ask_now("POST", "/runtime/tasks",
                R"({"tasks": [{"command": "true"}, {"command": "true"}, {"command": "true"}]})");
  world.end(2);
  Json first = world.ask_now("POST", "/runtime/wait", R"({"submission": 0})");
  CHECK(first["tasks"][0]["id"] == "task[2]");
  CHECK(first["complete"] == false);
  const auto next = world.ask("POST", "/runtime/wait", R"({"submission": 0, "from": 1})");
  CHECK_FALSE(world.answered(next));
  world.end(0);
  CHECK(world.answer(next)["tasks"][0]["id"] == "task[0]");
  const auto last = world.ask("POST", "/runtime/wait", R"({"submission": 0, "from": 2})");
  world.end(1);
  CHECK(world.answer(last)["complete"] == true);
  world.ask_now("POST", "/runtime/wait", R"({"submission": 1})", 404);
}

TEST_CASE("steering: a wait ends by its timeout, is dropped with its client and with its rank") {
  World world;
  world.ask_now("POST", "/runtime/tasks", two);
  const auto timed = world.ask("POST", "/runtime/wait", R"({"ids": ["b"], "timeout": 5})");
  const auto dropped = world.ask("POST", "/runtime/wait", R"({"ids": ["b"]})");
  const auto lost = world.ask("POST", "/runtime/wait", R"({"submission": 0})", 2);
  CHECK(world.steering.next_deadline() == world.now + 5 * second);
  world.steering.on_drop(1, dropped);
  world.steering.on_rank_lost(2);
  world.now += 5 * second;
  world.steering.on_time(world.now);
  CHECK(world.answer(timed)["complete"] == false);
  CHECK_FALSE(world.steering.next_deadline());
  world.end(0);
  world.end(1);
  CHECK_FALSE(world.answered(dropped));
  CHECK_FALSE(world.answered(lost));
}

TEST_CASE("steering: the same words under the same id are the task that is there; others are a mistake") {
  World world;
  world.ask_now("POST", "/runtime/tasks", two);
  world.ask_now("POST", "/runtime/tasks", two);
  CHECK(world.core.counts().total == 2);
  CHECK(world.texts.size() == 1);
  const Json error = world.ask_now("POST", "/runtime/tasks", R"({"tasks": {"a": {"command": "false"}}})", 400);
  CHECK(error["error"]["message"].get<std::string>().find("already another task") != std::string::npos);
}

TEST_CASE("steering: what was submitted is in the log, and a resumed run submits it again") {
  World world;
  world.ask_now("POST", "/runtime/tasks", R"({"tasks": [{"command": "true"}, {"name": "x", "command": "true"}]})");
  REQUIRE(world.texts.size() == 1);
  World resumed;
  REQUIRE(resumed.steering.replay(world.texts[0], resumed.now));
  CHECK(resumed.core.find_task("task[0]"));
  CHECK(resumed.core.find_task("x"));
  CHECK(resumed.texts.empty());
  const Json more = resumed.ask_now("POST", "/runtime/tasks", R"({"tasks": [{"command": "false"}]})");
  CHECK(more["ids"][0] != "task[0]");
}

TEST_CASE("steering: tasks are cancelled and listed") {
  World world(1);
  world.ask_now("POST", "/runtime/tasks", R"({"tasks": {"t": {"command": "true", "foreach": {"i": [1, 2, 3]}}}})");
  CHECK(world.ask_now("DELETE", "/runtime/tasks/t%5Bi=3%5D")["state"] == "cancelled");
  world.ask_now("DELETE", "/runtime/tasks/nobody", "", 404);
  CHECK(world.ask_now("GET", "/runtime/tasks?state=running")["tasks"].size() == 1);
  const Json page = world.ask_now("GET", "/runtime/tasks?limit=2&name=t");
  CHECK(page["tasks"].size() == 2);
  CHECK(page["next"] == 2);
  CHECK(page["counts"]["cancelled"] == 1);
  CHECK(world.ask_now("GET", "/runtime/tasks?from=2")["next"].is_null());
}

TEST_CASE("steering: mistakes are refused with the loader's words, and what does not fit as such") {
  World world(2);
  const Json error =
      world.ask_now("POST", "/runtime/tasks", R"({"tasks": {"a": {"command": "x", "comand": "x"}}})", 400);
  CHECK(error["errors"][0]["key"] == "tasks.a.comand");
  world.ask_now("POST", "/runtime/tasks", R"({"tasks": {"a": {"command": "x", "environment": "none"}}})", 400);
  world.ask_now("POST", "/runtime/tasks", R"({"tasks": {"a": {"command": "x", "environment": "ml"}}})");
  world.ask_now("POST", "/runtime/tasks", R"({"tasks": {"wide": {"command": "x", "cores": 3}}})", 422);
  world.ask_now("POST", "/runtime/wait", R"({"ids": ["nobody"]})", 404);
  world.ask_now("POST", "/runtime/wait", R"([])", 400);
  world.ask_now("POST", "/runtime/wait", R"({"ids": ["a"], "for": "some"})", 400);
  world.ask_now("PUT", "/runtime/tasks", "", 405);
  world.ask_now("GET", "/runtime/nothing", "", 404);
}

TEST_CASE("steering: services are declared, shown and stopped") {
  World world;
  const char* text = R"({"services": {"s": {"command": ["serve", "{port}"]}}})";
  world.ask_now("POST", "/runtime/services", text);
  world.ask_now("POST", "/runtime/services", text);
  CHECK(world.ask_now("GET", "/runtime/services")["services"].size() == 1);
  CHECK(world.ask_now("GET", "/runtime/services/s")["replicas"][0]["state"] == "starting");
  CHECK(world.ask_now("DELETE", "/runtime/services/s")["replicas"][0]["state"] == "draining");
  const Json again = world.ask_now("POST", "/runtime/services", text, 400);
  CHECK(again["error"]["message"].get<std::string>().find("it is over: take another name") != std::string::npos);
  world.ask_now("GET", "/runtime/services/none", "", 404);
}

TEST_CASE("steering: services that came in are in the log, and a resumed run has them for the tasks that need them") {
  World world;
  world.ask_now("POST", "/runtime/services", R"({"services": {
      "front": {"command": ["serve", "{port}"], "uses": ["back"]}, "back": {"command": ["serve", "{port}"]}}})");
  world.ask_now("POST", "/runtime/services", R"({"services": {"back": {"command": ["serve", "{port}"]}}})");
  const Json tasks =
      world.ask_now("POST", "/runtime/tasks", R"({"tasks": {"t": {"command": "true", "services": ["back"]}}})");
  REQUIRE(world.texts.size() == 2);
  World resumed;
  for (const std::string& text : world.texts) REQUIRE(resumed.steering.replay(text, resumed.now));
  CHECK(resumed.core.find_service("front"));
  CHECK(resumed.core.find_task("t"));
  const Json more = resumed.ask_now("POST", "/runtime/tasks", R"({"tasks": {"more": {"command": "true"}}})");
  CHECK(more["submission"] == tasks["submission"].get<int>() + 1);
}

TEST_CASE("steering: a task that a wait names twice is waited for once") {
  World world;
  world.ask_now("POST", "/runtime/tasks", two);
  const auto wait = world.ask("POST", "/runtime/wait", R"({"ids": ["a", "a", "b", "a"]})");
  world.end(0);
  world.end(1);
  CHECK(world.answer(wait)["tasks"].size() == 2);
}

TEST_CASE("steering: a run that drains says so, and that is no mistake of who asks") {
  World world;
  world.ask_now("POST", "/runtime/tasks", two);
  world.core.drain("walltime", ExitCode::interrupted, world.now);
  const Json refused = world.ask_now("POST", "/runtime/tasks", R"({"tasks": [{"command": "true"}]})", 503);
  CHECK(refused["error"]["message"].get<std::string>().find("takes nothing more") != std::string::npos);
}

TEST_CASE("steering: at the end of the run everyone who waits is told") {
  World world;
  world.ask_now("POST", "/runtime/tasks", two);
  const auto wait = world.ask("POST", "/runtime/wait", R"({"ids": ["b"]})");
  world.steering.close();
  world.answer(wait, 503);
  world.ask_now("GET", "/runtime/tasks", "", 503);
}
