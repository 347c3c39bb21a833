#include "proxy/metrics.hpp"

#include <doctest/doctest.h>

#include <map>
#include <set>
#include <sstream>

#include "proxy/endpoints.hpp"

using namespace trireme;
using namespace trireme::proxy;

namespace {

constexpr ServiceIndex llama{0};

/// What a scraper reads; fails the test on a line that is none of the format's.
std::map<std::string, double> parse(const std::string& text) {
  std::map<std::string, double> values;
  std::set<std::string> types;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    CAPTURE(line);
    if (line.starts_with("# TYPE ")) {
      std::istringstream words(line.substr(7));
      std::string name;
      words >> name;
      CHECK(types.insert(name).second);
      continue;
    }
    if (line.starts_with("# HELP ")) continue;
    const std::size_t space = line.rfind(' ');
    REQUIRE(space != std::string::npos);
    std::size_t used = 0;
    const double value = std::stod(line.substr(space + 1), &used);
    CHECK(used == line.size() - space - 1);
    CHECK(values.emplace(line.substr(0, space), value).second);
    std::string name = line.substr(0, line.find('{'));
    for (const std::string suffix : {"_bucket", "_sum", "_count"}) {
      if (name.ends_with(suffix) && !types.contains(name)) name.erase(name.size() - suffix.size());
    }
    CHECK(types.contains(name));
  }
  return values;
}

}  // namespace

TEST_CASE("metrics: what is counted can be read by a scraper") {
  Metrics metrics;
  metrics.record({.service = llama,
                  .replica = 0,
                  .code = 200,
                  .duration_s = 0.03,
                  .first_byte_s = 0.002,
                  .bytes_up = 10,
                  .bytes_down = 100,
                  .retries = 1});
  metrics.record({.service = llama, .replica = 0, .code = 200, .duration_s = 1000, .first_byte_s = 0.001});
  metrics.record({.service = llama, .replica = std::nullopt, .code = 429, .failed = true, .duration_s = 0});
  metrics.stream_pause(llama, 0.04);
  metrics.stream_pause(llama, 0.2);
  const auto values =
      parse(metrics.text({{.service = llama, .name = "lla\"ma", .in_flight = 3, .waiting = 2, .queued = 5}},
                         {{.service = "lla\"ma",
                           .replica = first_remote + 1,
                           .in_flight = 4,
                           .healthy = false,
                           .breaker = 2,
                           .times_opened = 7}},
                         {{401, 3}}));
  const std::string site = "{service=\"lla\\\"ma\",replica=\"remote-1\"}";
  CHECK(values.at("trireme_replica_requests_active" + site) == 4);
  CHECK(values.at("trireme_replica_health" + site) == 0);
  CHECK(values.at("trireme_replica_cb_state" + site) == 2);
  CHECK(values.at("trireme_replica_cb_opened_total" + site) == 7);
  CHECK(values.at("trireme_refusals_total{code=\"401\"}") == 3);
  CHECK(values.at("trireme_inter_token_latency_seconds_count{service=\"lla\\\"ma\"}") == 2);
  CHECK(values.at("trireme_inter_token_latency_seconds_bucket{service=\"lla\\\"ma\",le=\"0.05\"}") == 1);
  const std::string service = "service=\"lla\\\"ma\"";
  CHECK(values.at("trireme_requests_total{" + service + ",replica=\"0\",code=\"200\"}") == 2);
  CHECK(values.at("trireme_requests_total{" + service + ",replica=\"\",code=\"429\"}") == 1);
  CHECK(values.at("trireme_num_requests_running{" + service + "}") == 3);
  CHECK(values.at("trireme_num_requests_waiting{" + service + "}") == 2);
  CHECK(values.at("trireme_num_requests_queued{" + service + "}") == 5);
  CHECK(values.at("trireme_request_bytes_total{" + service + "}") == 10);
  CHECK(values.at("trireme_response_bytes_total{" + service + "}") == 100);
  CHECK(values.at("trireme_retries_total{" + service + "}") == 1);
  const std::string duration = "trireme_request_duration_seconds";
  CHECK(values.at(duration + "_bucket{" + service + ",le=\"0.025\"}") == 1);
  CHECK(values.at(duration + "_bucket{" + service + ",le=\"0.05\"}") == 2);
  CHECK(values.at(duration + "_bucket{" + service + ",le=\"250\"}") == 2);
  CHECK(values.at(duration + "_bucket{" + service + ",le=\"+Inf\"}") == 3);
  CHECK(values.at(duration + "_count{" + service + "}") == 3);
  CHECK(values.at(duration + "_sum{" + service + "}") == doctest::Approx(1000.03));
  CHECK(values.at("trireme_time_to_first_byte_seconds_count{" + service + "}") == 2);
  CHECK(values.at("trireme_time_to_first_byte_seconds_bucket{" + service + ",le=\"0.001\"}") == 1);
}

TEST_CASE("metrics: samples are cumulative and given when something has changed") {
  Metrics metrics;
  ServiceGauges gauges{.service = llama, .name = "llama"};
  CHECK(metrics.take_samples({gauges}, {}).empty());
  metrics.record({.service = llama,
                  .replica = 0,
                  .code = 200,
                  .parts = {{.communication = std::chrono::microseconds(30),
                             .service = std::chrono::milliseconds(2),
                             .inference = std::chrono::milliseconds(20)}}});
  metrics.record({.service = llama, .replica = std::nullopt, .code = 503, .failed = true});
  metrics.served({llama, 0, 0}, false, std::chrono::milliseconds(20));
  metrics.served({llama, 3, 0}, true, std::chrono::milliseconds(1));
  metrics.served({llama, 3, 1}, false, std::chrono::milliseconds(80));
  auto samples = metrics.take_samples({gauges}, {});
  REQUIRE(samples.size() == 1);
  CHECK(samples[0].requests == 2);
  CHECK(samples[0].failed == 1);
  CHECK(samples[0].response.communication.mean() == std::chrono::microseconds(30));
  CHECK(samples[0].response.service.mean() == std::chrono::milliseconds(2));
  CHECK(samples[0].response.inference.mean() == std::chrono::milliseconds(20));
  REQUIRE(samples[0].replicas.size() == 2);
  CHECK(samples[0].replicas[0] == ServiceSample::PerReplica{.replica = 0, .requests = 1, .failed = 0});
  CHECK(samples[0].replicas[1] == ServiceSample::PerReplica{.replica = 3, .requests = 2, .failed = 1});
  REQUIRE(samples[0].loads.size() == 2);
  CHECK(samples[0].loads[1].latency.count() == 1);
  CHECK(metrics.take_samples({gauges}, {}).empty());
  const SiteGauges busy{.service = "llama", .replica = 3, .in_flight = 2, .index = llama};
  samples = metrics.take_samples({gauges}, {busy});
  REQUIRE(samples.size() == 1);
  CHECK(samples[0].loads[1].active == 2);
  samples = metrics.take_samples({gauges}, {});
  REQUIRE_MESSAGE(samples.size() == 1, "what is idle again is told");
  CHECK(samples[0].loads[1].active == 0);
  gauges.queued = 4;
  samples = metrics.take_samples({gauges}, {});
  REQUIRE(samples.size() == 1);
  CHECK(samples[0].queued == 4);
  CHECK(samples[0].requests == 2);
}
