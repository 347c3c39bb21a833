#include "core/latency.hpp"

#include <doctest/doctest.h>

using namespace trireme;

TEST_CASE("percentiles are within 10 % of the truth, from microseconds to minutes") {
  for (const double scale : {2e3, 1e6, 1e9, 6e10}) {
    CAPTURE(scale);
    LatencyHistogram all;
    for (int i = 1; i <= 1000; ++i) all.add(Duration(static_cast<std::int64_t>(scale * i / 100)));
    CHECK(static_cast<double>(all.quantile(0.5)->count()) == doctest::Approx(scale * 5).epsilon(0.1));
    CHECK(static_cast<double>(all.quantile(0.99)->count()) == doctest::Approx(scale * 9.9).epsilon(0.1));
  }
}

TEST_CASE("histograms of two replicas are added, and what is beyond the bounds is kept in the last bucket") {
  LatencyHistogram one;
  CHECK(!one.quantile(0.5));
  one.add(Duration(0));
  LatencyHistogram other;
  other.add(std::chrono::hours(100));
  other.add(one);
  CHECK(other.count() == 2);
  CHECK(*other.quantile(0.5) <= std::chrono::microseconds(1));
  CHECK(*other.quantile(1) > std::chrono::minutes(20));
}

TEST_CASE("what came in since an earlier state is told apart, also where a replica has begun anew meanwhile") {
  LatencyHistogram all;
  all.add(std::chrono::milliseconds(1));
  all.add(std::chrono::milliseconds(50));
  const LatencyHistogram earlier = all;
  CHECK(all.since(earlier).count() == 0);
  all.add(std::chrono::seconds(2));
  all.add(std::chrono::milliseconds(50));
  const LatencyHistogram fresh = all.since(earlier);
  CHECK(fresh.count() == 2);
  CHECK(*fresh.quantile(0) > std::chrono::milliseconds(40));
  CHECK(*fresh.quantile(1) > std::chrono::seconds(1));
  CHECK(LatencyHistogram().since(all).count() == 0);
}

TEST_CASE("the mean and the deviation of times are exact, also of added ones, and none where there are no times") {
  Times one, other;
  CHECK(!one.mean());
  CHECK(!one.deviation());
  one.add(std::chrono::milliseconds(10));
  other.add(std::chrono::milliseconds(20));
  other.add(std::chrono::milliseconds(60));
  one.add(other);
  CHECK(seconds(*one.mean()) == doctest::Approx(0.03));
  CHECK(seconds(*one.deviation()) == doctest::Approx(0.0216025));
  CHECK(one.histogram.count() == 3);
}
