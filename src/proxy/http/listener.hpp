// Accepts connections on a loopback port or on a unix socket and serves HTTP/1.1 on them.
//
// A client whose end belongs to somebody else is refused at accept. At the limit of connections accepting pauses until one of
// them ends, and it pauses for a moment when the process is out of descriptors or the kernel out of memory: further clients
// wait in the kernel's backlog, and nothing spins.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "core/result.hpp"
#include "proxy/http/access.hpp"
#include "proxy/http/exchange.hpp"
#include "proxy/http/loop.hpp"
#include "proxy/http/server.hpp"

namespace trireme::proxy::http {

struct ListenerOptions {
  /// Asked for each accepted connection; Peer::other is refused. Without it everybody is Peer::unknown and may come in.
  std::function<Peer(int descriptor)> identify;
  /// Given the connections that begin with a zero byte, which the native protocol does; without it they are refused.
  std::function<void(Descriptor socket, std::string_view received, Peer peer)> native;
  std::size_t max_connections;
  ServerLimits limits;
  ListenerOptions();  ///< the runtime's defaults
};

class Listener final : private Resident, private ConnectionOwner {
 public:
  /// On 127.0.0.1; port 0 takes a free one. A port that is taken is an error.
  static Result<std::unique_ptr<Listener>> on_loopback(Loop& loop, std::uint16_t port, Handler handler,
                                                       ListenerOptions options = {});
  /// On a unix socket that only our user can open. It must not exist; it is removed with the Listener.
  static Result<std::unique_ptr<Listener>> on_path(Loop& loop, std::string path, Handler handler,
                                                   ListenerOptions options = {});
  /// Ends all connections; requests in progress are told that their client is gone.
  ~Listener() override;

  /// 0 for a unix socket.
  std::uint16_t port() const { return port_; }
  const std::string& path() const { return path_; }
  std::size_t connections() const { return connections_.size(); }
  /// Accepts nobody any more and ends connections as they become idle; requests in progress go on.
  void stop();

 private:
  Listener(Loop& loop, Descriptor socket, Handler handler, ListenerOptions options);
  static Result<std::unique_ptr<Listener>> make(Loop& loop, Descriptor socket, const std::string& where,
                                                Handler handler, ListenerOptions options);

  void on_ready(Ready ready) override;
  void on_tail() override;
  void on_deadline() override;
  void accept_all();
  void admit(Descriptor socket);

  void handle(std::unique_ptr<Exchange> exchange) override;
  const ServerLimits& limits() const override { return options_.limits; }
  bool stopping() const override { return !socket_; }
  bool take_native(Descriptor& socket, std::string_view received, Peer peer) override;
  void closed(ServerConnection& connection) override;

  Descriptor socket_;
  Handler handler_;
  ListenerOptions options_;
  std::uint16_t port_ = 0;
  std::string path_;
  std::vector<std::unique_ptr<ServerConnection>> connections_;
};

}  // namespace trireme::proxy::http
