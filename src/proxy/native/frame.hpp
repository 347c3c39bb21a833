// Heads of the native protocol's frames as the proxy's own heads, and back.
//
// Pure. Reading is strict (native/codec.hpp): a head that it returns can be written as HTTP without a check, since names are
// tokens and values hold no control characters.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "native/codec.hpp"
#include "proxy/http/head.hpp"

namespace trireme::proxy::native {

using namespace frames;

struct Request {
  http::RequestHead head;
  std::string_view body;
};
struct Response {
  http::ResponseHead head;
  std::string_view body;
};

std::optional<Request> read_request(std::string_view payload);
std::optional<Response> read_response(std::string_view payload);

/// False, and nothing is written, where head and body are too long for a frame.
bool append_request(std::string& out, std::uint64_t id, const http::RequestHead& head, std::string_view body, bool end);
bool append_response(std::string& out, std::uint64_t id, const http::ResponseHead& head, std::string_view body,
                     bool end);

}  // namespace trireme::proxy::native
