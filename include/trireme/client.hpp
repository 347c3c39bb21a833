// Requests to services, from the program that embeds the runtime.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <string_view>

#include "trireme/api.hpp"
#include "trireme/result.hpp"

namespace trireme {

struct Response {
  int status = 0;
  std::map<std::string, std::string> headers;  ///< names in lower case
  std::string body;
};

/// Sends requests through the proxy of its own node. Copyable; each call opens a connection of its own, so that several
/// threads may use one client at a time.
class TRIREME_API Client {
 public:
  /// `socket` is the path of the proxy's unix socket: what tasks find in TRIREME_SOCKET.
  explicit Client(std::string socket, std::string token = {});

  /// Sends `method` `path` with `body` to a service and waits for the whole answer. An answer with an error status is still an
  /// answer; an Error means that there was none before the deadline.
  Result<Response> request(std::string_view service, std::string_view method, std::string_view path,
                           std::string_view body = {},
                           std::chrono::milliseconds deadline = std::chrono::minutes(10)) const;

 private:
  std::string socket_;
  std::string token_;
};

}  // namespace trireme
