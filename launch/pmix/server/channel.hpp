// The server's end of the socket to its agent. Received on the main thread; sent from any, a whole frame at a time: libpmix calls
// back on a thread of its own. Blocking both ways: the agent always reads.
#pragma once

#include <mutex>
#include <optional>

#include "launch/pmix/protocol.hpp"

namespace trireme::pmix {

class Channel {
 public:
  explicit Channel(int socket) : socket_(socket) {}

  void send(const FromServer& message);
  /// The next message; none when the agent has closed its end, is gone, or speaks nonsense.
  std::optional<ToServer> receive();

 private:
  int socket_;
  std::mutex sending_;
  Reader<ToServer> reader_;
};

}  // namespace trireme::pmix
