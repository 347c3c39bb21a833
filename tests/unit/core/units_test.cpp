#include "core/units.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <random>

namespace {

using namespace trireme;
using namespace std::chrono_literals;

Duration length(std::string_view text) {
  const auto result = parse_duration(text);
  CAPTURE(text);
  REQUIRE(result.ok());
  return *result;
}

std::uint64_t bytes(std::string_view text) {
  const auto result = parse_size(text);
  CAPTURE(text);
  REQUIRE(result.ok());
  return *result;
}

}  // namespace

TEST_CASE("durations are read as people write them") {
  CHECK_EQ(length("90"), 90s);
  CHECK_EQ(length("1.5"), 1500ms);
  CHECK_EQ(length("90s"), 90s);
  CHECK_EQ(length("250ms"), 250ms);
  CHECK_EQ(length("1h30m"), 90min);
  CHECK_EQ(length("2d"), 48h);
  CHECK_EQ(length("1:30"), 90s);
  CHECK_EQ(length("1:30:00"), 90min);
  CHECK_EQ(length("0:00:01.5"), 1500ms);
  CHECK_EQ(length("100:00:00"), 100h);
  CHECK_EQ(length("1day2hours3min4sec5us6ns"), 26h + 3min + 4s + 5us + 6ns);
  CHECK_EQ(length("0"), 0s);
}

TEST_CASE("what is no duration is an error that quotes it") {
  for (const char* text : {"",      " ",       "-1",      "1h30",          "30 s",
                           "1:60",  "1:75:00", "1:2:3:4", ":30",           "1:",
                           "s",     "1.2.3",   "1e3",     "5 minutes",     "1fortnight",
                           "0x10",  "inf",     "nan",     "9999999999999", "99999999999999999999999999999d",
                           "1h-5m", "1:-5"}) {
    CAPTURE(text);
    const auto result = parse_duration(text);
    REQUIRE_FALSE(result.ok());
    CHECK_EQ(result.error().what, "\"" + std::string(text) + "\" is not a duration");
    CHECK_EQ(result.error().code, ExitCode::usage);
  }
}

TEST_CASE("a formatted duration reads back to the same") {
  CHECK_EQ(format_duration(0s), "0s");
  CHECK_EQ(format_duration(90min), "1h30m");
  CHECK_EQ(format_duration(90ms), "90ms");
  CHECK_EQ(format_duration(-5s), "0s");
  CHECK_EQ(format_duration(49h + 1ns), "49h1ns");
  std::mt19937_64 random(1);
  for (int i = 0; i < 10'000; ++i) {
    const Duration value(static_cast<std::int64_t>(random() % 9'000'000'000'000'000'000u >> i % 60));
    CAPTURE(value.count());
    CHECK_EQ(length(format_duration(value)), value);
  }
}

TEST_CASE("sizes are powers of 1024, with or without an i or a B") {
  CHECK_EQ(bytes("100"), 100);
  CHECK_EQ(bytes("100B"), 100);
  CHECK_EQ(bytes("512M"), 512ull << 20);
  CHECK_EQ(bytes("16G"), 16ull << 30);
  CHECK_EQ(bytes("16g"), 16ull << 30);
  CHECK_EQ(bytes("64KiB"), 64u << 10);
  CHECK_EQ(bytes("2GB"), 2ull << 30);
  CHECK_EQ(bytes("1.5G"), 1536ull << 20);
  CHECK_EQ(bytes("3T"), 3ull << 40);
  CHECK_EQ(bytes("1Pi"), 1ull << 50);
  CHECK_EQ(bytes("0"), 0);
  CHECK_EQ(bytes("9007199254740993"), 9007199254740993u);  // more than a double holds
}

TEST_CASE("what is no size is an error that quotes it") {
  for (const char* text : {"", "G", "-1G", "1 G", "8X", "8GG", "8iB", "8GBs", "1e9", "0x10", "9000P",
                           "99999999999999999999", "1.2.3", "lots"}) {
    CAPTURE(text);
    const auto result = parse_size(text);
    REQUIRE_FALSE(result.ok());
    CHECK_EQ(result.error().what, "\"" + std::string(text) + "\" is not a size");
  }
}

TEST_CASE("a formatted size reads back to the same") {
  CHECK_EQ(format_size(0), "0");
  CHECK_EQ(format_size(1000), "1000");
  CHECK_EQ(format_size(1024), "1K");
  CHECK_EQ(format_size(16ull << 30), "16G");
  CHECK_EQ(format_size((16ull << 30) + 1024), "16777217K");
  std::mt19937_64 random(1);
  for (int i = 0; i < 10'000; ++i) {
    const std::uint64_t value = random() % 9'000'000'000'000'000'000u >> i % 60 << i % 7;
    if (value > 9'000'000'000'000'000'000u) continue;
    CAPTURE(value);
    CHECK_EQ(bytes(format_size(value)), value);
  }
}

TEST_CASE("wall time is written in UTC with milliseconds") {
  CHECK_EQ(format_wall_time(0), "1970-01-01T00:00:00.000Z");
  CHECK_EQ(format_wall_time(1'769'860'800'123'456'789), "2026-01-31T12:00:00.123Z");
}

TEST_CASE("monotonic time does not go back") {
  const MonoTime before = mono_now();
  CHECK_GE(mono_now(), before);
  CHECK_GT(wall_now(), 0);
}
