#include "cli/read/tail.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>

namespace trireme::cli {

std::vector<std::string> last_lines(const std::filesystem::path& path, std::size_t lines) {
  constexpr std::streamoff longest = 16 << 10;
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return {};
  const std::streamoff size = file.tellg();
  file.seekg(std::max<std::streamoff>(0, size - longest));
  const std::string text{std::istreambuf_iterator<char>(file), {}};

  std::vector<std::string> out;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    out.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  // What was cut in the middle is no line.
  if (size > longest && out.size() > 1) out.erase(out.begin());
  if (out.size() > lines) out.erase(out.begin(), out.end() - static_cast<std::ptrdiff_t>(lines));
  return out;
}

}  // namespace trireme::cli
