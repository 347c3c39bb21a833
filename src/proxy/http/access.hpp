// Who is at the other end of a connection, and whether a token is the right one.
//
// Other users of the node reach loopback too, so a listener asks at accept who owns the client's end. For TCP the kernel is
// asked through sock_diag (one exchange on a netlink socket that stays open), and where that is not permitted /proc/net/tcp
// and tcp6 are read. For a unix socket the peer's credentials are known.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string_view>

#include "proxy/http/head.hpp"
#include "proxy/http/stream.hpp"

namespace trireme::proxy::http {

enum class Peer : std::uint8_t {
  ours,     ///< a process of our own user
  other,    ///< a process of another user
  unknown,  ///< the kernel could not say: another user namespace or network namespace, or already closed
};

/// Answers whose end the other end of a connection is. Used by one thread.
class PeerCheck {
 public:
  PeerCheck();
  /// `descriptor` is an accepted connection, TCP or unix.
  Peer operator()(int descriptor);

 private:
  Descriptor netlink_;
  std::uint32_t sequence_ = 0;
  bool sock_diag_works_ = false;  ///< it has answered before
};

namespace access {

/// The ways that PeerCheck knows, each for itself: the uid that owns the client's end of a connection, where it can be told.
std::optional<uid_t> uid_by_sock_diag(int netlink, std::uint32_t sequence, int descriptor);
std::optional<uid_t> uid_by_proc(int descriptor);
std::optional<uid_t> uid_by_credentials(int descriptor);

}  // namespace access

/// Whether the two are equal, in a time that depends on the lengths alone. An empty secret equals nothing.
bool equal_secret(std::string_view given, std::string_view secret);

/// The token of "Authorization: Bearer TOKEN".
std::optional<std::string_view> bearer_token(const Headers& headers);

}  // namespace trireme::proxy::http
