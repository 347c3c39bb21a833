#include "proxy/http/head.hpp"

#include <algorithm>

namespace trireme::proxy::http {

namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

}  // namespace

bool iequals_of_one_size(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

std::optional<std::string_view> find(const Headers& headers, std::string_view name) {
  for (const Header& header : headers) {
    if (iequals(header.name, name)) return header.value;
  }
  return std::nullopt;
}

void erase(Headers& headers, std::string_view name) {
  std::erase_if(headers, [&](const Header& header) { return iequals(header.name, name); });
}

void set(Headers& headers, std::string_view name, std::string_view value) {
  erase(headers, name);
  headers.push_back({std::string(name), std::string(value)});
}

}  // namespace trireme::proxy::http
