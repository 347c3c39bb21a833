#include "proxy/http/headers.hpp"

#include <algorithm>

namespace trireme::proxy::http {

namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

}  // namespace

Headers::Headers(std::initializer_list<Header> headers) {
  for (const Header& header : headers) push_back(header);
}

void Headers::clear() {
  lines_.clear();
  places_.clear();
}

void Headers::reserve(std::size_t fields, std::size_t bytes) {
  places_.reserve(fields);
  lines_.reserve(bytes);
}

void Headers::push_back(Header header) {
  places_.push_back({.begin = static_cast<std::uint32_t>(lines_.size()),
                     .name = static_cast<std::uint32_t>(header.name.size()),
                     .value = static_cast<std::uint32_t>(header.value.size())});
  lines_.append(header.name).append(colon).append(header.value).append(line_end);
}

void Headers::push_line(std::string_view line, std::size_t name_size) {
  places_.push_back({.begin = static_cast<std::uint32_t>(lines_.size()),
                     .name = static_cast<std::uint32_t>(name_size),
                     .value = static_cast<std::uint32_t>(line.size() - name_size - colon.size() - line_end.size())});
  lines_.append(line);
}

bool iequals_of_one_size(std::string_view a, std::string_view b) {
  // Names are mostly written the same way.
  return std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return x == y || lower(x) == lower(y); });
}

std::optional<std::string_view> find(const Headers& headers, std::string_view name) {
  for (const Header header : headers) {
    if (iequals(header.name, name)) return header.value;
  }
  return std::nullopt;
}

void erase(Headers& headers, std::string_view name) {
  headers.erase_if([&](const Header& header) { return iequals(header.name, name); });
}

void set(Headers& headers, std::string_view name, std::string_view value) {
  erase(headers, name);
  headers.push_back({name, value});
}

}  // namespace trireme::proxy::http
