#include "load/client.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace trireme::load {

using namespace proxy::http;

namespace {

constexpr std::size_t held_most = 1u << 20;

/// Sends all of it, waiting for room where there is none. False when the connection is broken.
bool send_all(int descriptor, std::string_view data) {
  while (!data.empty()) {
    const ssize_t sent = ::send(descriptor, data.data(), data.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      data.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN) {
      pollfd room{descriptor, POLLOUT, 0};
      ::poll(&room, 1, -1);
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

}  // namespace

Result<Target> parse_target(const std::string& url) {
  if (url.starts_with("unix:")) return Target{{.port = 0, .path = url.substr(5)}, ""};
  constexpr std::string_view scheme = "http://127.0.0.1:";
  unsigned long port = 0;
  std::size_t used = 0;
  if (url.starts_with(scheme)) {
    try {
      port = std::stoul(url.substr(scheme.size()), &used);
    } catch (const std::exception&) {
      port = 0;
    }
  }
  if (port == 0 || port > 65535)
    return Error{.what = "a target is http://127.0.0.1:PORT/PREFIX or unix:PATH", .where = url};
  return Target{{.port = static_cast<std::uint16_t>(port), .path = {}}, url.substr(scheme.size() + used)};
}

Status Client::connect() {
  const LocalAddress& address = target_.address;
  const bool unix_socket = !address.path.empty();
  socket_ = Descriptor(::socket(unix_socket ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  int result = -1;
  if (socket_ && unix_socket) {
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    address.path.copy(to.sun_path, sizeof to.sun_path - 1);
    result = ::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to);
  } else if (socket_) {
    const int on = 1;
    ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(address.port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    result = ::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to);
  }
  if (result != 0)
    return Error{.what = std::string("cannot connect: ") + std::strerror(errno), .where = target_.prefix};
  return {};
}

Status Client::start() {
  if (auto connected = connect(); !connected) return connected;
  if (!send_next()) socket_.close();
  return {};
}

bool Client::send_next() {
  const auto number = plan_.next(index_);
  if (!number) return false;
  const Job& job = plan_.job(*number);
  request_ =
      (job.body.empty() ? "GET " : "POST ") + target_.prefix + job.path + " HTTP/1.1\r\nHost: 127.0.0.1\r\n" + headers_;
  if (!job.body.empty()) {
    request_ +=
        "Content-Type: application/json\r\nContent-Length: " + std::to_string(job.body.size()) + "\r\n\r\n" + job.body;
  } else {
    request_ += "\r\n";
  }
  in_body_ = false;
  parser_.reset();
  sent_at_ = mono_now();
  return send_all(socket_.get(), request_) || broken();
}

bool Client::on_readable(std::size_t limit) {
  const auto [to, size] = in_.room(held_most);
  const ssize_t got = ::recv(socket_.get(), to, std::min(size, limit), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (got <= 0) return broken();
  in_.commit(static_cast<std::size_t>(got));
  return take();
}

/// Takes what there is of the answer; the next request goes out with its end.
bool Client::take() {
  if (!in_body_) {
    switch (parser_.parse_response(in_.view(), head_)) {
      case HeadParser::State::more:
        return true;
      case HeadParser::State::error:
        return broken();
      case HeadParser::State::done:
        break;
    }
    in_.consume(parser_.consumed());
    decoder_ = BodyDecoder(follows(head_, "POST"));
    in_body_ = true;
    body_begun_ = false;
  }
  while (!in_.empty() && !decoder_.done()) {
    const auto [consumed, data] = decoder_.next(in_.view());
    if (!data.empty() && !std::exchange(body_begun_, true)) record_.first_byte.add(Duration(mono_now() - sent_at_));
    record_.bytes += data.size();
    in_.consume(consumed);
    if (decoder_.failed()) return broken();
    if (consumed == 0) break;
  }
  if (!decoder_.done()) return true;
  record_.latency.add(Duration(mono_now() - sent_at_));
  ++record_.requests;
  ++record_.statuses[head_.status];
  if (const auto server = find(head_.headers, "X-Mock-Server")) ++record_.servers[std::string(*server)];
  if (!head_.keep_alive && !connect()) return false;
  return send_next();
}

/// Goes on with the next request on a new connection.
bool Client::broken() {
  ++record_.broken;
  in_.consume(in_.size());
  return connect().ok() && send_next();
}

}  // namespace trireme::load
