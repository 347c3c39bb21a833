// The patterns that users write for what a service prints: ECMAScript, searched breadth first where the library can, so that none
// takes exponential time on any line. That search knows no back-references: they are refused.
#pragma once

#include <regex>

namespace trireme {

#ifdef __GLIBCXX__
constexpr auto pattern_kind = std::regex::ECMAScript | std::regex_constants::__polynomial;
#else
constexpr auto pattern_kind = std::regex::ECMAScript;
#endif

}  // namespace trireme
