// What a report is counted with: the run's time, bins over it, and spreads.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <numeric>

#include "observe/report/bins.hpp"
#include "observe/report/spread.hpp"
#include "observe/report/timeline.hpp"

namespace trireme::observe::report {
namespace {

using Json = nlohmann::json;
using namespace std::chrono_literals;
using Values = std::vector<double>;

TEST_CASE("report bins: an amount counts in each bin with the part of it that it covers") {
  Bins bins(10s, 5);
  bins.add(1s, 5s, 4);
  CHECK(bins.means() == Values{2, 4, 2, 0, 0});
  bins.add(6500ms, 7s, 4);
  CHECK_MESSAGE((bins.means() == Values{2, 4, 2, 1, 0}), "within one bin");
  bins.add(-3s, 20s, 1);
  CHECK_MESSAGE((bins.means() == Values{3, 5, 3, 2, 1}), "what is outside is cut off");
  bins.add(5s, 3s, 7);
  bins.add(4s, 4s, 7);
  bins.add(10s, 11s, 7);
  CHECK_MESSAGE((bins.means() == Values{3, 5, 3, 2, 1}), "nothing lasts less than no time");
}

TEST_CASE("report bins: things are counted per second, the last moment's too") {
  Bins bins(10s, 5);
  bins.count(0s);
  bins.count(1s);
  bins.count(2s);
  bins.count(10s);
  CHECK(bins.means() == Values{1, 0.5, 0, 0, 0.5});
  CHECK(bins.width_s() == 2);
}

TEST_CASE("report bins: a run of no length has none") {
  Bins bins(0s, 5);
  bins.add(0s, 1s, 1);
  bins.count(0s);
  CHECK(bins.means().empty());
}

TEST_CASE("report bins: growing ones lose nothing, however far they have to grow") {
  GrowingBins growing(8, 1ms);
  double all = 0;
  for (int i = 0; i < 1000; ++i) {
    growing.add(i * 100ms, i * 100ms + 50ms, i % 7);
    all += (i % 7) * 0.05;
  }
  Bins bins(100s, 4);
  growing.pour_into(bins);
  const Values means = bins.means();
  CHECK(std::accumulate(means.begin(), means.end(), 0.0) * 25 == doctest::Approx(all));
  CHECK(means[0] == doctest::Approx(means[3]).epsilon(0.05));
}

TEST_CASE("report bins: what growing ones hold stands where it was") {
  GrowingBins growing(100, 1ms);
  growing.add(20s, 40s, 3);
  Bins bins(80s, 4);
  growing.pour_into(bins);
  CHECK(bins.means()[0] == doctest::Approx(0).epsilon(0.01));
  CHECK(bins.means()[1] == doctest::Approx(3).epsilon(0.02));
  CHECK(bins.means()[2] == doctest::Approx(0).epsilon(0.01));
}

TEST_CASE("report time: pauses before a run is resumed are left out") {
  constexpr WallTime s = 1'000'000'000;
  Timeline time;
  time.reach(50 * s);
  CHECK(time.total() == 0s);
  CHECK(time.at(7 * s) == 0s);
  time.begin(100 * s);
  time.reach(110 * s);
  time.end(120 * s);
  time.reach(130 * s);
  CHECK(time.total() == 20s);
  time.begin(1000 * s);
  time.reach(1005 * s);
  CHECK(time.total() == 25s);
  CHECK(time.at(110 * s) == 10s);
  CHECK_MESSAGE(time.at(500 * s) == 20s, "in the pause");
  CHECK(time.at(1003 * s) == 23s);
  CHECK_MESSAGE(time.at(5000 * s) == 25s, "later than all");
  CHECK_MESSAGE(time.at(std::numeric_limits<WallTime>::min()) == 0s, "of a damaged log");
  time.begin(900 * s);
  CHECK_MESSAGE(time.total() == 25s, "the clock was set back");
}

TEST_CASE("report spread: medians and nine of ten") {
  Values none;
  CHECK(spread_json(none).is_null());
  Values one{7};
  CHECK(Json(spread_json(one)) == Json{{"count", 1}, {"min", 7}, {"median", 7}, {"p90", 7}, {"max", 7}});
  Values ten{10, 1, 9, 2, 8, 3, 7, 4, 6, 5};
  CHECK(Json(spread_json(ten)) == Json{{"count", 10}, {"min", 1}, {"median", 5.5}, {"p90", 9}, {"max", 10}});
  Values three{3, 1, 2};
  CHECK(spread_json(three)["median"] == 2);
}

}  // namespace
}  // namespace trireme::observe::report
