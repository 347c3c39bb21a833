// JSON for the commands' --json: keys in the order in which they were set, bytes that are no UTF-8 replaced.
#pragma once

#include <nlohmann/json.hpp>
#include <ostream>

#include "core/units.hpp"

namespace trireme::cli {

using Json = nlohmann::ordered_json;

inline void print(std::ostream& out, const Json& json) {
  out << json.dump(2, ' ', false, Json::error_handler_t::replace) << '\n';
}

/// Seconds since the epoch, or null for a time that never was.
inline Json time_or_null(WallTime time) {
  return time != 0 ? Json(epoch_seconds(time)) : Json();
}

}  // namespace trireme::cli
