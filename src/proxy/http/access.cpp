#include "proxy/http/access.hpp"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>

namespace trireme::proxy::http {

namespace {

// What a user that is not mapped into our user namespace looks like.
constexpr uid_t overflow_uid = 65534;

struct Ends {
  sockaddr_storage client{};
  sockaddr_storage server{};
};

std::optional<Ends> ends_of(int descriptor) {
  Ends ends;
  socklen_t client_size = sizeof ends.client;
  socklen_t server_size = sizeof ends.server;
  if (::getpeername(descriptor, reinterpret_cast<sockaddr*>(&ends.client), &client_size) != 0 ||
      ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&ends.server), &server_size) != 0 ||
      ends.client.ss_family != ends.server.ss_family) {
    return std::nullopt;
  }
  return ends;
}

/// Puts address and port, in network order, where inet_diag wants them.
void copy_address(const sockaddr_storage& from, __be32* address, __be16& port) {
  if (from.ss_family == AF_INET) {
    const auto& in = reinterpret_cast<const sockaddr_in&>(from);
    std::memcpy(address, &in.sin_addr, sizeof in.sin_addr);
    port = in.sin_port;
  } else {
    const auto& in = reinterpret_cast<const sockaddr_in6&>(from);
    std::memcpy(address, &in.sin6_addr, sizeof in.sin6_addr);
    port = in.sin6_port;
  }
}

/// Address and port as /proc/net/tcp and tcp6 write them: the words of the address as this machine's numbers.
std::string proc_address(const sockaddr_storage& from, bool as_v6) {
  std::array<std::uint32_t, 4> words{};
  std::uint16_t port = 0;
  std::size_t count = 1;
  if (from.ss_family == AF_INET) {
    const auto& in = reinterpret_cast<const sockaddr_in&>(from);
    if (as_v6) {
      words = {0, 0, htonl(0xffff), in.sin_addr.s_addr};
      count = 4;
    } else {
      words[0] = in.sin_addr.s_addr;
    }
    port = ntohs(in.sin_port);
  } else {
    const auto& in = reinterpret_cast<const sockaddr_in6&>(from);
    std::memcpy(words.data(), &in.sin6_addr, sizeof words);
    count = 4;
    port = ntohs(in.sin6_port);
  }
  std::string text;
  std::array<char, 16> part;
  for (std::size_t i = 0; i < count; ++i) {
    text.append(part.data(), static_cast<std::size_t>(std::snprintf(part.data(), part.size(), "%08X", words[i])));
  }
  text.append(part.data(), static_cast<std::size_t>(std::snprintf(part.data(), part.size(), ":%04X", unsigned{port})));
  return text;
}

std::optional<uid_t> search_proc(const char* path, const std::string& client, const std::string& server) {
  std::ifstream table(path);
  std::string line;
  while (std::getline(table, line)) {
    // sl local remote state queues timer retransmits uid timeout inode …
    std::istringstream fields(line);
    std::string skip, local, remote;
    if (!(fields >> skip >> local >> remote) || local != client || remote != server) continue;
    uid_t uid = 0;
    std::uint64_t inode = 0;
    if (!(fields >> skip >> skip >> skip >> skip >> uid >> skip >> inode) || inode == 0) break;
    return uid;
  }
  return std::nullopt;
}

}  // namespace

namespace access {

std::optional<uid_t> uid_by_sock_diag(int netlink, std::uint32_t sequence, int descriptor) {
  const auto ends = ends_of(descriptor);
  if (netlink < 0 || !ends) return std::nullopt;
  const int family = ends->client.ss_family;
  if (family != AF_INET && family != AF_INET6) return std::nullopt;

  struct {
    nlmsghdr header;
    inet_diag_req_v2 request;
  } query{};
  query.header.nlmsg_len = sizeof query;
  query.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  query.header.nlmsg_flags = NLM_F_REQUEST;
  query.header.nlmsg_seq = sequence;
  query.request.sdiag_family = static_cast<__u8>(family);
  query.request.sdiag_protocol = IPPROTO_TCP;
  query.request.idiag_states = ~0u;
  copy_address(ends->client, query.request.id.idiag_src, query.request.id.idiag_sport);
  copy_address(ends->server, query.request.id.idiag_dst, query.request.id.idiag_dport);
  query.request.id.idiag_cookie[0] = INET_DIAG_NOCOOKIE;
  query.request.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  if (::send(netlink, &query, sizeof query, MSG_NOSIGNAL) != sizeof query) return std::nullopt;

  // The answer is there when send() returns: netlink works in the caller's context.
  alignas(nlmsghdr) std::array<char, 4096> buffer;
  for (;;) {
    const ssize_t size = ::recv(netlink, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (size < static_cast<ssize_t>(sizeof(nlmsghdr))) return std::nullopt;
    const auto* header = reinterpret_cast<const nlmsghdr*>(buffer.data());
    if (header->nlmsg_seq != sequence) continue;  // of an earlier query
    if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
        static_cast<std::size_t>(size) < NLMSG_LENGTH(sizeof(inet_diag_msg))) {
      return std::nullopt;
    }
    const auto* found = static_cast<const inet_diag_msg*>(NLMSG_DATA(header));
    // A connection whose process has closed it is shown with uid 0 and without an inode.
    if (found->idiag_inode == 0) return std::nullopt;
    return found->idiag_uid;
  }
}

std::optional<uid_t> uid_by_proc(int descriptor) {
  const auto ends = ends_of(descriptor);
  if (!ends) return std::nullopt;
  if (ends->client.ss_family == AF_INET) {
    const auto uid = search_proc("/proc/net/tcp", proc_address(ends->client, false), proc_address(ends->server, false));
    if (uid) return uid;
  } else if (ends->client.ss_family != AF_INET6) {
    return std::nullopt;
  }
  return search_proc("/proc/net/tcp6", proc_address(ends->client, true), proc_address(ends->server, true));
}

std::optional<uid_t> uid_by_credentials(int descriptor) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0 || credentials.pid == 0) {
    return std::nullopt;
  }
  return credentials.uid;
}

}  // namespace access

PeerCheck::PeerCheck() : netlink_(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG)) {}

Peer PeerCheck::operator()(int descriptor) {
  int domain = 0;
  socklen_t size = sizeof domain;
  if (::getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0) return Peer::unknown;

  std::optional<uid_t> uid;
  if (domain == AF_UNIX) {
    uid = access::uid_by_credentials(descriptor);
  } else {
    uid = access::uid_by_sock_diag(netlink_.get(), ++sequence_, descriptor);
    sock_diag_works_ = sock_diag_works_ || uid;
    // The tables are long on a busy node; they are for kernels that do not answer, not for clients that have left.
    if (!uid && !sock_diag_works_) uid = access::uid_by_proc(descriptor);
  }
  if (!uid) return Peer::unknown;
  if (*uid == ::geteuid()) return Peer::ours;
  return *uid == overflow_uid ? Peer::unknown : Peer::other;
}

bool equal_secret(std::string_view given, std::string_view secret) {
  if (secret.empty() || given.size() != secret.size()) return false;
  volatile unsigned char difference = 0;
  for (std::size_t i = 0; i < given.size(); ++i) {
    difference = static_cast<unsigned char>(difference | (given[i] ^ secret[i]));
  }
  return difference == 0;
}

std::optional<std::string_view> bearer_token(const Headers& headers) {
  const auto value = find(headers, "Authorization");
  constexpr std::string_view scheme = "Bearer ";
  if (!value || value->size() <= scheme.size() || !iequals(value->substr(0, scheme.size()), scheme)) {
    return std::nullopt;
  }
  const std::size_t begin = value->find_first_not_of(' ', scheme.size());
  if (begin == std::string_view::npos) return std::nullopt;
  return value->substr(begin);
}

}  // namespace trireme::proxy::http
