// The table of endpoints as JSON for GET /runtime/endpoints (docs/spec/http.md).
#pragma once

#include <string>

#include "proxy/endpoints.hpp"

namespace trireme::proxy {

/// Keys are never in it.
std::string endpoints_json(const EndpointTable& table);

}  // namespace trireme::proxy
