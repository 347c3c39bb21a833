#include "launch/pmix/server/channel.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <utility>

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
    if (!next_) next_ = reader_.next();
    if (auto message = std::exchange(next_, std::nullopt)) {
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

bool Channel::ready_within(std::chrono::milliseconds time) {
  if (!next_) next_ = reader_.next();
  pollfd readable{socket_, POLLIN, 0};
  return next_ || ::poll(&readable, 1, static_cast<int>(time.count())) != 0;
}

}  // namespace trireme::pmix
