// Clients of the native protocol (docs/spec/native.md): a request that comes in frames is forwarded as a frame where that can be
// (express.hpp); else it becomes an Exchange, goes the way of HTTP's requests and is answered in frames, in whatever order
// answers come.
//
// Bounded: at most defaults::native_requests of a connection are in progress, of each at most a window of body bytes is held
// per direction, and a client that does not read its answers is not read from. A request whose client neither sends what is
// awaited nor takes its answer ends between one and two stall timeouts later, and gives its slot back; so does a connection that takes
// nothing of what waits for it. What is written within a turn of the loop leaves in one write, at its end. Belongs to the event loop.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/http/exchange.hpp"
#include "proxy/http/loop.hpp"
#include "proxy/http/server.hpp"
#include "proxy/http/stream.hpp"

namespace trireme::proxy::native {

class ClientConnection;
class Express;

class Door {
 public:
  /// Whether a client may come in, by who it is and its token: words for it if not.
  using Check = std::function<std::string_view(http::Peer peer, std::string_view token)>;
  Door(http::Loop& loop, http::Handler handler, Express& express, Check check, const http::ServerLimits& limits = {});
  /// Ends all connections.
  ~Door();

  /// A connection that begins with the native preface; `received` is what has been read of it.
  void take(http::Descriptor socket, std::string_view received, http::Peer peer);
  void close();

 private:
  friend class ClientConnection;
  void closed(ClientConnection& connection);

  http::Loop& loop_;
  Express& express_;
  http::Handler handler_;
  Check check_;
  http::ServerLimits limits_;
  std::size_t memories_ = 0;  ///< connections whose bytes go through memory
  std::vector<std::unique_ptr<ClientConnection>> connections_;
};

}  // namespace trireme::proxy::native
