// One HTTP request over a unix socket, blocking: a connection of its own, every wait under the request's deadline.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "trireme/client.hpp"

namespace trireme {

struct SocketRequest {
  std::string socket;  ///< path of the proxy's unix socket
  std::string token;   ///< of the Authorization header; empty: none
  std::string method = "GET";
  std::string target;
  std::string body;
  std::string where;  ///< for errors: "service llama"
};

/// The whole answer, whatever its status; an Error means that there was none before the deadline.
Result<Response> ask_socket(const SocketRequest& request, std::chrono::milliseconds deadline);

}  // namespace trireme
