#include "observe/dashboard.hpp"

#include <nlohmann/json.hpp>

#include "core/defaults.hpp"
#include "story.hpp"

namespace trireme::observe {
namespace {

using namespace test;
using Json = nlohmann::json;

/// A story, and the dashboard that looks at it once a second.
struct Watched {
  Story story;
  Dashboard dashboard;
  MonoTime now = 1000 * second;

  Watched& look(int seconds = 1) {
    for (int i = 0; i < seconds; ++i) {
      story.after(1);
      now += second;
      dashboard.sample(now, story.now(), story.view());
    }
    return *this;
  }
  Json snapshot() const { return Json::parse(dashboard.snapshot(story.view())); }
  Json history() const { return Json::parse(dashboard.history()); }
  void answer(std::uint32_t replica, int requests, Duration took, std::uint32_t queued = 0, std::uint32_t active = 0) {
    ServiceSample::Load load{.replica = replica, .active = active};
    for (int i = 0; i < requests; ++i) latency.add(took);
    load.latency = latency;
    total += static_cast<std::uint64_t>(requests);
    ServiceSample sample;
    sample.service = ServiceIndex{0};
    sample.requests = total;
    sample.queued = queued;
    sample.replicas = {{replica, total, 0}};
    sample.loads = {load};
    story.add(events::RequestsCounted{0, sample});
  }
  LatencyHistogram latency;
  std::uint64_t total = 0;
};

TEST_CASE("dashboard: tasks are counted by name and state, resources as they are handed out") {
  Watched run;
  run.story.start(2).node(0, "n0", {4, 2000, 0}).node(1, "n1", {4, 0, 0});
  run.story.submit(0, "train[seed=1]", {}, {}, 3).submit(1, "train[seed=2]").submit(2, "collect", {"train"});
  run.story.run(0).run(1, 0, 1);
  run.look();
  Json now = run.snapshot();
  CHECK(now["tasks"]["running"] == 2);
  CHECK(now["tasks"]["total"] == 3);
  REQUIRE(now["groups"]["rows"].size() == 2);
  CHECK(now["groups"]["rows"][0]["name"] == "train");
  CHECK(now["groups"]["rows"][0]["running"] == 2);
  CHECK(now["groups"]["rows"][1]["waiting"] == 1);
  CHECK(now["resources"]["cores"] == Json{4, 8});
  CHECK(now["resources"]["gpus"] == Json{0.0, 2.0});
  CHECK(now["nodes"]["rows"][0]["cores"] == Json{3, 4});
  run.story.end(0).change(0, TaskState::done);
  now = run.look().snapshot();
  CHECK(now["groups"]["rows"][0]["done"] == 1);
  CHECK(now["resources"]["cores"] == Json{1, 8});
  CHECK(now["points"]["run"]["tasks_per_s"] == 1);
}

TEST_CASE("dashboard: percentiles are of the last seconds, and those of the run beside them") {
  Watched run;
  run.story.start().node(0, "n0", {4, 0, 0}).declare(0, "llama", 1);
  run.story.replica({ServiceIndex{0}, 0, 0}, ReplicaState::starting)
      .replica({ServiceIndex{0}, 0, 0}, ReplicaState::ready);
  run.look();
  run.answer(0, 100, std::chrono::seconds(4), 3, 2);
  Json service = run.look().snapshot()["services"]["rows"][0];
  CHECK(service["queued"] == 3);
  CHECK(service["active"] == 2);
  CHECK(service["requests"] == 100);
  CHECK(service["per_s"] == 100);
  CHECK(service["p99_s"].get<double>() == doctest::Approx(4).epsilon(0.1));
  CHECK(service["rows"][0]["state"] == "ready");
  run.look(12);
  run.answer(0, 10, std::chrono::milliseconds(10));
  service = run.look().snapshot()["services"]["rows"][0];
  CHECK(service["p99_s"].get<double>() == doctest::Approx(0.01).epsilon(0.1));
  CHECK(service["rows"][0]["p50_s"].get<double>() == doctest::Approx(0.01).epsilon(0.1));
  CHECK(service["p99_run_s"].get<double>() == doctest::Approx(4).epsilon(0.1));
  service = run.look(12).snapshot()["services"]["rows"][0];
  CHECK(service["p99_s"].is_null());
  CHECK(service["per_s"] == 0);
}

TEST_CASE("dashboard: what went wrong is told with its reason, a task's last attempt once") {
  Watched run;
  run.story.start().node(0, "n0", {4, 0, 0}).submit(0, "a").declare(0, "llama", 1);
  run.story.run(0).end(0, 0, 1, 0, "exit code 1").run(0, 1).end(0, 1, 2, 0, "exit code 2");
  run.story.change(0, TaskState::failed, "exit code 2: no such file");
  run.story.replica({ServiceIndex{0}, 0, 0}, ReplicaState::starting);
  run.story.replica({ServiceIndex{0}, 0, 0}, ReplicaState::failed, Duration(0), 0,
                    "exit code 3; the end of its stderr:" + std::string(100'000, '\n') + "no such model");
  const Json failures = run.look().snapshot()["failures"];
  REQUIRE(failures.size() == 3);
  CHECK(failures[0]["kind"] == "replica");
  const auto reason = failures[0]["reason"].get<std::string>();
  CHECK(reason.size() < defaults::dashboard_reason + 10);
  CHECK(reason.starts_with("exit code 3"));
  CHECK(reason.ends_with("no such model"));
  CHECK(failures[1]["kind"] == "task");
  CHECK(failures[1]["attempt"] == 1);
  CHECK(failures[1]["reason"] == "exit code 2: no such file");
  CHECK(failures[2]["kind"] == "attempt");
}

TEST_CASE("dashboard: a replica that was drained on purpose is no failure") {
  Watched run;
  const ReplicaId id{ServiceIndex{0}, 0, 0};
  run.story.start().node(0, "n0", {4, 0, 0}).declare(0, "llama", 1);
  run.story.replica(id, ReplicaState::starting).replica(id, ReplicaState::ready).replica(id, ReplicaState::draining);
  run.story.replica(id, ReplicaState::ended, Duration(0), 0, "cancelled");
  CHECK(run.look().snapshot()["failures"].empty());
  CHECK(run.snapshot()["resources"]["cores"] == Json{0, 4});
}

TEST_CASE(
    "dashboard: replicas that the load does not ask for any more are not wanted, those that ended otherwise are") {
  Watched run;
  run.story.start().node(0, "n0", {4, 0, 0}).declare(0, "llama", 1);
  for (const std::uint32_t i : {0, 1, 2}) {
    run.story.replica({ServiceIndex{0}, i, 0}, ReplicaState::starting)
        .replica({ServiceIndex{0}, i, 0}, ReplicaState::ready);
  }
  Json service = run.look().snapshot()["services"]["rows"][0];
  CHECK(service["wanted"] == 3);
  run.story.replica({ServiceIndex{0}, 2, 0}, ReplicaState::draining);
  run.story.replica({ServiceIndex{0}, 2, 0}, ReplicaState::ended);
  run.story.replica({ServiceIndex{0}, 1, 0}, ReplicaState::ended, Duration(0), 0, "crashed");
  service = run.look().snapshot()["services"]["rows"][0];
  CHECK(service["wanted"] == 2);
  CHECK(service["ready"] == 1);
  CHECK(service["replicas"] == 3);
  run.story.replica({ServiceIndex{0}, 2, 1}, ReplicaState::starting);
  CHECK(run.look().snapshot()["services"]["rows"][0]["wanted"] == 3);
}

TEST_CASE("dashboard: a snapshot is bounded, whatever the run is, and says what it leaves out") {
  Watched run;
  run.story.start(5000);
  for (int rank = 0; rank < 5000; ++rank) run.story.node(rank, "n" + std::to_string(rank), {64, 8000, 1u << 30});
  for (std::uint32_t i = 0; i < 5000; ++i) run.story.submit(i, "name-" + std::to_string(i));
  for (std::uint32_t i = 0; i < 500; ++i) {
    run.story.declare(i, "service-" + std::to_string(i), 4);
    run.story.replica({ServiceIndex{i}, 0, 0}, ReplicaState::failed, Duration(0), 0, std::string(5000, '"'));
  }
  run.look();
  const std::string text = run.dashboard.snapshot(run.story.view());
  CHECK(text.size() < 1'500'000);
  CHECK(text.find('\n') == std::string::npos);
  const Json now = Json::parse(text);
  CHECK(now["nodes"]["rows"].size() + now["nodes"]["more"].get<std::size_t>() == 5000);
  CHECK(now["groups"]["rows"].size() + now["groups"]["more"].get<std::size_t>() == 5000);
  CHECK(now["services"]["rows"].size() + now["services"]["more"].get<std::size_t>() == 500);
  CHECK(now["resources"]["cores"][1] == 64 * 5000);
  CHECK(now["tasks"]["waiting"] == 5000);
}

TEST_CASE("dashboard: the history has a column for each line of the charts, and text that is no UTF-8 does no harm") {
  Watched run;
  run.story.start().node(0, "n0", {4, 0, 0}).declare(0, "llama", 1).submit(0, "\xff<script>\"");
  run.look(3);
  const Json history = run.history();
  CHECK(history["run"]["time"].size() == 3);
  CHECK(history["run"]["cores"].size() == 3);
  CHECK(history["run"]["gpus"][0].is_null());
  CHECK(history["services"]["llama"]["p99_s"].size() == 3);
  const Json points = run.snapshot()["points"]["run"];
  for (const auto& [column, value] : points.items()) CHECK(history["run"].contains(column));
  CHECK(run.snapshot()["groups"]["rows"][0]["name"].get<std::string>().find("<script>\"") != std::string::npos);
}

TEST_CASE("dashboard: the end of a run is in the snapshot") {
  Watched run;
  run.story.start().node(0, "n0", {4, 0, 0}).submit(0, "a").run(0).end(0).change(0, TaskState::done);
  run.look(2).story.add(events::RunEnded{RunState::done, 0, ""});
  const Json now = run.snapshot();
  CHECK(now["run"]["ended"] == true);
  CHECK(now["run"]["state"] == "done");
  CHECK(now["run"]["left_s"].is_null());
}

}  // namespace
}  // namespace trireme::observe
