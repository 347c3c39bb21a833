#include "simulate/durations.hpp"

#include <cmath>
#include <cstdlib>
#include <numbers>

namespace trireme::simulate {
namespace {

/// The mixing step of splitmix64.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

Error bad(std::string_view text) {
  return {std::string(text) + " is no duration and no distribution", "",
          "write 60, exp:60, uniform:30-90 or lognormal:60:0.5", ExitCode::usage};
}

}  // namespace

double chance_of(std::uint64_t seed, std::uint32_t task, std::uint32_t attempt, std::uint32_t which) {
  const std::uint64_t bits = mix(mix(mix(seed) ^ task) ^ (std::uint64_t{attempt} << 32 | which));
  return (static_cast<double>(bits >> 11) + 1) * 0x1.0p-53;
}

Distribution Distribution::fixed(Duration duration) {
  Distribution out;
  out.first_ = seconds(duration);
  return out;
}

Result<Distribution> Distribution::parse(std::string_view text) {
  Distribution out;
  const std::size_t colon = text.find(':');
  const std::string_view word = text.substr(0, colon);
  const auto time = [&](std::string_view part, double& seconds_out) {
    const auto duration = parse_duration(part);
    if (duration) seconds_out = seconds(*duration);
    return duration.ok();
  };
  if (word == "exp") {
    out.kind_ = Kind::exponential;
    if (!time(text.substr(colon + 1), out.first_)) return bad(text);
  } else if (word == "uniform") {
    out.kind_ = Kind::uniform;
    const std::string_view range = text.substr(colon + 1);
    const std::size_t dash = range.find('-');
    if (dash == std::string_view::npos || !time(range.substr(0, dash), out.first_) ||
        !time(range.substr(dash + 1), out.second_) || out.second_ < out.first_) {
      return bad(text);
    }
  } else if (word == "lognormal") {
    out.kind_ = Kind::lognormal;
    const std::size_t second = text.rfind(':');
    if (second == colon || !time(text.substr(colon + 1, second - colon - 1), out.first_)) return bad(text);
    const std::string sigma(text.substr(second + 1));
    char* end = nullptr;
    out.second_ = std::strtod(sigma.c_str(), &end);
    if (sigma.empty() || *end != '\0' || !(out.second_ >= 0) || !std::isfinite(out.second_)) return bad(text);
  } else if (!time(text, out.first_)) {
    return bad(text);
  }
  return out;
}

Duration Distribution::draw(std::uint64_t seed, std::uint32_t task, std::uint32_t attempt) const {
  double value = first_;
  const auto u = [&](std::uint32_t which) { return chance_of(seed, task, attempt, which); };
  switch (kind_) {
    case Kind::fixed:
      break;
    case Kind::exponential:
      value = -std::log(u(0)) * first_;
      break;
    case Kind::uniform:
      value = first_ + u(0) * (second_ - first_);
      break;
    case Kind::lognormal:
      value = first_ * std::exp(second_ * std::sqrt(-2 * std::log(u(0))) * std::cos(2 * std::numbers::pi * u(1)));
      break;
  }
  // What is no number, or infinite, is beyond it too.
  return value < seconds(longest_duration) ? Duration(static_cast<std::int64_t>(value * 1e9)) : longest_duration;
}

}  // namespace trireme::simulate
