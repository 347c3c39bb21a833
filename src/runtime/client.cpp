#include "trireme/client.hpp"

#include "runtime/socket_client.hpp"

namespace trireme {

Client::Client(std::string socket, std::string token) : socket_(std::move(socket)), token_(std::move(token)) {}

Result<Response> Client::request(std::string_view service, std::string_view method, std::string_view path,
                                 std::string_view body, std::chrono::milliseconds deadline) const {
  const std::string name(service);
  return ask_socket({.socket = socket_,
                     .token = token_,
                     .method = std::string(method),
                     .target = "/services/" + name + (path.starts_with('/') ? "" : "/") + std::string(path),
                     .body = std::string(body),
                     .where = "service " + name},
                    deadline);
}

}  // namespace trireme
