#include "proxy/health/evidence.hpp"

#include <algorithm>
#include <charconv>

#include "core/defaults.hpp"

namespace trireme::proxy {

namespace {

/// Seconds; a date, the header's other form, is as good as nothing said.
std::optional<Duration> retry_after(const http::Headers& headers) {
  const auto text = http::find(headers, "Retry-After");
  if (!text) return std::nullopt;
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
