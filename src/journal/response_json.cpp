#include "journal/response_json.hpp"

#include <optional>

namespace trireme {
namespace {

using Json = nlohmann::ordered_json;

Json or_null(const std::optional<Duration>& duration) {
  return duration ? Json(seconds(*duration)) : Json();
}

Json times_json(const Times& times) {
  return {{"mean_s", or_null(times.mean())},
          {"sd_s", or_null(times.deviation())},
          {"p50_s", or_null(times.histogram.quantile(0.5))},
          {"p99_s", or_null(times.histogram.quantile(0.99))}};
}

}  // namespace

Json response_json(const ResponseTimes& response) {
  return {{"requests", response.inference.histogram.count()},
          {"communication", times_json(response.communication)},
          {"service", times_json(response.service)},
          {"inference", times_json(response.inference)}};
}

}  // namespace trireme
