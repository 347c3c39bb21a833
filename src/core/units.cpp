#include "core/units.hpp"

#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <vector>

namespace trireme {
namespace {

// 64 bits of mantissa: every whole number of nanoseconds or bytes is exact.
using Number = long double;

struct Unit {
  std::string_view name;
  Number factor;
};

constexpr std::array<Unit, 13> duration_units{{{"ns", 1},
                                               {"us", 1e3},
                                               {"ms", 1e6},
                                               {"s", 1e9},
                                               {"sec", 1e9},
                                               {"m", 60e9},
                                               {"min", 60e9},
                                               {"h", 3600e9},
                                               {"hour", 3600e9},
                                               {"hours", 3600e9},
                                               {"d", 86400e9},
                                               {"day", 86400e9},
                                               {"days", 86400e9}}};

// Longer durations would overflow nanoseconds in 64 bits.
constexpr Number max_nanoseconds = 9.0e18L;

Error bad_duration(std::string_view text) {
  return {"\"" + std::string(text) + "\" is not a duration", "", "write 90, 90s, 1h30m or 1:30:00", ExitCode::usage};
}

Error bad_size(std::string_view text) {
  return {"\"" + std::string(text) + "\" is not a size", "", "write 16G, 512M or a number of bytes", ExitCode::usage};
}

/// Reads an unsigned decimal number at the front of `text` and takes it away.
bool take_number(std::string_view& text, Number& number) {
  std::size_t digits = 0;
  while (digits < text.size() && (std::isdigit(static_cast<unsigned char>(text[digits])) != 0 || text[digits] == '.')) {
    ++digits;
  }
  if (digits == 0) return false;
  auto [end, error] = std::from_chars(text.data(), text.data() + digits, number);
  if (error != std::errc{} || end != text.data() + digits) return false;
  text.remove_prefix(digits);
  return true;
}

Result<Duration> parse_clock(std::string_view text) {
  std::vector<Number> parts;
  std::string_view rest = text;
  while (true) {
    Number number = 0;
    if (!take_number(rest, number)) return bad_duration(text);
    parts.push_back(number);
    if (rest.empty()) break;
    if (rest.front() != ':') return bad_duration(text);
    rest.remove_prefix(1);
  }
  if (parts.size() < 2 || parts.size() > 3) return bad_duration(text);
  Number total = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0 && parts[i] >= 60) return bad_duration(text);
    total = total * 60 + parts[i];
  }
  if (total * 1e9 > max_nanoseconds) return bad_duration(text);
  return Duration(static_cast<std::int64_t>(std::llround(total * 1e9)));
}

std::int64_t now(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

}  // namespace

WallTime wall_now() {
  return now(CLOCK_REALTIME);
}
MonoTime mono_now() {
  return now(CLOCK_MONOTONIC);
}

Result<Duration> parse_duration(std::string_view text) {
  if (text.find(':') != std::string_view::npos) return parse_clock(text);
  std::string_view rest = text;
  Number total = 0;
  bool any = false;
  while (!rest.empty()) {
    Number number = 0;
    if (!take_number(rest, number)) return bad_duration(text);
    std::size_t letters = 0;
    while (letters < rest.size() && std::isalpha(static_cast<unsigned char>(rest[letters])) != 0) ++letters;
    std::string_view unit = rest.substr(0, letters);
    rest.remove_prefix(letters);
    if (unit.empty()) {
      if (any || !rest.empty()) return bad_duration(text);
      unit = "s";
    }
    const Unit* found = nullptr;
    for (const Unit& candidate : duration_units) {
      if (candidate.name == unit) found = &candidate;
    }
    if (found == nullptr) return bad_duration(text);
    total += number * found->factor;
    any = true;
  }
  if (!any || total > max_nanoseconds) return bad_duration(text);
  return Duration(static_cast<std::int64_t>(std::llround(total)));
}

std::string format_duration(Duration duration) {
  std::int64_t rest = duration.count();
  if (rest <= 0) return "0s";
  struct Part {
    std::int64_t size;
    const char* unit;
  };
  constexpr std::array<Part, 6> parts{{{3'600'000'000'000, "h"},
                                       {60'000'000'000, "m"},
                                       {1'000'000'000, "s"},
                                       {1'000'000, "ms"},
                                       {1'000, "us"},
                                       {1, "ns"}}};
  std::string out;
  for (const Part& part : parts) {
    if (rest / part.size > 0) out += std::to_string(rest / part.size) + part.unit;
    rest %= part.size;
  }
  return out;
}

Result<std::uint64_t> parse_size(std::string_view text) {
  std::string_view rest = text;
  Number number = 0;
  if (!take_number(rest, number)) return bad_size(text);
  Number factor = 1;
  if (!rest.empty()) {
    constexpr std::string_view units = "KMGTP";
    auto at = units.find(static_cast<char>(std::toupper(static_cast<unsigned char>(rest.front()))));
    if (at != std::string_view::npos) {
      factor = std::pow(Number{1024}, static_cast<Number>(at) + 1);
      rest.remove_prefix(1);
      if (!rest.empty() && rest.front() == 'i') rest.remove_prefix(1);
    }
    if (rest == "B") rest.remove_prefix(1);
  }
  if (!rest.empty() || number * factor > 9.0e18L) return bad_size(text);
  return static_cast<std::uint64_t>(std::llround(number * factor));
}

std::string format_size(std::uint64_t bytes) {
  constexpr std::string_view units = "KMGTP";
  std::size_t unit = 0;
  while (unit < units.size() && bytes >= 1024 && bytes % 1024 == 0) {
    bytes /= 1024;
    ++unit;
  }
  std::string out = std::to_string(bytes);
  if (unit > 0) out += units[unit - 1];
  return out;
}

std::string format_wall_time(WallTime time) {
  const std::time_t whole = static_cast<std::time_t>(time / 1'000'000'000);
  std::tm parts{};
  gmtime_r(&whole, &parts);
  std::array<char, 40> date{};
  std::strftime(date.data(), date.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  std::array<char, 48> out{};
  std::snprintf(out.data(), out.size(), "%s.%03dZ", date.data(), static_cast<int>(time / 1'000'000 % 1000));
  return out.data();
}

}  // namespace trireme
