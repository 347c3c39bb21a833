// The characters that names and values of header fields, and targets, are made of (RFC 9110, 5.6.2 and 5.5): the HTTP codec and
// the native protocol's frames take the same.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

namespace trireme::field_chars {

enum : std::uint8_t { token_char = 1, value_char = 2, target_char = 4 };

constexpr std::array<std::uint8_t, 256> classes = [] {
  std::array<std::uint8_t, 256> out{};
  for (unsigned c = 0; c < 256; ++c) {
    if (c == '\t' || (c >= 0x20 && c != 0x7f)) out[c] |= value_char;
    if (c > 0x20 && c < 0x7f) out[c] |= target_char;
    if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')) out[c] |= token_char;
  }
  for (char c : std::string_view("!#$%&'*+-.^_`|~")) out[static_cast<unsigned char>(c)] |= token_char;
  return out;
}();

constexpr bool is(std::uint8_t wanted, char c) {
  return (classes[static_cast<unsigned char>(c)] & wanted) != 0;
}

inline bool all(std::uint8_t wanted, std::string_view text) {
  return std::all_of(text.begin(), text.end(), [&](char c) { return is(wanted, c); });
}

}  // namespace trireme::field_chars
