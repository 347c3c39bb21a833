#include <ostream>

#include "cli/command.hpp"
#include "core/words.hpp"

namespace trireme::cli {

void Context::say(const std::string& text) {
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    if (end > begin || begin == 0)
      err << "trireme: " << printable(text.substr(begin, end - begin), Newlines::kept) << '\n';
    begin = end + 1;
  }
}

void Context::fail(const Error& error) {
  say(error.text());
  exit_code = error.code;
}

}  // namespace trireme::cli
