#include "node/ports.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <vector>

#include "core/defaults.hpp"
#include "launch/spawner/procfs.hpp"
#include "launch/spawner/protocol.hpp"
#include "node/listening_sockets.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

constexpr std::uint16_t lowest_port = 10000;   // below live the well-known services
constexpr std::uint16_t highest_port = 32767;  // the ephemeral range usually starts above
constexpr int tries = 1000;

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
  const auto sockets = listening_on(port);
  if (!sockets) return Listener::unknown;
  if (sockets->empty()) return Listener::none;

  std::set<std::string> names;
  bool all_strangers = true;  // of another user: nothing of ours
  for (const auto& socket : *sockets) {
    names.insert("socket:[" + std::to_string(socket.inode) + "]");
    if (socket.uid == ::geteuid()) all_strangers = false;
  }
  if (all_strangers && ::geteuid() != 0) return Listener::foreign;

  if (holds_socket(main_process, names) == Holds::yes) return Listener::ours;  // as nearly always
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
