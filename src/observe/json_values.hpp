// Values of a run as JSON, for the pages that show one: the dashboard's and the report's. Pure.
#pragma once

#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

#include "core/states.hpp"
#include "core/units.hpp"
#include "observe/run_view.hpp"

namespace trireme::observe {

/// Keys are in the order in which they were set.
using OrderedJson = nlohmann::ordered_json;

/// Four digits are more than a chart can show; null for what is no number.
inline OrderedJson rounded(double value) {
  if (!std::isfinite(value)) return nullptr;
  if (value == 0) return 0;
  const double scale = std::pow(10.0, 3 - std::floor(std::log10(std::abs(value))));
  return std::round(value * scale) / scale;
}

/// Seconds since the epoch, to the millisecond; null for a time that never was.
inline OrderedJson time_of(WallTime time) {
  return time > 0 ? OrderedJson(std::round(epoch_seconds(time) * 1e3) / 1e3) : OrderedJson();
}

/// A text's beginning, and its end: behind what happened may stand the tail of a log, of which the last lines tell most.
inline std::string cut_short(const std::string& text, std::size_t longest) {
  const std::size_t beginning = longest / 4;
  if (text.size() <= longest) return text;
  return text.substr(0, beginning) + " … " + text.substr(text.size() - (longest - beginning));
}

/// In one line; bytes that are no UTF-8 are replaced.
inline std::string text_of(const OrderedJson& json) {
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

/// How many tasks are in each state, of a run or of a group.
inline OrderedJson counts_json(const auto& counted) {
  constexpr std::array states{TaskState::waiting, TaskState::ready,     TaskState::running, TaskState::done,
                              TaskState::failed,  TaskState::cancelled, TaskState::skipped};
  OrderedJson out = OrderedJson::object();
  for (const TaskState state : states) out[std::string(to_string(state))] = counted.count(state);
  return out;
}

/// The last failures, newest first.
OrderedJson failures_json(const RunView& run, std::size_t most, std::size_t longest_reason);

}  // namespace trireme::observe
