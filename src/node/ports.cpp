#include "node/ports.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <vector>

#include "core/defaults.hpp"
#include "launch/spawner/procfs.hpp"
#include "launch/spawner/protocol.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

constexpr std::uint16_t lowest_port = 10000;   // below live the well-known services
constexpr std::uint16_t highest_port = 32767;  // the ephemeral range usually starts above
constexpr int tries = 1000;

constexpr const char* tcp_table = "/proc/net/tcp";
constexpr const char* tcp6_table = "/proc/net/tcp6";

bool can_bind(std::uint16_t port) {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return false;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  const bool bound = ::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  ::close(socket);
  return bound;
}

struct ListeningSocket {
  std::uint64_t inode = 0;
  uid_t uid = 0;
};

/// Whether the address of a listening socket, in the hexadecimal of /proc/net/tcp, takes connections to 127.0.0.1.
bool takes_loopback(std::string_view address) {
  constexpr std::array<std::string_view, 5> taking{"00000000", "0100007F", "00000000000000000000000000000000",
                                                   "0000000000000000FFFF00000100007F",
                                                   "0000000000000000FFFF000000000000"};
  for (const auto one : taking) {
    if (address == one) return true;
  }
  return false;
}

std::vector<ListeningSocket> listening_on(std::uint16_t port, const char* table) {
  constexpr std::string_view listen_state = "0A";
  std::vector<ListeningSocket> out;
  std::ifstream file(table);
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    // sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode
    std::istringstream words(line);
    std::string slot, local, remote, state, queues, timer, retransmits, timeout;
    ListeningSocket socket;
    if (!(words >> slot >> local >> remote >> state >> queues >> timer >> retransmits >> socket.uid >> timeout >>
          socket.inode)) {
      continue;
    }
    const std::size_t colon = local.find(':');
    if (state != listen_state || colon == std::string::npos) continue;
    std::uint16_t local_port = 0;
    std::from_chars(local.data() + colon + 1, local.data() + local.size(), local_port, 16);
    if (local_port == port && takes_loopback(std::string_view(local).substr(0, colon))) out.push_back(socket);
  }
  return out;
}

enum class Holds { yes, no, unreadable };

Holds holds_socket(pid_t pid, const std::set<std::string>& names) {
  std::error_code error;
  const fs::path folder = "/proc/" + std::to_string(pid) + "/fd";
  fs::directory_iterator entries(folder, error);
  if (error) return error == std::errc::no_such_file_or_directory ? Holds::no : Holds::unreadable;
  for (; entries != fs::directory_iterator(); entries.increment(error)) {
    const fs::path target = fs::read_symlink(entries->path(), error);
    if (!error && names.contains(target.string())) return Holds::yes;
    if (error) error.clear();
  }
  return Holds::no;
}

}  // namespace

PortPicker::PortPicker() : random_(std::random_device{}()), first_(lowest_port), last_(highest_port) {
  std::ifstream range("/proc/sys/net/ipv4/ip_local_port_range");
  unsigned low = 0;
  // A host whose ephemeral range covers nearly everything leaves no better place than that range.
  constexpr unsigned enough = 1000;
  if (range >> low && low > lowest_port + enough && low <= highest_port) last_ = static_cast<std::uint16_t>(low - 1);
}

Result<std::uint16_t> PortPicker::pick(MonoTime now) {
  std::erase_if(resting_, [&](const auto& entry) { return entry.second <= now; });
  std::uniform_int_distribution<unsigned> any(first_, last_);
  for (int i = 0; i < tries; ++i) {
    const auto port = static_cast<std::uint16_t>(any(random_));
    if (resting_.contains(port) || !can_bind(port)) continue;
    resting_.emplace(port, now + std::chrono::nanoseconds(defaults::port_rest).count());
    return port;
  }
  return Error{"cannot find a free port on loopback", "", "", ExitCode::runtime_failed};
}

Listener listener_on(std::uint16_t port, pid_t main_process) {
  if (::access(tcp_table, R_OK) != 0) return Listener::unknown;
  auto sockets = listening_on(port, tcp_table);
  for (const auto& socket : listening_on(port, tcp6_table)) sockets.push_back(socket);
  if (sockets.empty()) return Listener::none;

  std::set<std::string> names;
  bool all_strangers = true;  // of another user: nothing of ours
  for (const auto& socket : sockets) {
    names.insert("socket:[" + std::to_string(socket.inode) + "]");
    if (socket.uid == ::geteuid()) all_strangers = false;
  }
  if (all_strangers && ::geteuid() != 0) return Listener::foreign;

  const auto descendants = procfs::descendants_of(main_process);
  std::set<pid_t> tree(descendants.begin(), descendants.end());
  tree.insert(main_process);
  std::vector<pid_t> others;
  for (const pid_t pid : procfs::all_processes()) {
    if (::getpgid(pid) == main_process) {
      tree.insert(pid);
    } else {
      others.push_back(pid);
    }
  }
  bool all_readable = true;
  for (const pid_t pid : tree) {
    switch (holds_socket(pid, names)) {
      case Holds::yes:
        return Listener::ours;
      case Holds::unreadable:
        all_readable = false;
        break;
      case Holds::no:
        break;
    }
  }
  if (!all_readable) return Listener::unknown;
  // A daemon that left the group and lost its parents may still be the replica's: who holds it must be seen.
  for (const pid_t pid : others) {
    if (!tree.contains(pid) && holds_socket(pid, names) == Holds::yes) {
      const std::string environment = procfs::environment_of(pid);
      const std::string own = procfs::environment_of(main_process);
      const auto mark = procfs::value_in(environment, spawner::attempt_variable);
      const bool same = mark && mark == procfs::value_in(own, spawner::attempt_variable);
      return same ? Listener::ours : Listener::foreign;
    }
  }
  return Listener::unknown;
}

}  // namespace trireme
