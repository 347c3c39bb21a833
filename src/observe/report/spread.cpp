#include "observe/report/spread.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace trireme::observe::report {

nlohmann::ordered_json spread_json(std::vector<double>& values) {
  if (values.empty()) return nullptr;
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  const double median = values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  const auto nine_of_ten = static_cast<std::size_t>(std::ceil(0.9 * static_cast<double>(values.size())));
  return {{"count", values.size()},
          {"min", values.front()},
          {"median", median},
          {"p90", values[nine_of_ten - 1]},
          {"max", values.back()}};
}

}  // namespace trireme::observe::report
