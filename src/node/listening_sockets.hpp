// The sockets that listen on a TCP port of this host, of whatever process.
//
// The kernel is asked for them through sock_diag, which looks at listening sockets alone. Where that is not permitted, or not there,
// they are searched for in /proc/net/tcp and tcp6: the kernel writes every connection of the host into these, also those that
// ended in the last minute, which takes milliseconds on a host with thousands.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace trireme {

struct ListeningSocket {
  std::uint64_t inode = 0;
  uid_t uid = 0;
  bool operator==(const ListeningSocket&) const = default;
};

/// Those that take connections to 127.0.0.1; nothing where neither way can be gone.
std::optional<std::vector<ListeningSocket>> listening_on(std::uint16_t port);

namespace listening {
/// By one of the ways; nothing where it cannot be gone.
std::optional<std::vector<ListeningSocket>> by_sock_diag(std::uint16_t port);
std::optional<std::vector<ListeningSocket>> by_proc(std::uint16_t port);
}  // namespace listening

}  // namespace trireme
