#include "launch/spawner/channel.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace trireme::spawner {

Channel::Channel(int socket) : socket_(socket), chunk_(64u << 10, '\0') {
  ::fcntl(socket_, F_SETFL, ::fcntl(socket_, F_GETFL) | O_NONBLOCK);
}

Channel::~Channel() {
  ::close(socket_);
}

void Channel::receive() {
  const auto got = ::recv(socket_, chunk_.data(), chunk_.size(), 0);
  if (got > 0) {
    reader_.feed(std::string_view(chunk_).substr(0, static_cast<std::size_t>(got)));
  } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
    open_ = false;
  }
}

std::optional<Request> Channel::next() {
  if (!has_next()) return std::nullopt;
  if (const auto frame = reader_.next()) {
    if (auto request = decode_request(*frame)) return request;
  }
  std::fprintf(stderr, "a request breaks protocol version %d: is trireme-spawner of another build?\n",
               int{protocol_version});
  open_ = false;
  return std::nullopt;
}

void Channel::flush() {
  std::size_t sent = 0;
  while (open_ && sent < output_.size()) {
    const auto put = ::send(socket_, output_.data() + sent, output_.size() - sent, MSG_NOSIGNAL);
    if (put > 0) {
      sent += static_cast<std::size_t>(put);
    } else if (put < 0 && errno != EINTR) {
      if (errno != EAGAIN) open_ = false;
      break;
    }
  }
  output_.erase(0, sent);
}

}  // namespace trireme::spawner
