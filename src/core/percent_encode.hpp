// Text as one component of a URL's path.
#pragma once

#include <cctype>
#include <string>
#include <string_view>

namespace trireme {

/// All but unreserved characters (RFC 3986, 2.3) as %XX.
inline std::string percent_encode(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || c == '-' || c == '.' || c == '_' || c == '~') {
      out += c;
    } else {
      out += {'%', digits[byte >> 4], digits[byte & 15]};
    }
  }
  return out;
}

}  // namespace trireme
