// trireme-shim: lets a rank that the site's launcher starts be a process of its agent's.
//
//   agent's spawner --> trireme-shim hold NAME RANK COMMAND…           has the rank's files, folder, environment, cores
//                              ▲ abstract unix socket NAME/RANK
//   srun, mpiexec   --> trireme-shim rank NAME      --> COMMAND…       has what the launcher says to its ranks
//   PMIx runtime    --> trireme-shim rank NAME DVM  --> COMMAND…       the same; the runtime is never told of a bad end
//
// The holder is to the agent what the rank would be: its standard files and working folder are passed on (SCM_RIGHTS), its
// environment and affinity too, signals go to the rank, and it ends as the rank ended. So nothing that differs from node to node
// passes through the launcher. What the rank has used is told to the agent over descriptor 3 before the holder ends. Each side
// ends with the other: a holder without its rank fails, a rank without its holder is killed. Every wait has a deadline.
//
// A runtime that serves all tasks, and perhaps our own ranks, may end everything when one process ends badly or without having
// left PMIx. So with DVM (the program trireme-dvm) the shim always ends well, and has that program leave PMIx in its rank's place.
//
// One thread. It links neither MPI nor PMIx.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "core/defaults.hpp"
#include "launch/spawner/protocol.hpp"
#include "node/spawner/environment.hpp"

namespace trireme::step {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::uint32_t longest_blob = 16u << 20;
constexpr std::array passed_signals{SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGCONT, SIGTSTP};

/// From the rank's side, once when the command runs and once when it has ended.
struct Report {
  std::int32_t pid = 0;     ///< 0: it has ended
  std::int32_t status = 0;  ///< as wait() tells it
  std::uint64_t max_rss = 0;
  std::uint64_t user_ns = 0;
  std::uint64_t system_ns = 0;
};

[[noreturn]] void fail(const std::string& what, int code = 1) {
  std::fprintf(stderr, "trireme: %s\n", what.c_str());
  std::exit(code);
}

/// An abstract address: no file that stays, the same name on every node, known in this node's network namespace alone.
std::pair<sockaddr_un, socklen_t> address_of(const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (name.size() + 1 > sizeof address.sun_path) fail("the name of a step is too long: " + name, 2);
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  return {address, static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size())};
}

bool is_ours(int socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return ::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == ::geteuid();
}

bool readable(int file, Clock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
  pollfd one{file, POLLIN, 0};
  return ::poll(&one, 1, static_cast<int>(std::max<std::int64_t>(left, 0))) > 0;
}

bool write_all(int file, const void* data, std::size_t size) {
  const auto* at = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t sent = ::send(file, at, size, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    at += sent;
    size -= static_cast<std::size_t>(sent);
  }
  return true;
}

bool read_all(int file, void* data, std::size_t size, Clock::time_point deadline) {
  auto* at = static_cast<char*>(data);
  while (size > 0) {
    if (!readable(file, deadline)) return false;
    const ssize_t got = ::recv(file, at, size, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    at += got;
    size -= static_cast<std::size_t>(got);
  }
  return true;
}

constexpr std::size_t passed_files = 4;  // standard files and the working folder

void pass_files(int socket) {
  const int folder = ::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  const std::array<int, passed_files> files{0, 1, 2, folder};
  char mark = 'f';
  iovec data{&mark, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof files)> room{};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = room.data();
  message.msg_controllen = room.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof files);
  std::memcpy(CMSG_DATA(header), files.data(), sizeof files);
  if (folder < 0 || ::sendmsg(socket, &message, MSG_NOSIGNAL) != 1) fail("cannot pass the rank its files");
  ::close(folder);
}

std::optional<std::array<int, passed_files>> take_files(int socket, Clock::time_point deadline) {
  std::array<int, passed_files> files{};
  char mark = 0;
  iovec data{&mark, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof files)> room{};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = room.data();
  message.msg_controllen = room.size();
  if (!readable(socket, deadline) || ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1) return std::nullopt;
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof files)) {
    return std::nullopt;
  }
  std::memcpy(files.data(), CMSG_DATA(header), sizeof files);
  return files;
}

void add(std::string& blob, std::string_view text) {
  const auto size = static_cast<std::uint32_t>(text.size());
  blob.append(reinterpret_cast<const char*>(&size), sizeof size).append(text);
}

std::optional<std::string> take(std::string_view& blob) {
  std::uint32_t size = 0;
  if (blob.size() < sizeof size) return std::nullopt;
  std::memcpy(&size, blob.data(), sizeof size);
  blob.remove_prefix(sizeof size);
  if (blob.size() < size) return std::nullopt;
  std::string text(blob.substr(0, size));
  blob.remove_prefix(size);
  return text;
}

/// Cores, the number of arguments, arguments, environment.
std::string describe(char** command) {
  std::string blob;
  cpu_set_t cores;
  CPU_ZERO(&cores);
  ::sched_getaffinity(0, sizeof cores, &cores);
  add(blob, {reinterpret_cast<const char*>(&cores), sizeof cores});
  std::size_t count = 0;
  while (command[count] != nullptr) ++count;
  add(blob, std::to_string(count));
  for (std::size_t i = 0; i < count; ++i) add(blob, command[i]);
  for (char** entry = environ; *entry != nullptr; ++entry) add(blob, *entry);
  return blob;
}

int block_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signo : passed_signals) sigaddset(&set, signo);
  sigaddset(&set, SIGCHLD);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  return ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

void unblock_signals() {
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// ---- the agent's side

/// A line for the agent at descriptor 3, which may be gone.
void tell_agent(const std::string& line) {
  static_cast<void>(write_all(spawner::connection_descriptor, line.data(), line.size()));
}

[[noreturn]] void end_as(int status) {
  if (!WIFSIGNALED(status)) std::exit(WEXITSTATUS(status));
  const rlimit no_core{0, 0};  // the rank's own is enough
  ::setrlimit(RLIMIT_CORE, &no_core);
  std::signal(WTERMSIG(status), SIG_DFL);
  unblock_signals();
  ::raise(WTERMSIG(status));
  std::exit(128 + WTERMSIG(status));
}

int hold(const std::string& name, char** command) {
  const int signals = block_signals();
  const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto [address, size] = address_of(name);
  if (::bind(listener, reinterpret_cast<const sockaddr*>(&address), size) != 0 || ::listen(listener, 4) != 0) {
    fail("cannot listen for the rank: " + std::string(std::strerror(errno)));
  }
  const auto deadline = Clock::now() + defaults::step_timeout;
  int rank = -1;
  while (rank < 0) {
    std::array<pollfd, 2> watched{pollfd{listener, POLLIN, 0}, pollfd{signals, POLLIN, 0}};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0)
      fail("the launcher has not started this rank within " + std::to_string(defaults::step_timeout.count()) + " s");
    ::poll(watched.data(), watched.size(), static_cast<int>(left));
    signalfd_siginfo info{};
    if (::read(signals, &info, sizeof info) == sizeof info && info.ssi_signo != SIGCHLD && info.ssi_signo != SIGCONT) {
      end_as(static_cast<int>(info.ssi_signo));
    }
    if ((watched[0].revents & POLLIN) == 0) continue;
    rank = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (rank >= 0 && !is_ours(rank)) rank = (::close(rank), -1);
  }
  ::close(listener);
  tell_agent("begun\n");
  pass_files(rank);
  std::string blob = describe(command);
  const auto length = static_cast<std::uint32_t>(blob.size());
  if (!write_all(rank, &length, sizeof length) || !write_all(rank, blob.data(), blob.size())) {
    fail("the launcher ended this rank before it began");
  }
  for (;;) {
    std::array<pollfd, 2> watched{pollfd{rank, POLLIN, 0}, pollfd{signals, POLLIN, 0}};
    ::poll(watched.data(), watched.size(), -1);  // for as long as the rank runs; the agent has the task's time limit
    signalfd_siginfo info{};
    while (::read(signals, &info, sizeof info) == sizeof info) {
      const auto signo = static_cast<std::uint8_t>(info.ssi_signo);
      if (signo != SIGCHLD) static_cast<void>(write_all(rank, &signo, 1));
    }
    if (watched[0].revents == 0) continue;
    Report report;
    if (!read_all(rank, &report, sizeof report, Clock::now() + 10s)) fail("the launcher ended this rank");
    if (report.pid != 0) continue;
    tell_agent("used " + std::to_string(report.max_rss) + " " + std::to_string(report.user_ns) + " " +
               std::to_string(report.system_ns) + "\n");
    // The agent has read it when it closes: what it hears of our end comes another way.
    ::shutdown(spawner::connection_descriptor, SHUT_WR);
    static_cast<void>(readable(spawner::connection_descriptor, Clock::now() + 2s));
    end_as(report.status);
  }
}

// ---- the launcher's side

/// The holder's environment, with what the launcher says to its ranks. Other variables of the launcher's only fill gaps.
std::vector<std::string> merged(std::vector<std::string> environment) {
  const auto name_of = [](std::string_view entry) { return entry.substr(0, entry.find('=')); };
  for (char** at = environ; *at != nullptr; ++at) {
    const std::string_view entry = *at;
    if (entry.starts_with("TRIREME_")) continue;
    std::string* known = nullptr;
    for (std::string& own : environment) {
      if (name_of(own) == name_of(entry)) known = &own;
    }
    if (known == nullptr) {
      environment.emplace_back(entry);
    } else if (is_launcher_variable(name_of(entry))) {
      *known = entry;
    }
  }
  return environment;
}

std::string own_rank() {
  for (const char* name :
       {"PMIX_RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "PALS_RANKID", "SLURM_PROCID", "FLUX_TASK_RANK"}) {
    if (const char* value = std::getenv(name)) return value;
  }
  fail("the launcher does not tell this process its rank", 2);
}

[[noreturn]] void become(const std::array<int, passed_files>& files, std::vector<std::string>& arguments,
                         std::vector<std::string>& environment, const std::string& cores) {
  ::setpgid(0, 0);
  for (int i = 0; i < 3; ++i) ::dup2(files[static_cast<std::size_t>(i)], i);
  if (::fchdir(files[3]) != 0) fail("cannot enter the working folder: " + std::string(std::strerror(errno)), 126);
  cpu_set_t set;
  if (cores.size() == sizeof set) {
    std::memcpy(&set, cores.data(), sizeof set);
    ::sched_setaffinity(0, sizeof set, &set);  // a step that was granted other cores keeps those
  }
  std::vector<char*> argv;
  for (std::string& one : arguments) argv.push_back(one.data());
  argv.push_back(nullptr);
  ::clearenv();
  for (std::string& entry : environment) ::putenv(entry.data());
  unblock_signals();
  ::execvp(argv[0], argv.data());
  const int error = errno;
  fail("cannot run '" + arguments[0] + "': " + (error == ENOENT ? "not found in PATH" : std::strerror(error)),
       error == ENOENT ? 127 : 126);
}

int be_rank(const std::string& name) {
  const auto deadline = Clock::now() + defaults::step_timeout;
  const auto [address, size] = address_of(name + "/" + own_rank());
  int holder = -1;
  for (;;) {
    holder = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::connect(holder, reinterpret_cast<const sockaddr*>(&address), size) == 0) break;
    ::close(holder);
    // The agent prepares the task while the launcher prepares the step: whoever is first waits.
    if (Clock::now() > deadline) fail("no agent on this node knows of rank " + own_rank() + " of this task");
    std::this_thread::sleep_for(5ms);
  }
  if (!is_ours(holder)) fail("the socket of this task is another user's");
  const auto files = take_files(holder, deadline);
  std::uint32_t length = 0;
  if (!files || !read_all(holder, &length, sizeof length, deadline) || length > longest_blob)
    fail("the agent has gone");
  std::string blob(length, '\0');
  if (!read_all(holder, blob.data(), blob.size(), deadline)) fail("the agent has gone");
  std::string_view rest = blob;
  const auto cores = take(rest);
  const auto count = take(rest);
  if (!cores || !count) fail("the agent's words are not understood");
  std::vector<std::string> arguments;
  std::vector<std::string> environment;
  for (auto text = take(rest); text; text = take(rest)) {
    (arguments.size() < std::stoul(*count) ? arguments : environment).push_back(std::move(*text));
  }
  environment = merged(std::move(environment));

  const int signals = block_signals();
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  const pid_t child = ::fork();
  if (child < 0) fail("no process can be made: " + std::string(std::strerror(errno)));
  if (child == 0) become(*files, arguments, environment, *cores);
  ::setpgid(child, child);
  for (const int file : *files) ::close(file);
  Report report{.pid = child};
  static_cast<void>(write_all(holder, &report, sizeof report));
  for (bool held = true;;) {
    std::array<pollfd, 2> watched{pollfd{signals, POLLIN, 0}, pollfd{held ? holder : -1, POLLIN, 0}};
    ::poll(watched.data(), watched.size(), -1);  // for as long as the command runs and the holder lives
    signalfd_siginfo info{};
    while (::read(signals, &info, sizeof info) == sizeof info) {
      if (info.ssi_signo != SIGCHLD) ::kill(-child, static_cast<int>(info.ssi_signo));
    }
    std::uint8_t signo = 0;
    if (watched[1].revents != 0) {
      held = ::recv(holder, &signo, 1, 0) == 1;
      ::kill(-child, held ? signo : SIGKILL);
    }
    int status = 0;
    rusage used{};
    for (pid_t gone; (gone = ::wait4(-1, &status, WNOHANG, &used)) > 0;) {
      if (gone != child) continue;
      ::kill(-child, SIGKILL);
      ::getrusage(RUSAGE_CHILDREN, &used);
      const auto ns = [](const timeval& time) {
        return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 +
               static_cast<std::uint64_t>(time.tv_usec) * 1000;
      };
      report = {0, status, static_cast<std::uint64_t>(used.ru_maxrss) * 1024, ns(used.ru_utime), ns(used.ru_stime)};
      static_cast<void>(write_all(holder, &report, sizeof report));
      return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
  }
}

/// A rank of which the launcher only hears that it ended well. The helper leaves PMIx in its place, within its own deadlines. Not for
/// one that ended well: it has left by itself, and Open MPI 4's mpirun may not answer a second time.
int be_rank_quietly(const std::string& name, const char* helper) {
  const pid_t rank = ::fork();
  if (rank == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    std::_Exit(be_rank(name));
  }
  int status = 0;
  if (rank > 0) ::waitpid(rank, &status, 0);  // be_rank has deadlines, and ends with the rank's holder
  if (status == 0) return 0;
  std::array<char*, 3> arguments{const_cast<char*>(helper), const_cast<char*>("settle"), nullptr};
  pid_t settling = 0;
  if (::posix_spawn(&settling, helper, nullptr, nullptr, arguments.data(), environ) == 0) {
    ::waitpid(settling, &status, 0);
  }
  return 0;
}

}  // namespace
}  // namespace trireme::step

int main(int argc, char** argv) {
  using namespace trireme::step;
  const std::string_view mode = argc > 1 ? argv[1] : "";
  if (mode == "hold" && argc > 4) return hold(std::string(argv[2]) + "/" + argv[3], argv + 4);
  if (mode == "rank" && argc == 3) return be_rank(argv[2]);
  if (mode == "rank" && argc == 4) return be_rank_quietly(argv[2], argv[3]);
  fail("trireme-shim is started by the runtime", 2);
}
