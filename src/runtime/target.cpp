#include "runtime/target.hpp"

namespace trireme {
namespace {

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escaped = text[i] == '%' && i + 2 < text.size() && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0;
    if (!escaped) {
      out += text[i];
      continue;
    }
    out += static_cast<char>(hex(text[i + 1]) * 16 + hex(text[i + 2]));
    i += 2;
  }
  return out;
}

template <typename Use>
void split(std::string_view text, char separator, Use use) {
  while (!text.empty()) {
    const std::size_t end = text.find(separator);
    if (end != 0) use(text.substr(0, end));
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + 1);
  }
}

}  // namespace

std::optional<std::string> Target::value(std::string_view name) const {
  const auto found = query.find(name);
  return found == query.end() ? std::nullopt : std::optional(found->second);
}

Target parse_target(std::string_view target) {
  Target out;
  const std::size_t question = target.find('?');
  split(target.substr(0, question), '/', [&](std::string_view part) { out.path.push_back(decode(part)); });
  if (question == std::string_view::npos) return out;
  split(target.substr(question + 1), '&', [&](std::string_view part) {
    const std::size_t equals = part.find('=');
    out.query[decode(part.substr(0, equals))] = equals == std::string_view::npos ? "" : decode(part.substr(equals + 1));
  });
  return out;
}

}  // namespace trireme
