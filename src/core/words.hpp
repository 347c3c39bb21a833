// Words that several texts for people share.
#pragma once

#include <cstdint>
#include <string>

namespace trireme {

/// "1 task", "2 tasks".
inline std::string counted(std::uint64_t n, const std::string& what) {
  return std::to_string(n) + " " + what + (n == 1 ? "" : "s");
}

}  // namespace trireme
