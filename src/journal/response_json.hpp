// The parts of response times as JSON, for whatever prints a run: events, services, the summary. Pure.
#pragma once

#include <nlohmann/json.hpp>

#include "core/latency.hpp"

namespace trireme {

/// {"requests", "communication": {"mean_s", "sd_s", "p50_s", "p99_s"}, "service": {…}, "inference": {…}}; null where there were no
/// requests.
nlohmann::ordered_json response_json(const ResponseTimes& response);

}  // namespace trireme
