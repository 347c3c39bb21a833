// The characters and lists that HTTP's lines are made of. For the codec's own files.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "core/field_chars.hpp"
#include "proxy/http/head.hpp"

namespace trireme::proxy::http {

using namespace field_chars;

constexpr bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// Whether all are value_char. Values may be long: eight bytes at a time, as long as none of them may be a control character.
inline bool all_value_chars(std::string_view text) {
  constexpr std::uint64_t each = 0x0101010101010101;
  constexpr std::size_t step = sizeof each;
  if (text.size() < step) return all(value_char, text);
  const char* const last = text.data() + text.size() - step;
  for (const char* at = text.data();; at = std::min(at + step, last)) {
    std::uint64_t eight = 0;
    std::memcpy(&eight, at, step);
    const std::uint64_t flipped = eight ^ (each * 0x7f);
    const std::uint64_t suspects = (((eight - each * 0x20) & ~eight) | ((flipped - each) & ~flipped)) & (each * 0x80);
    if (suspects != 0 && !all(value_char, {at, step})) return false;
    if (at == last) return true;
  }
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
