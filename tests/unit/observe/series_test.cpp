#include "observe/series.hpp"

#include <cmath>
#include <limits>

#include "story.hpp"

namespace trireme::observe {
namespace {

using namespace test;

struct Row {
  WallTime time;
  std::vector<float> values;
};

std::vector<Row> rows_of(const Series& series) {
  std::vector<Row> rows;
  series.each([&](WallTime time, std::span<const float> values) {
    rows.push_back({time, {values.begin(), values.end()}});
  });
  return rows;
}

constexpr SeriesShape small{.points = 4, .levels = 3, .step = 2};

TEST_CASE("series: what is new is kept as it was") {
  Series series(2, small);
  for (int i = 1; i <= 3; ++i) series.add(i * second, std::array<double, 2>{1.0 * i, -1.0 * i});
  const auto rows = rows_of(series);
  REQUIRE(rows.size() == 3);
  CHECK(rows[0].time == second);
  CHECK(rows[2].values == std::vector<float>{3, -3});
}

TEST_CASE("series: what is old is kept as means, in order and without rows that overlap") {
  Series series(1, small);
  for (int i = 1; i <= 12; ++i) series.add(i * second, std::array<double, 1>{1.0 * i});
  const auto rows = rows_of(series);
  // The finest four are 9 to 12; before them are means of two, and before those of four.
  std::vector<WallTime> times;
  for (const Row& row : rows) times.push_back(row.time / second);
  CHECK(times == std::vector<WallTime>{4, 6, 8, 9, 10, 11, 12});
  CHECK(rows[0].values[0] == doctest::Approx(2.5));
  CHECK(rows[1].values[0] == doctest::Approx(5.5));
  CHECK(rows[2].values[0] == doctest::Approx(7.5));
}

TEST_CASE("series: memory is bounded and time covered grows with the levels, however long a run is") {
  Series series(1);
  const std::size_t most = defaults::dashboard_points * defaults::dashboard_levels;
  for (int i = 1; i <= 3'000'000; ++i) series.add(i * second, std::array<double, 1>{1.0});
  const auto rows = rows_of(series);
  CHECK(rows.size() <= most);
  CHECK(rows.back().time == 3'000'000 * second);
  CHECK(rows.front().time < 3'000'000 * second - 12 * 24 * 3600 * second);
  for (std::size_t i = 1; i < rows.size(); ++i) CHECK(rows[i - 1].time < rows[i].time);
  CHECK(rows.front().values[0] == 1);
}

TEST_CASE("series: a mean is of what is known, and unknown where nothing is") {
  constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
  Series series(2, small);
  for (int i = 1; i <= 8; ++i) series.add(i * second, std::array<double, 2>{i % 2 == 0 ? unknown : 6.0, unknown});
  const auto rows = rows_of(series);
  CHECK(rows.front().values[0] == 6);
  CHECK(std::isnan(rows.front().values[1]));
}

}  // namespace
}  // namespace trireme::observe
