#include "node/listening_sockets.hpp"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

namespace trireme {
namespace {

constexpr const char* tcp_table = "/proc/net/tcp";
constexpr const char* tcp6_table = "/proc/net/tcp6";

/// Closed at the end.
class Netlink {
 public:
  Netlink() : socket_(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG)) {}
  ~Netlink() {
    if (socket_ >= 0) ::close(socket_);
  }
  Netlink(const Netlink&) = delete;
  Netlink& operator=(const Netlink&) = delete;
  int get() const { return socket_; }

 private:
  int socket_;
};

/// Whether the address of a listening socket, in the words of inet_diag, takes connections to 127.0.0.1.
bool takes_loopback(int family, const __be32 (&words)[4]) {
  const auto any_or_loopback = [](__be32 address) {
    return address == htonl(INADDR_ANY) || address == htonl(INADDR_LOOPBACK);
  };
  if (family == AF_INET) return any_or_loopback(words[0]);
  if (words[0] != 0 || words[1] != 0) return false;
  return words[2] == htonl(0xffff) ? any_or_loopback(words[3]) : words[2] == 0 && words[3] == 0;
}

/// The same in the hexadecimal of /proc/net/tcp.
bool takes_loopback(std::string_view address) {
  constexpr std::array<std::string_view, 5> taking{"00000000", "0100007F", "00000000000000000000000000000000",
                                                   "0000000000000000FFFF00000100007F",
                                                   "0000000000000000FFFF000000000000"};
  return std::ranges::find(taking, address) != taking.end();
}

bool ask(int netlink, int family, std::uint16_t port) {
  struct {
    nlmsghdr header;
    inet_diag_req_v2 request;
  } query{};
  query.header.nlmsg_len = sizeof query;
  query.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  query.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  query.header.nlmsg_seq = static_cast<__u32>(family);
  query.request.sdiag_family = static_cast<__u8>(family);
  query.request.sdiag_protocol = IPPROTO_TCP;
  query.request.idiag_states = 1u << TCP_LISTEN;
  query.request.id.idiag_sport = htons(port);
  return ::send(netlink, &query, sizeof query, MSG_NOSIGNAL) == sizeof query;
}

/// Adds what the kernel answers. False if it refuses.
bool take_answer(int netlink, int family, std::uint16_t port, std::vector<ListeningSocket>& out) {
  alignas(nlmsghdr) std::array<char, 32768> buffer;
  for (;;) {
    // Each part is there when it is asked for: netlink works in the caller's context.
    const ssize_t size = ::recv(netlink, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (size <= 0) return false;
    auto left = static_cast<unsigned>(size);
    for (const auto* header = reinterpret_cast<const nlmsghdr*>(buffer.data()); NLMSG_OK(header, left);
         header = NLMSG_NEXT(header, left)) {
      if (header->nlmsg_type == NLMSG_DONE) {
        int refused = 0;  // a dump that cannot be made ends with the reason
        if (header->nlmsg_len >= NLMSG_LENGTH(sizeof refused)) {
          std::memcpy(&refused, NLMSG_DATA(header), sizeof refused);
        }
        return refused >= 0;
      }
      if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY || header->nlmsg_len < NLMSG_LENGTH(sizeof(inet_diag_msg))) {
        return false;
      }
      const auto* found = static_cast<const inet_diag_msg*>(NLMSG_DATA(header));
      if (found->idiag_state == TCP_LISTEN && ntohs(found->id.idiag_sport) == port &&
          takes_loopback(family, found->id.idiag_src)) {
        out.push_back({.inode = found->idiag_inode, .uid = found->idiag_uid});
      }
    }
  }
}

void search_table(const char* table, std::uint16_t port, std::vector<ListeningSocket>& out) {
  constexpr std::string_view listen_state = "0A";
  std::ifstream file(table);
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    // sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode
    std::istringstream words(line);
    std::string slot, local, remote, state, queues, timer, retransmits, timeout;
    ListeningSocket socket;
    if (!(words >> slot >> local >> remote >> state) || state != listen_state) continue;
    if (!(words >> queues >> timer >> retransmits >> socket.uid >> timeout >> socket.inode)) continue;
    const std::size_t colon = local.find(':');
    if (colon == std::string::npos) continue;
    std::uint16_t local_port = 0;
    std::from_chars(local.data() + colon + 1, local.data() + local.size(), local_port, 16);
    if (local_port == port && takes_loopback(std::string_view(local).substr(0, colon))) out.push_back(socket);
  }
}

}  // namespace

namespace listening {

std::optional<std::vector<ListeningSocket>> by_sock_diag(std::uint16_t port) {
  const Netlink netlink;
  std::vector<ListeningSocket> out;
  for (const int family : {AF_INET, AF_INET6}) {
    if (!ask(netlink.get(), family, port) || !take_answer(netlink.get(), family, port, out)) return std::nullopt;
  }
  return out;
}

std::optional<std::vector<ListeningSocket>> by_proc(std::uint16_t port) {
  if (::access(tcp_table, R_OK) != 0) return std::nullopt;
  std::vector<ListeningSocket> out;
  for (const char* table : {tcp_table, tcp6_table}) search_table(table, port, out);
  return out;
}

}  // namespace listening

std::optional<std::vector<ListeningSocket>> listening_on(std::uint16_t port) {
  auto found = listening::by_sock_diag(port);
  return found ? found : listening::by_proc(port);
}

}  // namespace trireme
