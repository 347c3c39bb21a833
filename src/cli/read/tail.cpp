#include "cli/read/tail.hpp"

#include <algorithm>

namespace trireme::cli {

std::vector<std::string> last_lines(const std::string& text, std::size_t most, std::size_t lines) {
  std::vector<std::string> out;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    out.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  if (text.size() >= most && out.size() > 1) out.erase(out.begin());
  if (out.size() > lines) out.erase(out.begin(), out.end() - static_cast<std::ptrdiff_t>(lines));
  return out;
}

}  // namespace trireme::cli
