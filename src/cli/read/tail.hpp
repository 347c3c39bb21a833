// The end of a task's output.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace trireme::cli {

/// Of output that is shown in part.
constexpr std::size_t longest_tail = 16u << 10;

/// The last lines of a text, at most `lines`. One of `most` bytes was cut: what was cut in the middle is no line.
std::vector<std::string> last_lines(const std::string& text, std::size_t most, std::size_t lines);

}  // namespace trireme::cli
