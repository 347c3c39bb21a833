// The end of a program's log, for the reason of its failure.
//
// Reasons are shown to people, on terminals, pages and in tables, so of what programs draw on a terminal only the text stays: no
// colours, and of a line that was drawn again its last state.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

namespace trireme {

/// The end of a text file: at most so many lines and bytes, cut at a line; empty if it cannot be read. Blocks.
std::string tail_of_file(const std::filesystem::path& path, std::size_t lines, std::size_t bytes);
/// The last lines of a text; of one that was `cut` at its beginning the first is left out.
std::string end_of_text(std::string text, bool cut, std::size_t lines);

}  // namespace trireme
