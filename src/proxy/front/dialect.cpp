#include "proxy/front/dialect.hpp"

#include <nlohmann/json.hpp>

namespace trireme::proxy {

namespace {

using nlohmann::json;

const char* error_type(int status) {
  if (status == 429) return "rate_limit_error";
  if (status == 401) return "authentication_error";
  if (status == 403) return "permission_error";
  return status >= 500 ? "server_error" : "invalid_request_error";
}

}  // namespace

std::string_view error_code(int status) {
  switch (status) {
    case 401:
      return "invalid_api_key";
    case 408:
    case 504:
      return "timeout";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_exceeded";
    case 502:
      return "bad_gateway";
    case 503:
      return "service_unavailable";
    default:
      return "";
  }
}

std::string error_body(Dialect dialect, int status, std::string_view message, std::string_view code) {
  if (code.empty()) code = error_code(status);
  json body;
  if (dialect == Dialect::ollama) {
    body["error"] = message;
  } else {
    const bool about_model = code == "model_not_found" || code == "model_missing";
    body["error"] = {{"message", message},
                     {"type", error_type(status)},
                     {"param", about_model ? json("model") : json()},
                     {"code", code.empty() ? json() : json(code)}};
  }
  return body.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace trireme::proxy
