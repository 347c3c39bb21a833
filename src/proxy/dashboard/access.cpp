#include "proxy/dashboard/access.hpp"

#include <algorithm>

#include "proxy/front/route.hpp"
#include "proxy/http/codec.hpp"

namespace trireme::proxy::dashboard {

namespace {

/// The value of NAME in "a=b; NAME=value"; empty if it is not there.
std::string_view cookie(std::string_view cookies, std::string_view name) {
  while (!cookies.empty()) {
    const std::size_t end = std::min(cookies.find(';'), cookies.size());
    std::string_view one = cookies.substr(0, end);
    cookies.remove_prefix(std::min(end + 1, cookies.size()));
    while (one.starts_with(' ')) one.remove_prefix(1);
    if (one.size() > name.size() && one.starts_with(name) && one[name.size()] == '=')
      return one.substr(name.size() + 1);
  }
  return {};
}

std::string_view query_value(std::string_view target, std::string_view name) {
  const std::size_t begin = target.find('?');
  std::string_view query = begin == std::string_view::npos ? std::string_view() : target.substr(begin + 1);
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view one = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (one.size() > name.size() && one.starts_with(name) && one[name.size()] == '=')
      return one.substr(name.size() + 1);
  }
  return {};
}

}  // namespace

std::string cookie_name(const RunInfo& run) {
  std::string name = "trireme_";
  for (const char c : run.run_id) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
    name += plain ? c : '_';
  }
  return name;
}

std::string set_cookie(const Keys& keys, const RunInfo& run) {
  return cookie_name(run) + "=" + keys.session + "; Path=/dashboard; HttpOnly; SameSite=Strict";
}

Verdict judge(const http::RequestHead& head, http::Peer peer, const Keys& keys, const RunInfo& run) {
  if (peer == http::Peer::other || !is_our_host(http::find(head.headers, "Host").value_or(""))) return Verdict::refused;
  if (const auto origin = http::find(head.headers, "Origin"); origin && !is_our_origin(*origin))
    return Verdict::refused;
  const auto site = http::find(head.headers, "Sec-Fetch-Site");
  const std::string_view path = path_of(head.target);
  const bool is_page = path == "/dashboard" || path == "/dashboard/";
  // A link elsewhere may lead to the page, but nothing else of it may be used from there.
  if (site && !is_page && *site != "same-origin" && *site != "none") return Verdict::refused;

  for (const http::Header header : head.headers) {
    if (!http::iequals(header.name, "Cookie")) continue;
    if (http::equal_secret(cookie(header.value, cookie_name(run)), keys.session)) return Verdict::open;
  }
  if (const auto token = http::bearer_token(head.headers); token && http::equal_secret(*token, run.control_token)) {
    return Verdict::open;
  }
  if (!is_page) return Verdict::files;
  const std::string_view key = query_value(head.target, "key");
  if (key.empty()) return Verdict::no_key;
  return http::equal_secret(key, keys.once) ? Verdict::redeem : Verdict::wrong_key;
}

}  // namespace trireme::proxy::dashboard
