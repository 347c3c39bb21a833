#include <doctest/doctest.h>

#include <cmath>

#include "simulate/lower_bound.hpp"
#include "simulate/simulation.hpp"
#include "simulate/usage_curve.hpp"
#include "simulate/workload.hpp"

using namespace trireme;
using namespace trireme::simulate;

namespace {

constexpr MonoTime second = 1'000'000'000;

TaskDescription task(std::string id, std::vector<std::string> after = {}) {
  TaskDescription t;
  t.id = t.name = std::move(id);
  t.command = {Template::literal("true")};
  t.after = std::move(after);
  return t;
}

Options machine(std::uint32_t nodes, Resources each) {
  Options options;
  options.nodes.assign(nodes, each);
  options.duration = Distribution::fixed(std::chrono::seconds(10));
  return options;
}

Kind kind(std::string_view text) {
  auto parsed = parse_kind(text);
  REQUIRE(parsed);
  return *parsed;
}

WorkflowDescription made_up(std::vector<TaskFamily> tasks) {
  WorkflowDescription flow;
  flow.tasks = std::move(tasks);
  return flow;
}

}  // namespace

TEST_SUITE("simulate") {
  TEST_CASE("two stages on two cores take what they must") {
    WorkflowDescription flow;
    flow.tasks = {task("a"), task("b"), task("c"), task("last", {"a", "b", "c"})};
    const auto report = run(flow, machine(1, {.cores = 2}));
    REQUIRE(report);
    CHECK(report->tasks.done == 4);
    CHECK(report->decisions == 4);
    CHECK(report->makespan_s == doctest::Approx(30).epsilon(0.001));
    CHECK(report->critical_path_s == doctest::Approx(20));
    CHECK(report->work_bound_s == doctest::Approx(20));
    CHECK(report->last_start_s == doctest::Approx(20).epsilon(0.001));
    CHECK(report->utilisation_until_tail == doctest::Approx(0.75).epsilon(0.01));
    CHECK(report->utilisation == doctest::Approx(40.0 / 60).epsilon(0.01));
  }

  TEST_CASE("no schedule is shorter than order and number of the tasks allow") {
    const auto jobs = [](std::initializer_list<double> durations) {
      std::vector<Job> out;
      for (const double duration : durations) out.push_back({.duration = duration, .cores = 1, .after = {}});
      return out;
    };
    CHECK(precedence_bound(jobs({4, 4, 4, 4}), 2) == doctest::Approx(8));
    CHECK(precedence_bound(jobs({5, 4, 3}), 2) == doctest::Approx(7));  // two of the three follow each other
    // Between a first and a last one, three on two cores: neither the chain (12) nor all work (11) says so.
    std::vector<Job> diamond = jobs({4, 4, 4, 4, 4, 2});
    diamond[1].after = diamond[2].after = diamond[3].after = {0};
    diamond[4].after = {1, 2, 3};
    CHECK(precedence_bound(diamond, 2) == doctest::Approx(16));
    // Two stages of equal work, the second after all of the first: each takes its work over all cores.
    std::vector<Job> stages = jobs({1, 1, 1, 1, 0, 1, 1, 1, 1});
    stages[4].after = {0, 1, 2, 3};
    for (std::size_t i = 5; i < 9; ++i) stages[i].after = {4};
    CHECK(precedence_bound(stages, 3) == doctest::Approx(4));
    stages[0].cores = 3;
    CHECK(precedence_bound(stages, 3) == doctest::Approx(4));
    stages[4].after.push_back(5);
    CHECK(!precedence_bound(stages, 3));  // a circle
    CHECK(!precedence_bound({}, 3));
  }

  TEST_CASE("a random workflow never beats its bound, and the bound is as strong as the plain one") {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      CAPTURE(seed);
      Options options = machine(1, {.cores = 2 + static_cast<std::uint32_t>(seed % 5)});
      options.duration = *Distribution::parse("lognormal:60:0.5");
      options.seed = seed;
      options.tick = std::chrono::microseconds(1);
      WorkflowDescription flow;
      const auto chance = [&](std::uint32_t a, std::uint32_t b) { return chance_of(seed, a, b, 3); };
      for (std::uint32_t i = 0; i < 60; ++i) {
        TaskDescription t = task("t" + std::to_string(i));
        t.name = i % 3 == 0 ? "group" + std::to_string(i / 20) : t.id;
        t.per_rank.cores = chance(i, i) < 0.2 ? 2 : 1;
        for (std::uint32_t before = 0; before < i; ++before) {
          if (chance(i, before) < 0.05) t.after.push_back("t" + std::to_string(before));
        }
        if (i >= 40 && chance(i, 99) < 0.2) t.after.push_back("group0");
        flow.tasks.emplace_back(std::move(t));
      }
      const auto report = run(flow, options);
      REQUIRE(report);
      CHECK(report->precedence_bound_s >= report->bound_s() * 0.999999);
      CHECK(report->precedence_bound_s <= report->makespan_s * 1.000001);
    }
  }

  TEST_CASE("a mixed workload fills the machine, and no shape is left to the end") {
    Options options = machine(200, {.cores = 56, .gpus = 8000});
    options.duration = *Distribution::parse("exp:60");
    const std::vector<Kind> kinds{kind("cores=1,weight=0.8"), kind("cores=7,gpus=1,weight=0.1996"),
                                  kind("ranks=8,cores=56,gpus=8,weight=0.0004")};
    const auto report = run(made_up(make_workload(kinds, 200'000, 20, 1)), options);
    REQUIRE(report);
    CHECK(report->tasks.done == 200'000);
    CHECK(report->utilisation_until_tail > 0.98);
    REQUIRE(report->shapes.size() == 3);
    double earliest = report->makespan_s;
    double latest = 0;
    for (const ShapeReport& shape : report->shapes) {
      earliest = std::min(earliest, shape.half_started_s);
      latest = std::max(latest, shape.half_started_s);
    }
    CHECK(latest < 2 * earliest);
    MESSAGE(report->decisions_per_s() << " decisions/s, " << 100 * report->utilisation_until_tail
                                      << " % until the tail");
  }

  TEST_CASE("a made-up workload has its mixture from the first task to the last") {
    const std::vector<Kind> kinds{kind("cores=1,weight=0.8"), kind("cores=7,weight=0.199"),
                                  kind("ranks=8,weight=0.001")};
    std::uint32_t made = 0;
    std::uint32_t wide = 0;
    for (const TaskFamily& family : make_workload(kinds, 100'000, 100, 1)) {
      made += family.size();
      wide += family.shared().ranks > 1 ? family.size() : 0;
      REQUIRE(std::abs(wide - 0.001 * made) <= 3);
    }
    CHECK(made == 100'000);
  }

  TEST_CASE("the same seed gives the same run, another one another") {
    Options options = machine(4, {.cores = 4});
    options.duration = *Distribution::parse("lognormal:60:0.5");
    options.failures = 0.1;
    const auto flow = made_up(make_workload({kind("cores=1"), kind("cores=2,weight=0.5")}, 500, 10, 1));
    const auto one = run(flow, options);
    const auto two = run(flow, options);
    REQUIRE(one);
    REQUIRE(two);
    CHECK(one->makespan_s == two->makespan_s);
    CHECK(one->tasks.failed > 20);
    CHECK(one->tasks.failed == two->tasks.failed);
    options.seed = 2;
    const auto three = run(flow, options);
    REQUIRE(three);
    CHECK(one->makespan_s != three->makespan_s);
  }

  TEST_CASE("what does not fit is an error") {
    const auto report = run(made_up(make_workload({kind("cores=8")}, 10, 1, 1)), machine(4, {.cores = 4}));
    REQUIRE(!report);
    CHECK(report.error().code == ExitCode::does_not_fit);
  }

  TEST_CASE("what takes longer than virtual time has room for is an error") {
    WorkflowDescription flow;
    flow.tasks = {task("a"), task("b", {"a"})};
    Options options = machine(1, {.cores = 2});
    options.duration = Distribution::fixed(longest_duration / 2);
    const auto report = run(flow, options);
    REQUIRE(!report);
    CHECK(report.error().code == ExitCode::usage);
    options.duration = Distribution::fixed(longest_duration / 3);
    CHECK(run(flow, options));
    // A draw is never longer, whatever it comes to.
    for (const char* text : {"exp:2500000h", "lognormal:9:1e308", "lognormal:0:1e308"}) {
      CAPTURE(text);
      for (std::uint32_t i = 0; i < 1000; ++i) {
        const Duration drawn = Distribution::parse(text)->draw(1, i, 0);
        REQUIRE(drawn >= Duration(0));
        REQUIRE(drawn <= longest_duration);
      }
    }
  }

  TEST_CASE("without tasks there is nothing to simulate") {
    WorkflowDescription flow;
    ServiceDescription service;
    service.name = "web";
    service.command = {Template::literal("true")};
    flow.services.push_back(std::move(service));
    const auto report = run(std::move(flow), machine(1, {.cores = 2}));
    REQUIRE(!report);
    CHECK(report.error().code == ExitCode::usage);
  }

  TEST_CASE("distributions have their means") {
    struct Case {
      const char* text;
      double mean;
    };
    for (const Case& c :
         {Case{"60", 60}, {"exp:60", 60}, {"uniform:30-90", 60}, {"lognormal:60:0.5", 60 * std::exp(0.125)}}) {
      CAPTURE(c.text);
      const auto distribution = Distribution::parse(c.text);
      REQUIRE(distribution);
      double sum = 0;
      for (std::uint32_t i = 0; i < 100'000; ++i) sum += seconds(distribution->draw(1, i, 0));
      CHECK(sum / 100'000 == doctest::Approx(c.mean).epsilon(0.02));
    }
    for (const char* text : {"", "exp", "exp:", "uniform:9", "uniform:9-3", "lognormal:9", "lognormal:9:x",
                             "lognormal:9:inf", "gauss:1"}) {
      CAPTURE(text);
      CHECK(!Distribution::parse(text));
    }
  }

  TEST_CASE("shapes that are not understood are errors") {
    for (const char* text : {"core=1", "cores", "cores=", "cores=x", "ranks=0", "gpus=-1", "gpus=inf", "gpus=5000000",
                             "weight=-1", "weight=0", "weight=inf", "weight=nan"}) {
      CAPTURE(text);
      CHECK(!parse_kind(text));
    }
  }

  TEST_CASE("use over time, at whatever scale") {
    for (const MonoTime scale : {MonoTime{1'000}, second, 3'600 * second}) {
      CAPTURE(scale);
      UsageCurve curve;
      curve.set(0, 10);
      curve.set(50 * scale, 0);
      curve.set(75 * scale, 20);
      curve.finish(100 * scale);
      CHECK(curve.total() == doctest::Approx(1000 * static_cast<double>(scale) / 1e9));
      if (scale == 1'000) continue;  // finer than a cell
      CHECK(curve.until(50 * scale) == doctest::Approx(500 * static_cast<double>(scale) / 1e9).epsilon(0.01));
      const auto means = curve.means(100 * scale, 4);
      for (std::size_t i = 0; i < 4; ++i)
        CHECK(means[i] == doctest::Approx(i < 2 ? 10 : i == 2 ? 0 : 20).epsilon(0.02));
    }
  }
}
