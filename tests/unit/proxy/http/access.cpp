// Who may come in: the peer check against the kernel's own answers, and tokens.
#include "proxy/http/access.hpp"

#include <linux/netlink.h>

#include "harness.hpp"

using namespace trireme::proxy::http;

namespace {

struct Pair {
  TestSocket client;
  Descriptor server;
};

Pair tcp_pair() {
  const Descriptor listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::bind(listener.get(), reinterpret_cast<sockaddr*>(&v4), sizeof v4) == 0);
  REQUIRE(::listen(listener.get(), 1) == 0);
  socklen_t size = sizeof v4;
  REQUIRE(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&v4), &size) == 0);
  TestSocket client = TestSocket::to_port(ntohs(v4.sin_port));
  Descriptor server(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  REQUIRE(server);
  return {std::move(client), std::move(server)};
}

}  // namespace

TEST_CASE("the uid at the other end of a TCP connection is found in both ways, and they agree") {
  const Pair pair = tcp_pair();
  const Descriptor netlink(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  REQUIRE(netlink);
  const auto by_diag = access::uid_by_sock_diag(netlink.get(), 1, pair.server.get());
  const auto by_proc = access::uid_by_proc(pair.server.get());
  REQUIRE_MESSAGE((by_diag || by_proc), "neither sock_diag nor /proc/net/tcp can be used here");
  if (by_diag) CHECK(*by_diag == ::geteuid());
  if (by_proc) CHECK(*by_proc == ::geteuid());
  CHECK(PeerCheck()(pair.server.get()) == Peer::ours);
}

TEST_CASE("a client that has already closed is unknown, not root") {
  Pair pair = tcp_pair();
  pair.client.close();
  CHECK(PeerCheck()(pair.server.get()) == Peer::unknown);
}

TEST_CASE("one check serves many connections") {
  PeerCheck check;
  for (int i = 0; i < 20; ++i) {
    Pair pair = tcp_pair();
    CHECK(check(pair.server.get()) == Peer::ours);
    pair.client.close();
    CHECK(check(pair.server.get()) == Peer::unknown);
  }
}

TEST_CASE("a peer on a unix socket is known by its credentials") {
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  const Descriptor a(ends[0]);
  const Descriptor b(ends[1]);
  CHECK(access::uid_by_credentials(a.get()) == ::geteuid());
  CHECK(PeerCheck()(a.get()) == Peer::ours);
  CHECK(PeerCheck()(-1) == Peer::unknown);
}

TEST_CASE("tokens equal only themselves, and an unset token nothing") {
  CHECK(equal_secret("abc", "abc"));
  CHECK_FALSE(equal_secret("abd", "abc"));
  CHECK_FALSE(equal_secret("abcd", "abc"));
  CHECK_FALSE(equal_secret("ab", "abc"));
  CHECK_FALSE(equal_secret("", ""));
  CHECK_FALSE(equal_secret("x", ""));
}

TEST_CASE("a bearer token is taken from Authorization") {
  CHECK(bearer_token({{"authorization", "Bearer abc"}}) == "abc");
  CHECK(bearer_token({{"Authorization", "bearer   abc"}}) == "abc");
  CHECK_FALSE(bearer_token({{"Authorization", "Basic abc"}}));
  CHECK_FALSE(bearer_token({{"Authorization", "Bearer "}}));
  CHECK_FALSE(bearer_token({{"Authorization", "Bearer"}}));
  CHECK_FALSE(bearer_token({}));
}
