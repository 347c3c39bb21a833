#include "observe/report/report.hpp"

#include <nlohmann/json.hpp>
#include <sstream>

#include "core/defaults.hpp"
#include "observe/report/page.hpp"
#include "story.hpp"

namespace trireme::observe::report {
namespace {

using namespace test;
using Json = nlohmann::json;

Json reported(const Story& story, const std::string& state = "done") {
  Notes notes;
  for (const Event& event : story.all()) notes.apply(event);
  notes.close(story.now());
  return report_json(story.view(), notes, state, story.now());
}

ServiceSample sample(std::uint64_t requests, std::uint32_t active, std::uint32_t queued,
                     const LatencyHistogram& latency = {}) {
  ServiceSample out;
  out.service = ServiceIndex{0};
  out.requests = requests;
  out.queued = queued;
  out.replicas = {{0, requests, 0}};
  out.loads = {{0, active, latency}};
  return out;
}

/// The mean of a chart from one time to another, as parts of the run's.
double mean(const Json& values, double from, double to) {
  const auto size = static_cast<double>(values.size());
  double sum = 0;
  int count = 0;
  for (auto i = static_cast<std::size_t>(from * size); i < static_cast<std::size_t>(to * size); ++i, ++count) {
    sum += values[i].is_null() ? 0 : values[i].get<double>();
  }
  return sum / count;
}

TEST_CASE("report: use and rates are exact in each bin, of a short run as of a long one") {
  for (const int step : {1, 100'000}) {
    CAPTURE(step);
    Story story;
    story.start().node(0, "a", {4, 2000, 0}).submit(0, "t[i=0]", {}, {}, 2).submit(1, "t[i=1]");
    story.run(0).after(step).run(1).after(step).end(0).after(step).end(1);
    story.add(events::RunEnded{RunState::done, 0, ""});
    const Json all = reported(story)["over_time"];
    REQUIRE(all["cores"].size() == defaults::report_bins);
    CHECK(all["bin_s"].get<double>() == doctest::Approx(3.0 * step / defaults::report_bins));
    CHECK(all["cores"][0] == 0.5);
    CHECK(all["cores"][150] == 0.75);
    CHECK(all["cores"][299] == 0.25);
    CHECK(all["gpus"][150] == 0);
    CHECK(all["running"][50] == 1);
    CHECK(all["running"][150] == 2);
    double ended = 0;
    for (const Json& rate : all["ended_per_s"]) ended += rate.get<double>() * all["rate_bin_s"].get<double>();
    CHECK(ended == doctest::Approx(2).epsilon(0.001));
  }
}

TEST_CASE("report: tasks by name with their waits, run times and what they made of their cores") {
  Story story;
  story.start().node(0, "a", {8, 0, 0});
  for (std::uint32_t i = 0; i < 4; ++i) {
    story.submit(i, "train[i=" + std::to_string(i) + "]", {}, {}, 2).change(i, TaskState::ready);
  }
  story.submit(4, "late");
  story.after(1).run(0).after(2).run(1).run(2);  // waited 1, 3, 3 s
  for (std::uint32_t i = 0; i < 3; ++i) {
    story.after(1);  // ran 3, 2, 3 s
    AttemptEnd end;
    end.ended = story.now();
    end.usage = {.max_rss = 100u * (i + 1), .user = Duration(2 * second), .system = Duration(second)};
    story.add(events::AttemptEnded{{TaskIndex{i}, 0}, 0, end}).change(i, TaskState::done);
  }
  const Json tasks = reported(story)["tasks"];
  REQUIRE(tasks["rows"].size() == 2);
  const Json& train = tasks["rows"][0];
  CHECK(train["name"] == "train");
  CHECK(train["done"] == 3);
  CHECK(train["ready"] == 1);
  CHECK(train["attempts"] == 3);
  CHECK(train["wait_s"] == Json{{"count", 3}, {"min", 1}, {"median", 3}, {"p90", 3}, {"max", 3}});
  CHECK(train["run_s"] == Json{{"count", 3}, {"min", 2}, {"median", 3}, {"p90", 3}, {"max", 3}});
  CHECK(train["cpu_s"] == 9);
  CHECK(train["core_s"] == 16);
  CHECK(train["cpu_efficiency"].get<double>() == doctest::Approx(9.0 / 16));
  CHECK(train["max_rss"] == 300);
  CHECK(tasks["rows"][1]["run_s"].is_null());
  CHECK(tasks["all"]["total"] == 5);
  CHECK(tasks["all"]["run_s"]["count"] == 3);
}

TEST_CASE("report: an attempt on several nodes is one, from its first part's start to the last one's end") {
  Story story;
  story.start(2).node(0, "a", {2, 0, 0}).node(1, "b", {2, 0, 0}).submit(0, "mpi");
  story.run(0, 0, 0).after(1).run(0, 0, 1).after(1).end(0, 0, 0, 0).after(2).end(0, 0, 0, 1).change(0, TaskState::done);
  const Json report = reported(story);
  CHECK(report["tasks"]["all"]["attempts"] == 1);
  CHECK(report["tasks"]["all"]["run_s"]["max"] == 4);
  CHECK(report["over_time"]["running"][150] == 1);
  CHECK(report["nodes"]["rows"][0]["attempts"] == 1);
  CHECK(report["nodes"]["rows"][1]["core_s"] == 3);
}

TEST_CASE("report: a live run is told up to the present, and what runs is part of it") {
  Story story;
  story.start().node(0, "a", {1, 0, 0}).submit(0, "t").run(0).after(10);
  const Json report = reported(story, "running");
  CHECK(report["run"]["state"] == "running");
  CHECK(report["run"]["ended"] == false);
  CHECK(report["run"]["exit_code"].is_null());
  CHECK(report["run"]["seconds"] == 10);
  CHECK(report["over_time"]["cores"][299] == 1);
  CHECK_MESSAGE(report["tasks"]["all"]["run_s"].is_null(), "it has not run yet");
  CHECK(report["resources"]["cores_used"] == 1);
}

TEST_CASE("report: a resumed run is one, without the pause") {
  Story story;
  story.start().node(0, "a", {1, 0, 0}).submit(0, "t").change(0, TaskState::ready).run(0).after(10);
  story.add(events::RunEnded{RunState::interrupted, 75, "asked to"}).after(100'000);
  story.start().node(0, "b", {1, 0, 0}).submit(0, "t").change(0, TaskState::ready).after(5).run(0).after(5);
  story.end(0).change(0, TaskState::done).add(events::RunEnded{RunState::failed, 1, ""}).after(100);
  // What is done is said again by each run that is resumed.
  story.start()
      .node(0, "b", {1, 0, 0})
      .submit(0, "t")
      .change(0, TaskState::ready)
      .change(0, TaskState::done)
      .add(events::RunEnded{RunState::done, 0, ""});
  const Json report = reported(story);
  CHECK(report["run"]["seconds"] == 20);
  const Json& parts = report["run"]["incarnations"]["rows"];
  REQUIRE(parts.size() == 3);
  CHECK(parts[1]["before_s"] == 10);
  CHECK(parts[2]["before_s"] == 20);
  CHECK(report["over_time"]["bin_s"].get<double>() == doctest::Approx(20.0 / defaults::report_bins));
  CHECK(mean(report["over_time"]["cores"], 0, 0.5) == 1);
  CHECK(mean(report["over_time"]["cores"], 0.5, 0.75) == 0);
  CHECK(mean(report["over_time"]["cores"], 0.75, 1) == 1);
  CHECK(report["tasks"]["all"]["wait_s"]["min"] == 0);
  CHECK(report["tasks"]["all"]["wait_s"]["max"] == 5);
  CHECK_MESSAGE((report["tasks"]["all"]["run_s"]["min"] == 5 && report["tasks"]["all"]["run_s"]["count"] == 1),
                "not the attempt that was cut off");
  REQUIRE(report["nodes"]["rows"].size() == 3);
  CHECK(report["nodes"]["rows"][0]["attempts"] == 0);
  CHECK(report["nodes"]["rows"][1]["attempts"] == 1);
  CHECK(report["nodes"]["rows"][2]["host"] == "a");
}

TEST_CASE("report: requests over time from samples, latencies and parts of the whole run") {
  Story story;
  const ReplicaId id{{0}, 0, 0};
  story.start().node(0, "a", {4, 0, 0}).declare(0, "llama", 1);
  story.replica(id, ReplicaState::starting, Duration(second / 10), 7)
      .replica(id, ReplicaState::ready, Duration(2 * second));
  story.add(events::EpochPublished{1, Duration(second / 1000), {id}});
  LatencyHistogram quick;
  for (int i = 0; i < 60; ++i) quick.add(Duration(second / 1000));
  story.after(50).add(events::RequestsCounted{0, sample(60, 4, 2, quick)});
  story.after(50).add(events::RequestsCounted{0, sample(60, 0, 0, quick)});
  story.add(events::RunEnded{RunState::interrupted, 75, ""})
      .after(1000)
      .start()
      .node(0, "a", {4, 0, 0})
      .declare(0, "llama", 1);
  LatencyHistogram slow;
  for (int i = 0; i < 40; ++i) slow.add(Duration(second));
  ServiceSample last = sample(40, 0, 0, slow);
  for (int i = 0; i < 40; ++i) last.response.inference.add(Duration(second));
  story.after(100).add(events::RequestsCounted{0, last}).add(events::RunEnded{RunState::done, 0, ""});
  const Json report = reported(story);
  const Json& chart = report["over_time"]["services"]["rows"][0];
  CHECK(chart["name"] == "llama");
  CHECK(mean(chart["requests_per_s"], 0, 1) * 200 == doctest::Approx(100).epsilon(0.01));
  CHECK_MESSAGE(mean(chart["requests_per_s"], 0.2, 0.3) * 20 == doctest::Approx(60).epsilon(0.01),
                "in the second before the sample");
  CHECK_MESSAGE(mean(chart["active"], 0.27, 0.48) == doctest::Approx(4).epsilon(0.01), "until the next sample");
  CHECK(mean(chart["queued"], 0.27, 0.48) == doctest::Approx(2).epsilon(0.01));
  CHECK(mean(chart["active"], 0.52, 1) == 0);
  const Json& service = report["services"]["rows"][0];
  CHECK(service["requests"] == 100);
  CHECK(service["p50_s"].get<double>() == doctest::Approx(0.001).epsilon(0.2));
  CHECK(service["p90_s"].get<double>() == doctest::Approx(1).epsilon(0.2));
  CHECK(service["response"]["inference"]["mean_s"] == 1);
  CHECK(service["bootstrap"]["init_s"]["median"] == 2);
  CHECK(service["lives"]["rows"][0]["launch_s"] == 0.1);
  CHECK(service["lives"]["rows"][0]["publish_s"] == 0.001);
  CHECK(service["by_replica"]["rows"][0]["requests"] == 100);
  CHECK(service["by_replica"]["rows"][0]["p90_s"] == service["p90_s"]);
}

TEST_CASE("report: what a lost node's services had waiting waits there no more") {
  Story story;
  story.start(2).node(1, "b", {4, 0, 0}).declare(0, "llama", 1);
  story.add(events::RequestsCounted{1, sample(1, 8, 8)}).after(10).add(events::NodeLost{1, "silent"}).after(10);
  const Json report = reported(story);
  CHECK(mean(report["over_time"]["services"]["rows"][0]["active"], 0.1, 0.45) == doctest::Approx(8).epsilon(0.01));
  CHECK(mean(report["over_time"]["services"]["rows"][0]["active"], 0.55, 1) == 0);
  CHECK_MESSAGE(report["over_time"]["cores"][299].is_null(), "no node is left");
  CHECK(report["nodes"]["rows"][0]["lost"] == true);
  CHECK(report["failures"]["rows"][0]["reason"] == "silent");
}

TEST_CASE("report: lists have bounds and say what they leave out") {
  Story story;
  story.start().node(0, "a", {1, 0, 0});
  for (std::uint32_t i = 0; i < 1000; ++i) {
    story.submit(i, "name" + std::to_string(i)).run(i).end(i, 0, 1, 0, std::string(20'000, 'x') + "the end");
    story.change(i, TaskState::failed, std::string(20'000, 'x') + "the end");
    story.add(events::Warning{std::string(20'000, 'w')});
  }
  for (Rank rank = 1; rank < 1000; ++rank) story.node(rank, "n", {1, 0, 0});
  for (std::uint32_t i = 0; i < 200; ++i) story.declare(i, "s" + std::to_string(i), 1);
  for (std::uint32_t i = 0; i < 3000; ++i) story.replica({{i % 100}, 0, i / 100}, ReplicaState::starting);
  story.after(1);
  const Json report = reported(story);
  CHECK(report["tasks"]["rows"].size() == defaults::report_task_names);
  CHECK(report["tasks"]["more"] == 1000 - defaults::report_task_names);
  CHECK(report["failures"]["rows"].size() == defaults::kept_failures);
  CHECK(report["failures"]["more"] == 1000 - defaults::kept_failures);
  CHECK(report["nodes"]["rows"].size() == defaults::report_nodes);
  CHECK(report["nodes"]["more"] == 1000 - defaults::report_nodes);
  CHECK(report["services"]["rows"].size() == defaults::report_services);
  CHECK(report["services"]["more"] == 200 - defaults::report_services);
  std::size_t lives = 0;
  std::size_t more = 0;
  for (const Json& service : report["services"]["rows"]) {
    lives += service["lives"]["rows"].size();
    more += service["lives"]["more"].get<std::size_t>();
  }
  CHECK(lives == defaults::report_replicas);
  CHECK(lives + more == 3000);
  CHECK(report["over_time"]["services"]["rows"].size() == defaults::report_charted);
  CHECK(report["warnings"]["more"].get<int>() > 0);
  const std::string reason = report["failures"]["rows"][0]["reason"];
  CHECK_MESSAGE(reason.ends_with("the end"), "the tail tells most");
  CHECK(report.dump().size() < 2'000'000);
}

TEST_CASE("report: a log that says nothing, or nothing sensible, makes a report") {
  CHECK(reported(Story())["over_time"]["cores"].empty());
  CHECK(reported(Story().start())["over_time"]["cores"].empty());
  constexpr WallTime far = std::numeric_limits<WallTime>::max();
  Story story;
  story.start().node(0, "a", {1, 0, 0}).submit(0, "t");
  story.add(events::AttemptStarted{{TaskIndex{0}, 0}, 0, 1, -far, {}, {}});
  AttemptEnd end;
  end.ended = far;
  story.add(events::AttemptEnded{{TaskIndex{0}, 0}, 0, end}).after(1);
  story.add(events::RequestsCounted{3, sample(7, 1, 1)});
  const Json report = reported(story);
  CHECK(report["over_time"]["running"][299] == 1);
  CHECK(report["services"]["rows"].empty());
}

TEST_CASE("report page: texts of the run cannot leave their element, nor be taken for anything but text") {
  const std::string hostile = "</script><script>alert(1)</script><!-- \xe2\x80\xa8 \xff";
  Story story;
  story.start().node(0, hostile, {1, 0, 0}).submit(0, hostile).run(0).after(1).end(0, 0, 1, 0, hostile);
  story.add(events::Warning{hostile}).declare(0, hostile, 1);
  const Json report = reported(story);
  std::ostringstream out;
  write_page(report, out);
  const std::string page = out.str();
  CHECK(page.find("alert(1)") != std::string::npos);
  CHECK(page.find("<script>alert") == std::string::npos);
  std::size_t scripts = 0;
  for (std::size_t at = page.find("</script"); at != std::string::npos; at = page.find("</script", at + 1)) ++scripts;
  CHECK_MESSAGE(scripts == 2, "of the data and of the scripts");
  CHECK(page.find("<!--") == std::string::npos);
  CHECK(page.find("\xe2\x80\xa8") == std::string::npos);
  constexpr std::string_view opening = "id=\"data\">";
  const std::size_t begin = page.find(opening) + opening.size();
  CHECK(Json::parse(page.substr(begin, page.find("</script", begin) - begin))["failures"] ==
        Json::parse(json_for_script(report))["failures"]);
}

TEST_CASE("report page: one file that loads nothing, in one script without modules") {
  std::ostringstream out;
  write_page(reported(Story().start()), out);
  const std::string page = out.str();
  CHECK(page.starts_with("<!doctype html>"));
  CHECK(page.ends_with("</html>\n"));
  CHECK(page.find("default-src 'none'") != std::string::npos);
  for (const char* word : {"\nimport ", "\nexport ", " src=", "innerHTML =", "@import", "url("}) {
    CAPTURE(word);
    CHECK(page.find(word) == std::string::npos);
  }
  for (const PageFile& file : page_files()) {
    CAPTURE(file.name);
    CHECK(file.content.find("</script") == std::string_view::npos);
  }
}

}  // namespace
}  // namespace trireme::observe::report
