// What a client's request head says: where it wants to go, what it asks of us, and what of it an upstream shall see.
//
// Pure functions on heads; docs/spec/http.md is the contract.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/defaults.hpp"
#include "core/result.hpp"
#include "core/run_info.hpp"
#include "core/units.hpp"
#include "proxy/admission/messages.hpp"
#include "proxy/front/dialect.hpp"
#include "proxy/http/access.hpp"
#include "proxy/http/head.hpp"

namespace trireme::proxy {

struct Route {
  enum class Kind {
    service,         ///< /services/NAME/…
    by_model,        ///< /v1/… and /api/…: the model in the body says which service
    openai_models,   ///< /v1/models
    openai_model,    ///< /v1/models/NAME
    ollama_tags,     ///< /api/tags
    ollama_running,  ///< /api/ps
    ollama_version,  ///< /api/version
    greeting,        ///< /
    health,
    metrics,
    endpoints,
    runtime,    ///< /runtime/…, for the pilot
    dashboard,  ///< /dashboard/…, which has rules of its own for who may come
    unknown,
  };
  Kind kind = Kind::unknown;
  Dialect dialect = Dialect::openai;  ///< of the answers of our own
  bool control = false;               ///< under /runtime: the control token opens it
  std::string_view name;              ///< of the service, or of the model as it stands in the target
  std::string_view target;            ///< what is left of it for the service, with the query
};
/// Where a target leads. What it returns are views into `target`.
Route route_of(std::string_view target);

/// A target without its query, and without scheme and host.
std::string_view path_of(std::string_view target);

/// "localhost", "127.0.0.1" or "[::1]", with any port.
bool is_our_host(std::string_view host);
/// http:// and one of these.
bool is_our_origin(std::string_view origin);

/// The target as the service sees it.
std::string upstream_target(const Route& route);

/// A part of a path with its %XX decoded.
std::string percent_decoded(std::string_view text);

/// Why a request is refused before anything is done for it.
struct Denial {
  int status = 403;
  std::string_view what;
};
/// Nothing if the client may. Ours may use the models, a client that we cannot tell needs one of the tokens, and what
/// is under /runtime needs the control token, a Host that is this node's loopback and no Origin but that.
std::optional<Denial> deny(const http::RequestHead& head, http::Peer peer, bool control, const RunInfo& run);

/// The same for a connection of the native protocol, by the token of its hello: words, or nothing if it may.
std::string_view deny_connection(http::Peer peer, std::string_view token, const RunInfo& run);

/// What the client asks of us in headers.
struct Wishes {
  Priority priority = Priority::normal;
  Duration deadline = defaults::request_deadline;
};
/// X-Trireme-Priority and X-Trireme-Deadline; an error says which is wrong.
Result<Wishes> wishes_of(const http::Headers& headers);

/// The client's X-Request-Id, if it is one that can be logged.
std::optional<std::string_view> request_id_of(const http::Headers& headers);

/// The head as an upstream shall see it, but for what is for one hop: without credentials and our own headers.
http::RequestHead upstream_head(http::RequestHead&& head, std::string target, std::string_view request_id);

}  // namespace trireme::proxy
