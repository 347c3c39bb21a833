#include "proxy/front.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "proxy/http/codec.hpp"

namespace trireme::proxy {

namespace {

constexpr std::string_view services_prefix = "/services/";
constexpr std::size_t longest_request_id = 128;

/// "localhost", "127.0.0.1" or "[::1]", with any port.
bool is_our_host(std::string_view host) {
  for (const std::string_view name : {"localhost", "127.0.0.1", "[::1]"}) {
    if (!host.starts_with(name)) continue;
    const std::string_view port = host.substr(name.size());
    if (port.empty()) return true;
    const bool digits =
        port.size() > 1 && std::all_of(port.begin() + 1, port.end(), [](char c) { return c >= '0' && c <= '9'; });
    return port.front() == ':' && digits;
  }
  return false;
}

bool is_our_origin(std::string_view origin) {
  constexpr std::string_view scheme = "http://";
  return origin.starts_with(scheme) && is_our_host(origin.substr(scheme.size()));
}

}  // namespace

Route route_of(std::string_view target) {
  target = http::origin_form(target);
  const std::string_view path = target.substr(0, target.find('?'));
  Route route;
  if (path.starts_with(services_prefix)) {
    const std::string_view rest = target.substr(services_prefix.size());
    route.name = rest.substr(0, rest.find_first_of("/?"));
    if (route.name.empty()) return route;
    route.kind = Route::Kind::service;
    const std::string_view after = rest.substr(route.name.size());
    route.target = after.starts_with('/') ? std::string(after) : "/" + std::string(after);
  } else if (path == "/healthz") {
    route.kind = Route::Kind::health;
  } else if (path == "/metrics") {
    route.kind = Route::Kind::metrics;
  } else if (path == "/runtime" || path.starts_with("/runtime/")) {
    route.control = true;
    route.kind = path == "/runtime/endpoints" ? Route::Kind::endpoints : Route::Kind::runtime;
  }
  return route;
}

std::optional<Denial> deny(const http::RequestHead& head, http::Peer peer, bool control, const RunInfo& run) {
  if (peer == http::Peer::other) return Denial{403, "this run belongs to another user"};
  const std::string_view token = http::bearer_token(head.headers).value_or("");
  if (control) {
    if (!is_our_host(http::find(head.headers, "Host").value_or(""))) {
      return Denial{403, "the Host is not this node's loopback"};
    }
    const auto origin = http::find(head.headers, "Origin");
    if (origin && !is_our_origin(*origin)) return Denial{403, "pages of other origins may not call this"};
    if (!http::equal_secret(token, run.control_token)) {
      return Denial{401, "this needs the run's control token: Authorization: Bearer $TRIREME_TOKEN"};
    }
    return std::nullopt;
  }
  if (peer == http::Peer::ours || http::equal_secret(token, run.inference_token) ||
      http::equal_secret(token, run.control_token)) {
    return std::nullopt;
  }
  return Denial{401,
                "whose request this is cannot be told, so it needs a token: Authorization: Bearer $OPENAI_API_KEY"};
}

Result<Wishes> wishes_of(const http::Headers& headers) {
  Wishes wishes;
  if (const auto value = http::find(headers, "X-Trireme-Priority")) {
    if (http::iequals(*value, "high")) {
      wishes.priority = Priority::high;
    } else if (http::iequals(*value, "low")) {
      wishes.priority = Priority::low;
    } else if (!http::iequals(*value, "normal")) {
      return Error{.what = "X-Trireme-Priority is low, normal or high"};
    }
  }
  if (const auto value = http::find(headers, "X-Trireme-Deadline")) {
    const auto deadline = parse_duration(*value);
    if (!deadline || *deadline <= Duration(0)) {
      return Error{.what = "X-Trireme-Deadline is a number of seconds above 0"};
    }
    wishes.deadline = std::min<Duration>(*deadline, defaults::longest_deadline);
  }
  return wishes;
}

std::optional<std::string_view> request_id_of(const http::Headers& headers) {
  const auto id = http::find(headers, "X-Request-Id");
  if (!id || id->empty() || id->size() > longest_request_id) return std::nullopt;
  const bool printable = std::all_of(id->begin(), id->end(), [](char c) { return c > ' ' && c < 0x7f; });
  return printable ? id : std::nullopt;
}

http::RequestHead upstream_head(const http::RequestHead& head, const Route& route, std::string_view request_id) {
  http::RequestHead out = head;
  out.target = route.target;
  out.keep_alive = true;
  out.http10 = false;
  out.expect_continue = false;
  for (const std::string_view name :
       {"Authorization", "Cookie", "Expect", "X-Trireme-Priority", "X-Trireme-Deadline"}) {
    http::erase(out.headers, name);
  }
  http::strip_hop_by_hop(out.headers);
  http::set(out.headers, "Host", "localhost");
  http::set(out.headers, "X-Request-Id", request_id);
  return out;
}

std::string error_body(int status, std::string_view message) {
  const char* type = status == 429 ? "rate_limit_error" : status >= 500 ? "server_error" : "invalid_request_error";
  const nlohmann::json body = {{"error", {{"message", message}, {"type", type}, {"code", status}}}};
  return body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace trireme::proxy
