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
#include "proxy/http/access.hpp"
#include "proxy/http/head.hpp"

namespace trireme::proxy {

struct Route {
  enum class Kind { service, health, metrics, endpoints, runtime, unknown };
  Kind kind = Kind::unknown;
  bool control = false;   ///< under /runtime: the control token opens it
  std::string_view name;  ///< of the service
  std::string target;     ///< what the service sees of the target, with the query
};
/// Where a target leads; the name is a view into it.
Route route_of(std::string_view target);

/// Why a request is refused before anything is done for it.
struct Denial {
  int status = 403;
  std::string_view what;
};
/// Nothing if the client may. Ours may use the models, a client that we cannot tell needs one of the tokens, and what
/// is under /runtime needs the control token, a Host that is this node's loopback and no Origin but that.
std::optional<Denial> deny(const http::RequestHead& head, http::Peer peer, bool control, const RunInfo& run);

/// What the client asks of us in headers.
struct Wishes {
  Priority priority = Priority::normal;
  Duration deadline = defaults::request_deadline;
};
/// X-Trireme-Priority and X-Trireme-Deadline; an error says which is wrong.
Result<Wishes> wishes_of(const http::Headers& headers);

/// The client's X-Request-Id, if it is one that can be logged.
std::optional<std::string_view> request_id_of(const http::Headers& headers);

/// The head as an upstream shall see it: without credentials, our own headers and what is for one hop.
http::RequestHead upstream_head(const http::RequestHead& head, const Route& route, std::string_view request_id);

/// The body of our own refusals: {"error": {"message": …, "type": …, "code": …}}, which clients of OpenAI's API can
/// read.
std::string error_body(int status, std::string_view message);

}  // namespace trireme::proxy
