// Words that several texts for people share.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace trireme {

/// "1 task", "2 tasks".
inline std::string counted(std::uint64_t n, const std::string& what) {
  return std::to_string(n) + " " + what + (n == 1 ? "" : "s");
}

/// Whether line ends and tabs are wanted as they are, or stand in a name.
enum class Newlines : std::uint8_t { escaped, kept };

/// What comes from a workflow or from programs, for a terminal: control characters are written out (\n, \x1b), so that nothing moves
/// its cursor, colours it or ends its line.
std::string printable(std::string_view text, Newlines newlines = Newlines::escaped);

}  // namespace trireme
