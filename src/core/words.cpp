#include "core/words.hpp"

namespace trireme {

std::string printable(std::string_view text, Newlines newlines) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    // U+0080 to U+009F are C2 80 to C2 9F in UTF-8.
    const bool high = byte == 0xC2 && i + 1 < text.size() && (static_cast<unsigned char>(text[i + 1]) & 0xE0) == 0x80;
    if (byte == '\n' && newlines == Newlines::kept) {
      out += '\n';
    } else if (byte == '\n') {
      out += "\\n";
    } else if (byte == '\t') {
      out += newlines == Newlines::kept ? "\t" : "\\t";
    } else if (byte < 0x20 || byte == 0x7F || high) {
      const auto code = high ? static_cast<unsigned char>(text[++i]) : byte;
      out += std::string("\\x") + digits[code >> 4] + digits[code & 15];
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace trireme
