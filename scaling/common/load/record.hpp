// What came of the requests: times, statuses, who answered.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/units.hpp"

namespace trireme::load {

/// Times in nanoseconds, kept one by one: a quantile is exact. In JSON they are seconds.
class Times {
 public:
  void add(Duration time) { values_.push_back(static_cast<std::uint64_t>(time.count())); }
  nlohmann::ordered_json json() {
    if (values_.empty()) return nullptr;
    std::ranges::sort(values_);
    nlohmann::ordered_json out;
    const auto count = static_cast<double>(values_.size());
    double sum_s = 0, squares_s2 = 0;
    for (const std::uint64_t value : values_) {
      const double time_s = static_cast<double>(value) / 1e9;
      sum_s += time_s;
      squares_s2 += time_s * time_s;
    }
    out["mean"] = sum_s / count;
    out["sd"] = std::sqrt(std::max(squares_s2 / count - sum_s / count * sum_s / count, 0.0));
    for (const auto& [name, share] :
         {std::pair{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}, {"max", 1.0}}) {
      const auto at = static_cast<std::size_t>(share * static_cast<double>(values_.size() - 1));
      out[name] = static_cast<double>(values_[at]) / 1e9;
    }
    return out;
  }

 private:
  std::vector<std::uint64_t> values_;
};

struct Record {
  std::uint64_t requests = 0;  ///< answered completely, whatever the status
  std::uint64_t broken = 0;    ///< no connection, or it ended before the answer did
  std::uint64_t bytes = 0;     ///< of answers' bodies
  std::map<int, std::uint64_t> statuses;
  std::map<std::string, std::uint64_t> servers;  ///< by X-Mock-Server
  Times latency;                                 ///< from a request's first byte to its answer's last
  Times first_byte;                              ///< to the first byte of the answer's body

  nlohmann::ordered_json json(Duration elapsed) {
    nlohmann::ordered_json codes = nlohmann::ordered_json::object();
    for (const auto& [status, count] : statuses) codes[std::to_string(status)] = count;
    return {
        {"requests", requests}, {"broken", broken},   {"seconds", seconds(elapsed)}, {"bytes", bytes},
        {"statuses", codes},    {"servers", servers}, {"latency", latency.json()},   {"first_byte", first_byte.json()}};
  }
};

}  // namespace trireme::load
