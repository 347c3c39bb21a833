#include "observe/trace.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "story.hpp"

namespace trireme::test {
namespace {

using Json = nlohmann::json;

Json traced(const Story& story) {
  observe::TraceNotes notes;
  for (const Event& event : story.all()) notes.apply(event);
  std::ostringstream out;
  write_trace(story.view(), notes, story.now(), out);
  return Json::parse(out.str());
}

/// The events of that phase ("X", "C", …), without those of other names if one is given.
std::vector<Json> of_phase(const Json& trace, const std::string& phase, const std::string& name = "") {
  std::vector<Json> found;
  for (const Json& event : trace["traceEvents"]) {
    if (event["ph"] == phase && (name.empty() || event["name"] == name)) found.push_back(event);
  }
  return found;
}

TEST_SUITE("trace") {
  TEST_CASE("each attempt is a slice on its node, with its times and how it ended") {
    Story story;
    story.start(2).node(0, "a", {2, 0, 0}).node(1, "b", {2, 0, 0}).submit(0, "t");
    story.after(1).run(0, 0, 1).after(2).end(0, 0, 3, 1, "exit code 3");
    story.after(1).run(0, 1, 0).after(3);
    const Json trace = traced(story);
    const auto slices = of_phase(trace, "X");
    REQUIRE(slices.size() == 2);
    CHECK(slices[0]["name"] == "t");
    CHECK(slices[0]["pid"] == 2);
    CHECK(slices[0]["ts"] == 1e6);
    CHECK(slices[0]["dur"] == 2e6);
    CHECK(slices[0]["args"]["outcome"] == "failed");
    CHECK(slices[0]["args"]["exit_code"] == 3);
    CHECK(slices[1]["pid"] == 1);
    CHECK_MESSAGE(slices[1]["dur"] == 3e6, "what still runs is shown up to the present");
    CHECK(slices[1]["args"].find("outcome") == slices[1]["args"].end());
    CHECK(of_phase(trace, "M", "process_name").size() == 2);
  }

  TEST_CASE("slices of a row do not overlap, and rows are used again") {
    Story story;
    story.start().node(0, "a", {2, 0, 0});
    for (std::uint32_t i = 0; i < 4; ++i) story.submit(i, "t[i=" + std::to_string(i) + "]");
    story.run(0).after(1).run(1).after(1).end(0).run(2).after(1).end(1).run(3).after(1).end(2).end(3);
    std::vector<int> rows;
    for (const Json& slice : of_phase(traced(story), "X")) rows.push_back(slice["tid"]);
    CHECK(rows == std::vector<int>{1, 2, 1, 2});
  }

  TEST_CASE("an arrow leads to a task from the one that it waited for last") {
    Story story;
    story.start().node(0, "a", {4, 0, 0});
    story.submit(0, "slow").submit(1, "quick").submit(2, "next", {"slow", "quick"}).submit(3, "none", {"next"});
    story.run(0).run(1).after(1).end(1).after(1).end(0).after(1).run(2);
    const Json trace = traced(story);
    REQUIRE(of_phase(trace, "s").size() == 1);
    const Json slow = of_phase(trace, "X", "slow")[0];
    CHECK(of_phase(trace, "s")[0]["tid"] == slow["tid"]);
    CHECK_MESSAGE(of_phase(trace, "s")[0]["ts"] < slow["ts"].get<double>() + slow["dur"].get<double>(),
                  "inside of its slice");
    CHECK(of_phase(trace, "f")[0]["ts"] == 3e6);
  }

  TEST_CASE("replicas, what is in use, and what services work on") {
    Story story;
    story.start().node(0, "a", {4, 0, 0}).declare(0, "llama", 1, 2).submit(0, "t");
    const ReplicaId id{{0}, 0, 0};
    story.replica(id, ReplicaState::starting).after(2).replica(id, ReplicaState::ready).run(0).after(1);
    ServiceSample sample;
    sample.service = {0};
    sample.queued = 5;
    sample.loads = {{0, 3, {}}};
    story.add(events::RequestsCounted{0, sample});
    sample.service = {7};
    story.add(events::RequestsCounted{0, sample});
    story.end(0).after(1).replica(id, ReplicaState::ended);
    const Json trace = traced(story);
    const Json replica = of_phase(trace, "X", "llama/0")[0];
    const Json starting = of_phase(trace, "X", "starting")[0];
    CHECK(replica["dur"] == 4e6);
    CHECK(starting["dur"] == 2e6);
    CHECK(starting["tid"] == replica["tid"]);
    std::vector<int> cores;
    for (const Json& use : of_phase(trace, "C", "in use")) cores.push_back(use["args"]["cores"]);
    CHECK(cores == std::vector<int>{2, 3, 2, 0});
    const auto load = of_phase(trace, "C", "llama");
    REQUIRE_MESSAGE(load.size() == 1, "of services that are known");
    CHECK(load[0]["args"] == Json{{"active", 3}, {"queued", 5}});
  }

  TEST_CASE("names are text, whatever they hold, and a run without tasks is a trace") {
    Story story;
    story.start().node(0, "a\"\xff", {1, 0, 0}).submit(0, "t[x=\"\\\n]").run(0).add(events::Warning{"mind \x01"});
    CHECK(of_phase(traced(story), "X")[0]["name"] == "t[x=\"\\\n]");
    CHECK(of_phase(traced(story), "i")[0]["name"] == "mind \x01");
    CHECK(of_phase(traced(Story().start()), "X").empty());
  }
}

}  // namespace
}  // namespace trireme::test
