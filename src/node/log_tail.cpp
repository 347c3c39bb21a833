#include "node/log_tail.hpp"

#include <algorithm>
#include <fstream>
#include <system_error>
#include <utility>

namespace trireme {

namespace fs = std::filesystem;

namespace {

/// `text[i]` is an escape: where the control sequence (ECMA-48) that it begins ends.
std::size_t after_escape(const std::string& text, std::size_t i) {
  const auto skip = [&](char first, char last) {
    while (i < text.size() && text[i] >= first && text[i] <= last) ++i;
  };
  ++i;
  if (i < text.size() && text[i] == '[') {
    ++i;
    skip('0', '?');
  }
  skip(' ', '/');
  if (i < text.size() && text[i] > ' ') ++i;
  return i;
}

std::string without_controls(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == '\x1b') {
      i = after_escape(text, i);
      continue;
    }
    ++i;
    if (c == '\r' && i < text.size() && text[i] != '\n' && text[i] != '\r') {
      out.erase(out.rfind('\n') + 1);  // the line is drawn again; npos + 1 is the beginning
    } else if (c == '\n' || c == '\t' || (static_cast<unsigned char>(c) >= ' ' && c != '\x7f')) {
      out += c;
    }
  }
  return out;
}

}  // namespace

std::string tail_of_file(const fs::path& path, std::size_t lines, std::size_t bytes) {
  std::error_code none;
  if (!fs::is_regular_file(path, none)) return {};  // opening one of another sort could wait for good
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return {};
  const auto size = static_cast<std::size_t>(file.tellg());
  std::string text(std::min(size, bytes), '\0');
  file.seekg(static_cast<std::streamoff>(size - text.size()));
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  const bool cut = text.size() < size;
  return end_of_text(std::move(text), cut, lines);
}

std::string end_of_text(std::string text, bool cut, std::size_t lines) {
  if (cut) {
    const std::size_t line = text.find('\n');
    if (line != std::string::npos) text.erase(0, line + 1);
  }
  text = without_controls(text);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  std::size_t start = text.size();
  for (std::size_t i = 0; i < lines && start != std::string::npos && start > 0; ++i) {
    start = text.rfind('\n', start - 1);
  }
  if (start != std::string::npos && start > 0) text.erase(0, start + 1);
  return text;
}

}  // namespace trireme
