#include "proxy/http/listener.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/defaults.hpp"

namespace trireme::proxy::http {

namespace {

// Accepted in one go before the connections there are get their turn.
constexpr int accepts_per_turn = 64;

Error system_error(const std::string& what, const std::string& where, std::string hint = {}) {
  return {.what = what + ": " + std::strerror(errno), .where = where, .hint = std::move(hint)};
}

void set_no_delay(int descriptor) {
  const int on = 1;
  ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

}  // namespace

ListenerOptions::ListenerOptions() : max_connections(defaults::http_connections) {}

Listener::Listener(Loop& loop, Descriptor socket, Handler handler, ListenerOptions options)
    : Resident(loop), socket_(std::move(socket)), handler_(std::move(handler)), options_(std::move(options)) {}

Result<std::unique_ptr<Listener>> Listener::make(Loop& loop, Descriptor socket, const std::string& where,
                                                 Handler handler, ListenerOptions options) {
  if (::listen(socket.get(), SOMAXCONN) != 0) return system_error("cannot listen", where);
  std::unique_ptr<Listener> listener(new Listener(loop, std::move(socket), std::move(handler), std::move(options)));
  if (!listener->watch(listener->socket_.get())) return system_error("cannot listen", where);
  return listener;
}

Result<std::unique_ptr<Listener>> Listener::on_loopback(Loop& loop, std::uint16_t port, Handler handler,
                                                        ListenerOptions options) {
  const std::string where = "127.0.0.1:" + std::to_string(port);
  Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return system_error("cannot make a socket", where);
  const int on = 1;
  // A port whose last connections are still in TIME_WAIT is free; one that somebody listens on is not.
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  set_no_delay(socket.get());  // accepted connections inherit it

  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return system_error("cannot take the port", where,
                        errno == EADDRINUSE ? "choose another port, or 0 for any free one" : "");
  }
  socklen_t size = sizeof address;
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return system_error("cannot tell the port", where);
  }
  auto listener = make(loop, std::move(socket), where, std::move(handler), std::move(options));
  if (listener) (*listener)->port_ = ntohs(address.sin_port);
  return listener;
}

Result<std::unique_ptr<Listener>> Listener::on_path(Loop& loop, std::string path, Handler handler,
                                                    ListenerOptions options) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return Error{.what = "the path is too long for a socket (" + std::to_string(path.size()) + " bytes, at most " +
                         std::to_string(sizeof address.sun_path - 1) + ")",
                 .where = path,
                 .hint = "set TRIREME_TMPDIR to a folder with a short path"};
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return system_error("cannot make a socket", path);
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return system_error("cannot make the socket", path,
                        errno == EADDRINUSE ? "remove it, or stop the program that owns it" : "");
  }
  // Nobody can connect before listen(), so nobody slips in before this.
  if (::chmod(path.c_str(), S_IRUSR | S_IWUSR) != 0) {
    const Error error = system_error("cannot restrict the socket", path);
    ::unlink(path.c_str());
    return error;
  }
  auto listener = make(loop, std::move(socket), path, std::move(handler), std::move(options));
  if (listener) {
    (*listener)->path_ = std::move(path);
  } else {
    ::unlink(path.c_str());
  }
  return listener;
}

Listener::~Listener() {
  stop();
  while (!connections_.empty()) connections_.back()->close();
}

void Listener::stop() {
  if (!socket_) return;
  unwatch(socket_.get());
  socket_.close();
  clear_deadline();
  if (!path_.empty()) ::unlink(path_.c_str());
  // Closing moves the last connection to the freed slot, which has been visited already.
  for (std::size_t i = connections_.size(); i-- > 0;) connections_[i]->close_if_idle();
}

void Listener::on_ready(Ready) {
  accept_all();
}
void Listener::on_tail() {
  accept_all();
}
void Listener::on_deadline() {
  accept_all();
}

void Listener::accept_all() {
  for (int i = 0; socket_ && connections_.size() < options_.max_connections; ++i) {
    if (i == accepts_per_turn) return at_tail();
    Descriptor socket(::accept4(socket_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket) {
      admit(std::move(socket));
      continue;
    }
    if (errno == EAGAIN) return;
    // Where only this client's connection failed the next may be well; else descriptors or memory have run out.
    const bool of_client = errno == ECONNABORTED || errno == EINTR || errno == EPROTO;
    if (!of_client) return set_deadline(defaults::accept_backoff);
  }
}

void Listener::admit(Descriptor socket) {
  const Peer peer = options_.identify ? options_.identify(socket.get()) : Peer::unknown;
  if (peer == Peer::other) return;
  ConnectionOwner& owner = *this;
  auto connection = std::make_unique<ServerConnection>(loop(), std::move(socket), peer, owner);
  if (!connection->start()) return;
  connection->slot = connections_.size();
  connections_.push_back(std::move(connection));
}

void Listener::handle(std::unique_ptr<Exchange> exchange) {
  handler_(std::move(exchange));
}

bool Listener::take_native(Descriptor& socket, std::string_view received, Peer peer) {
  if (!options_.native) return false;
  options_.native(std::move(socket), received, peer);
  return true;
}

void Listener::closed(ServerConnection& connection) {
  const std::size_t slot = connection.slot;
  loop().bury(std::move(connections_[slot]));
  if (slot + 1 < connections_.size()) {
    connections_[slot] = std::move(connections_.back());
    connections_[slot]->slot = slot;
  }
  connections_.pop_back();
  // There may be room for one that waits.
  if (connections_.size() + 1 == options_.max_connections) at_tail();
}

}  // namespace trireme::proxy::http
