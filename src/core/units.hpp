// Durations and sizes, as people write them.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/result.hpp"

namespace trireme {

using Duration = std::chrono::nanoseconds;

/// Wall-clock time in nanoseconds since the Unix epoch: what events carry and people read.
using WallTime = std::int64_t;
/// Monotonic time in nanoseconds since an arbitrary start: what deadlines are made of.
using MonoTime = std::int64_t;
constexpr MonoTime millisecond = 1'000'000;

WallTime wall_now();
MonoTime mono_now();

constexpr double seconds(Duration d) {
  return std::chrono::duration<double>(d).count();
}
/// Seconds since the epoch, to the microsecond that a double still holds.
constexpr double epoch_seconds(WallTime t) {
  return static_cast<double>(t / 1'000'000'000) + static_cast<double>(t % 1'000'000'000) / 1e9;
}

/// `90`, `1.5`, `90s`, `250ms`, `1h30m`, `2d`, `1:30` (minutes:seconds), `1:30:00` (hours:minutes:seconds). A bare number is
/// seconds. Negative durations and unknown units are errors.
Result<Duration> parse_duration(std::string_view text);
/// The shortest form that parse_duration reads back to the same value: "1h30m", "90ms", "0s".
std::string format_duration(Duration duration);

/// `16G`, `512M`, `1.5G`, `100`, `64KiB`, `2GB`: powers of 1024 with or without an `i`, bytes when bare.
Result<std::uint64_t> parse_size(std::string_view text);
/// "16G", "512M", "1000" — exact, in the largest unit that divides it.
std::string format_size(std::uint64_t bytes);

/// "2026-01-31T12:00:00.123Z".
std::string format_wall_time(WallTime time);

}  // namespace trireme
