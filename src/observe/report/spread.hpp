// How many numbers lie: the least, the median, what nine of ten do not exceed, the most.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <vector>

namespace trireme::observe::report {

/// {"count", "min", "median", "p90", "max"}; null where there are none. The median of an even number of them is the mean of the two
/// in the middle. Changes their order.
nlohmann::ordered_json spread_json(std::vector<double>& values);

}  // namespace trireme::observe::report
