#include "services/mock/faults.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <ranges>
#include <string>
#include <utility>

namespace trireme::mock {
namespace {

using Kind = Fault::Kind;
constexpr std::array<std::pair<std::string_view, Kind>, 7> names{{{"slow", Kind::slow},
                                                                  {"hang", Kind::hang},
                                                                  {"stall", Kind::stall},
                                                                  {"reset", Kind::reset},
                                                                  {"short", Kind::cut},
                                                                  {"garbage", Kind::garbage},
                                                                  {"status", Kind::status}}};

template <typename Number>
bool read(std::string_view text, Number& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size();
}

/// "name", and what follows the separator.
std::pair<std::string_view, std::string_view> split(std::string_view text, char separator) {
  const std::size_t at = text.find(separator);
  if (at == std::string_view::npos) return {text, {}};
  return {text.substr(0, at), text.substr(at + 1)};
}

Result<Fault> parse_fault(std::string_view text) {
  const auto wrong = [&](std::string what) { return Error{.what = std::move(what), .where = std::string(text)}; };
  const auto [what, probability] = split(text, '@');
  const auto [name, value] = split(what, '=');
  const auto known = std::ranges::find(names, name, &std::pair<std::string_view, Kind>::first);
  if (known == names.end()) {
    return wrong("no such fault; there are slow, hang, stall, reset, short, garbage and status");
  }
  Fault fault{.kind = known->second};
  if (!probability.empty() &&
      (!read(probability, fault.probability) || !(fault.probability >= 0 && fault.probability <= 1))) {
    return wrong("the probability is no number from 0 to 1");
  }
  switch (fault.kind) {
    case Kind::slow: {
      const auto delay = parse_duration(value);
      if (!delay) return wrong("slow needs a duration, as in slow=2s");
      fault.delay = *delay;
      break;
    }
    case Kind::stall:
    case Kind::reset:
      if (!value.empty() && !read(value, fault.value)) return wrong("the number of tokens is no number");
      break;
    case Kind::status:
      fault.value = 500;
      if (!value.empty() && (!read(value, fault.value) || fault.value < 200 || fault.value > 599)) {
        return wrong("the status is no number from 200 to 599");
      }
      break;
    default:
      if (!value.empty()) return wrong("this fault takes no value");
  }
  return fault;
}

}  // namespace

Result<std::vector<Fault>> parse_faults(std::string_view text) {
  std::vector<Fault> faults;
  while (!text.empty()) {
    const auto [first, rest] = split(text, ',');
    auto fault = parse_fault(first);
    if (!fault) return fault.error();
    faults.push_back(*fault);
    text = rest;
  }
  return faults;
}

std::optional<Fault> draw(const std::vector<Fault>& faults, std::mt19937_64& random) {
  std::optional<Fault> drawn;
  for (const Fault& fault : faults) {
    const double number = static_cast<double>(random() >> 11) * 0x1p-53;  // every fault takes its number, drawn or not
    if (!drawn && number < fault.probability) drawn = fault;
  }
  return drawn;
}

}  // namespace trireme::mock
