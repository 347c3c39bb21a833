#include "proxy/health/evidence.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <ctime>
#include <optional>
#include <string>

#include "core/defaults.hpp"

namespace trireme::proxy {

namespace {

std::optional<std::time_t> date_of(const http::Headers& headers, std::string_view name) {
  const auto text = http::find(headers, name);
  if (!text || text->find(':') == std::string_view::npos) return std::nullopt;
  const std::time_t date = curl_getdate(std::string(*text).c_str(), nullptr);  // all forms of RFC 9110, 5.6.7
  return date < 0 ? std::nullopt : std::optional(date);
}

/// How long Retry-After says to wait: seconds, or until a date (RFC 9110, 10.2.3). A date is held against the server's own
/// clock, where it tells that.
std::optional<Duration> retry_after(const http::Headers& headers) {
  const auto text = http::find(headers, "Retry-After");
  if (!text) return std::nullopt;
  if (const auto date = date_of(headers, "Retry-After")) {
    const std::time_t now = date_of(headers, "Date").value_or(std::time(nullptr));
    const std::time_t longest = std::chrono::seconds(defaults::busy_rest_max).count();
    return std::chrono::seconds(std::clamp<std::time_t>(*date - now, 0, longest));
  }
  std::uint32_t seconds = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), seconds);
  if (error == std::errc::result_out_of_range) return defaults::busy_rest_max;
  if (error != std::errc() || end != text->data() + text->size()) return std::nullopt;
  return std::min<Duration>(std::chrono::seconds(seconds), defaults::busy_rest_max);
}

}  // namespace

Evidence evidence_of(const CallError& error) {
  switch (error.blame) {
    case CallError::Blame::none:
      return {};
    case CallError::Blame::some:
      return {.kind = Evidence::Kind::trouble};
    case CallError::Blame::proof:
      break;
  }
  return {.kind = Evidence::Kind::proof};
}

Evidence evidence_of(const http::ResponseHead& head, bool remote) {
  if (head.status == 429 || head.status == 503) {
    auto rest = retry_after(head.headers);
    if (!rest && remote) rest = defaults::busy_rest;
    if (rest && *rest > Duration(0)) return {.kind = Evidence::Kind::busy, .rest = *rest};
  }
  // 500 is what servers say of a request that they do not like; one that is sick all through fails its `live` probe.
  if (head.status == 502 || head.status == 504) return {.kind = Evidence::Kind::trouble};
  return {.kind = Evidence::Kind::alive};
}

}  // namespace trireme::proxy
