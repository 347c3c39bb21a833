// The head of an HTTP/1.1 message as a value, with how its body is framed.
//
// Parsing and writing are in codec.hpp; this header is what the rest of the proxy sees.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/http/headers.hpp"

namespace trireme::proxy::http {

/// How long the body is.
struct Body {
  enum class Kind : std::uint8_t {
    none,         ///< no body
    length,       ///< exactly `length` bytes
    chunked,      ///< chunked transfer coding
    until_close,  ///< a response that ends with its connection
  };
  Kind kind = Kind::none;
  std::uint64_t length = 0;
  bool operator==(const Body&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(kind, length);
  }
};

/// `headers` never hold Content-Length, Transfer-Encoding, Connection or Keep-Alive: parsing turns them into `body` and
/// `keep_alive`, and writing makes them from these.
struct RequestHead {
  std::string method;
  std::string target;  ///< as sent: "/v1/models?x=1"
  Headers headers;
  Body body;
  bool keep_alive = true;
  bool http10 = false;           ///< the client speaks HTTP/1.0
  bool expect_continue = false;  ///< the client waits for "100 Continue"
  bool repeatable = false;       ///< a server may see it more than once: its method or the service's `retry` says so
  bool fresh = false;            ///< it goes over no connection that was used before: an attempt has failed already
  bool operator==(const RequestHead&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(method, target, headers, body, keep_alive, http10, expect_continue, repeatable, fresh);
  }
};

/// The methods of RFC 9110, 9.2.1: a server that sees such a request twice has been asked for nothing more.
inline bool changes_nothing(std::string_view method) {
  return method == "GET" || method == "HEAD" || method == "OPTIONS";
}

struct ResponseHead {
  int status = 200;
  std::string reason;
  Headers headers;
  Body body;
  bool keep_alive = true;
  bool operator==(const ResponseHead&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(status, reason, headers, body, keep_alive);
  }
};

}  // namespace trireme::proxy::http
