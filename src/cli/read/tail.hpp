// The end of a task's output.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace trireme::cli {

/// The last lines of a file, at most `lines` and 16 KiB; nothing where there is no such file.
std::vector<std::string> last_lines(const std::filesystem::path& path, std::size_t lines);

}  // namespace trireme::cli
