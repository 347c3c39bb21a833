// What a head means to the next hop: which body follows it, which headers and which form of the target are for it.
#include <string>

#include "proxy/http/codec.hpp"
#include "proxy/http/text.hpp"

namespace trireme::proxy::http {

Body follows(const ResponseHead& head, std::string_view request_method) {
  const bool none = never_has_body(head.status) || head.status == 304 || request_method == "HEAD";
  return none ? Body{} : head.body;
}

void remove_named(Headers& headers, std::string_view connection) {
  for_each_element(connection, [&](std::string_view name) {
    // A client must not be able to take these from the next hop by naming them.
    if (!iequals(name, "Host") && !iequals(name, "Content-Type")) erase(headers, name);
  });
}

void strip_hop_by_hop(Headers& headers) {
  if (const auto connection = find(headers, "Connection")) {
    remove_named(headers, std::string(*connection));
  }
  headers.erase_if([](const Header& header) {
    const std::string_view name = header.name;
    switch (name.size()) {
      case 2:
        return iequals(name, "TE");
      case 7:
        return iequals(name, "Trailer") || iequals(name, "Upgrade");
      case 10:
        return iequals(name, "Connection") || iequals(name, "Keep-Alive");
      default:
        return istarts_with(name, "Proxy-");
    }
  });
}

std::string_view origin_form(std::string_view target) {
  if (target.starts_with('/') || target == "*") return target;
  const std::size_t scheme = target.find("://");
  if (scheme == std::string_view::npos) return target;
  const std::size_t path = target.find_first_of("/?", scheme + 3);
  if (path == std::string_view::npos) return "/";
  return target.substr(path);
}

}  // namespace trireme::proxy::http
