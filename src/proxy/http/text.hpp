// The characters and lists that HTTP's lines are made of. For the codec's own files.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

#include "proxy/http/head.hpp"

namespace trireme::proxy::http {

enum : std::uint8_t { token_char = 1, value_char = 2, target_char = 4 };

constexpr std::array<std::uint8_t, 256> char_classes = [] {
  std::array<std::uint8_t, 256> classes{};
  for (unsigned c = 0; c < 256; ++c) {
    if (c == '\t' || (c >= 0x20 && c != 0x7f)) classes[c] |= value_char;
    if (c > 0x20 && c < 0x7f) classes[c] |= target_char;
    if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')) {
      classes[c] |= token_char;
    }
  }
  for (char c : std::string_view("!#$%&'*+-.^_`|~")) {
    classes[static_cast<unsigned char>(c)] |= token_char;
  }
  return classes;
}();

constexpr bool is(std::uint8_t wanted, char c) {
  return (char_classes[static_cast<unsigned char>(c)] & wanted) != 0;
}

inline bool all(std::uint8_t wanted, std::string_view text) {
  return std::all_of(text.begin(), text.end(), [&](char c) { return is(wanted, c); });
}

constexpr bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

inline std::string_view trim(std::string_view text) {
  auto blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

/// Calls `each` with the elements of a comma-separated list.
template <typename F>
void for_each_element(std::string_view list, F&& each) {
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    const std::string_view element = trim(list.substr(0, comma));
    if (!element.empty()) each(element);
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
}

inline bool istarts_with(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() && iequals(text.substr(0, prefix.size()), prefix);
}

}  // namespace trireme::proxy::http
