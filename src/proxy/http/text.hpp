// The characters and lists that HTTP's lines are made of. For the codec's own files.
#pragma once

#include <cstddef>
#include <string_view>

#include "core/field_chars.hpp"
#include "proxy/http/head.hpp"

namespace trireme::proxy::http {

using namespace field_chars;

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
