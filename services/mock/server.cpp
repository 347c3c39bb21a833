#include "services/mock/server.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "services/mock/connection.hpp"

namespace trireme::mock {

using namespace proxy::http;

namespace {

constexpr int backlog = 4096;
constexpr int accepts_per_turn = 64;

}  // namespace

Server::Server(Loop& loop, ServerOptions options, std::function<void()> on_death)
    : Resident(loop),
      options_(std::move(options)),
      on_death_(std::move(on_death)),
      engine_(loop.io(), options_.cost, options_.speed),
      random_(options_.seed) {}

Server::~Server() {
  close_all();
}

Result<std::unique_ptr<Server>> Server::start(Loop& loop, ServerOptions options, std::function<void()> on_death) {
  std::unique_ptr<Server> server(new Server(loop, std::move(options), std::move(on_death)));
  if (auto listening = server->listen(); !listening) return listening.error();
  return server;
}

Status Server::listen() {
  const auto failed = [this] {
    return Error{.what = std::string("cannot listen: ") + std::strerror(errno), .where = address()};
  };
  const bool unix_socket = !options_.path.empty();
  socket_ = Descriptor(::socket(unix_socket ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket_) return failed();
  if (unix_socket) {
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    if (options_.path.size() >= sizeof to.sun_path) return errno = ENAMETOOLONG, failed();
    std::memcpy(to.sun_path, options_.path.data(), options_.path.size());
    ::unlink(options_.path.c_str());
    if (::bind(socket_.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) return failed();
  } else {
    const int on = 1;
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // accepted connections inherit it
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(options_.port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::bind(socket_.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) return failed();
    socklen_t size = sizeof to;
    if (::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&to), &size) != 0) return failed();
    options_.port = ntohs(to.sin_port);
  }
  if (::listen(socket_.get(), backlog) != 0) return failed();
  if (!options_.hang_accept && !watch(socket_.get())) return failed();
  return {};
}

std::string Server::address() const {
  return options_.path.empty() ? "http://127.0.0.1:" + std::to_string(options_.port) : "unix:" + options_.path;
}

bool Server::ready() const {
  return Duration(mono_now() - started_) >= options_.start_delay;
}

bool Server::count_request() {
  ++requests_;
  if (options_.die_after == 0 || requests_ < options_.die_after) return true;
  close_all();
  on_death_();
  return false;
}

std::string Server::stats() const {
  const Engine& engine = engine_.engine();
  return nlohmann::ordered_json{{"server", options_.name},
                                {"requests", requests_},
                                {"running", engine.running()},
                                {"waiting", engine.waiting()},
                                {"reserved_tokens", engine.reserved_tokens()},
                                {"prompt_tokens", engine.prompt_tokens()},
                                {"cached_tokens", engine.cached_tokens()},
                                {"connections", connections_.size()}}
      .dump();
}

void Server::on_ready(Ready) {
  accept_all();
}
void Server::on_tail() {
  accept_all();
}

void Server::accept_all() {
  for (int i = 0; socket_; ++i) {
    if (i == accepts_per_turn) return at_tail();
    Descriptor socket(::accept4(socket_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!socket && (errno == EINTR || errno == ECONNABORTED)) continue;
    if (!socket) return;
    auto connection = std::make_unique<Connection>(loop(), std::move(socket), *this);
    if (!connection->start()) continue;
    connection->slot = connections_.size();
    connections_.push_back(std::move(connection));
  }
}

void Server::closed(Connection& connection) {
  const std::size_t slot = connection.slot;
  loop().bury(std::move(connections_[slot]));
  if (slot + 1 < connections_.size()) {
    connections_[slot] = std::move(connections_.back());
    connections_[slot]->slot = slot;
  }
  connections_.pop_back();
}

void Server::close_all() {
  if (socket_) {
    if (!options_.hang_accept) unwatch(socket_.get());
    socket_.close();
    if (!options_.path.empty()) ::unlink(options_.path.c_str());
  }
  while (!connections_.empty()) connections_.back()->reset();
}

}  // namespace trireme::mock
