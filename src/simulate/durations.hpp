// How long made-up tasks take: a distribution, drawn from in a way that depends on the task alone. So the same seed gives the
// same durations, whatever is started in whichever order.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/result.hpp"
#include "core/units.hpp"

namespace trireme::simulate {

/// 100 years: beyond it virtual time ends, long before 64 bits of nanoseconds do.
constexpr Duration longest_duration = std::chrono::hours(24) * 36'525;

class Distribution {
 public:
  /// "60", "exp:60", "uniform:30-90" or "lognormal:60:0.5" (median and sigma); the times are durations. None draws more than
  /// `longest_duration`.
  static Result<Distribution> parse(std::string_view text);
  static Distribution fixed(Duration duration);

  /// The duration of one attempt.
  Duration draw(std::uint64_t seed, std::uint32_t task, std::uint32_t attempt) const;

 private:
  enum class Kind : std::uint8_t { fixed, exponential, uniform, lognormal };
  Kind kind_ = Kind::fixed;
  double first_ = 0;   ///< seconds: the value, the mean, the shortest, the median
  double second_ = 0;  ///< the longest, sigma
};

/// A number from 0 to 1, 0 excluded, that these determine.
double chance_of(std::uint64_t seed, std::uint32_t task, std::uint32_t attempt, std::uint32_t which);

}  // namespace trireme::simulate
