#include "proxy/front/route.hpp"

#include <algorithm>
#include <utility>

#include "proxy/http/codec.hpp"

namespace trireme::proxy {

namespace {

constexpr std::string_view services_prefix = "/services/";
constexpr std::string_view models_prefix = "/v1/models/";
constexpr std::size_t longest_request_id = 128;

/// The client's credentials, what is for us, and what is set anew.
bool is_not_for_upstreams(std::string_view name) {
  switch (name.size()) {
    case 4:
      return http::iequals(name, "Host");
    case 6:
      return http::iequals(name, "Cookie") || http::iequals(name, "Expect");
    case 12:
      return http::iequals(name, "X-Request-Id");
    case 13:
      return http::iequals(name, "Authorization");
    case 18:
      return http::iequals(name, "X-Trireme-Priority") || http::iequals(name, "X-Trireme-Deadline");
    default:
      return false;
  }
}

}  // namespace

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

std::string_view path_of(std::string_view target) {
  target = http::origin_form(target);
  return target.substr(0, target.find('?'));
}

Route route_of(std::string_view target) {
  target = http::origin_form(target);
  const std::string_view path = path_of(target);
  Route route;
  if (path.starts_with(services_prefix)) {
    const std::string_view rest = target.substr(services_prefix.size());
    route.name = rest.substr(0, rest.find_first_of("/?"));
    if (route.name.empty()) return route;
    route.kind = Route::Kind::service;
    route.target = rest.substr(route.name.size());
  } else if (path == "/v1/models" || path == "/v1/models/") {
    route.kind = Route::Kind::openai_models;
  } else if (path.starts_with(models_prefix)) {
    route.kind = Route::Kind::openai_model;
    route.name = path.substr(models_prefix.size());
  } else if (path.starts_with("/v1/")) {
    route.kind = Route::Kind::by_model;
    route.target = target;
  } else if (path.starts_with("/api/")) {
    route.dialect = Dialect::ollama;
    route.kind = path == "/api/tags"      ? Route::Kind::ollama_tags
                 : path == "/api/ps"      ? Route::Kind::ollama_running
                 : path == "/api/version" ? Route::Kind::ollama_version
                                          : Route::Kind::by_model;
    route.target = target;
  } else if (path == "/") {
    route.kind = Route::Kind::greeting;
  } else if (path == "/healthz") {
    route.kind = Route::Kind::health;
  } else if (path == "/metrics") {
    route.kind = Route::Kind::metrics;
  } else if (path == "/runtime" || path.starts_with("/runtime/")) {
    route.control = true;
    route.kind = path == "/runtime/endpoints" ? Route::Kind::endpoints : Route::Kind::runtime;
  } else if (path == "/dashboard" || path.starts_with("/dashboard/")) {
    route.kind = Route::Kind::dashboard;
  }
  return route;
}

std::string upstream_target(const Route& route) {
  std::string target(route.target.starts_with('/') ? "" : "/");
  return target.append(route.target);
}

std::string percent_decoded(std::string_view text) {
  const auto digit = [](char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
  };
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool coded = text[i] == '%' && i + 2 < text.size() && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0;
    if (coded) {
      out += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
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

std::string_view deny_connection(http::Peer peer, std::string_view token, const RunInfo& run) {
  if (peer == http::Peer::ours) return {};
  if (peer == http::Peer::other) return "this run belongs to another user";
  if (http::equal_secret(token, run.inference_token) || http::equal_secret(token, run.control_token)) return {};
  return "whose connection this is cannot be told, so its hello needs a token: $OPENAI_API_KEY or $TRIREME_TOKEN";
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
      return Error{.what = "X-Trireme-Deadline is a number of seconds above 0, or a duration such as 1h30m"};
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

http::RequestHead upstream_head(http::RequestHead&& head, std::string target, std::string_view request_id) {
  head.target = std::move(target);
  head.keep_alive = true;
  head.http10 = false;
  head.expect_continue = false;
  head.headers.erase_if([](const http::Header& header) { return is_not_for_upstreams(header.name); });
  head.headers.push_back({"Host", "localhost"});
  head.headers.push_back({"X-Request-Id", request_id});
  return std::move(head);
}

}  // namespace trireme::proxy
