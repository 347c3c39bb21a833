#include "launch/pmix/server/channel.hpp"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdio>

namespace trireme::pmix {

void Channel::send(const FromServer& message) {
  const std::string bytes = frame(message);
  const std::scoped_lock lock(sending_);
  std::size_t sent = 0;
  while (sent < bytes.size()) {
    const auto put = ::send(socket_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return;  // the agent is gone: receive() sees that too
    sent += static_cast<std::size_t>(put);
  }
}

std::optional<ToServer> Channel::receive() {
  for (;;) {
    if (auto message = reader_.next()) {
      if (*message) return std::move(**message);
      std::fprintf(stderr, "%s: is trireme-pmix of another build?\n", message->error().text().c_str());
      return std::nullopt;
    }
    std::array<char, 64u << 10> chunk;
    const auto got = ::recv(socket_, chunk.data(), chunk.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return std::nullopt;
    reader_.feed({chunk.data(), static_cast<std::size_t>(got)});
  }
}

}  // namespace trireme::pmix
