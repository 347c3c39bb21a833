#include "launch/spawner/startup.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <vector>

namespace trireme::spawner {
namespace {

// More than any machine has; the kernel takes the intersection with the cgroup's cpuset.
constexpr std::size_t cpu_mask_bytes = 8192;

bool parse_number(std::string_view text, int& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size() && out > 0;
}

// Past the C library, which would not touch the two signals that it keeps for itself but may have inherited as ignored.
void reset_dispositions() {
  // The kernel's struct sigaction; all zero is the default action.
  constexpr std::array<unsigned char, 64> default_action{};
  constexpr std::size_t mask_bytes = _NSIG / 8;
  for (int signo = 1; signo < _NSIG; ++signo) {
    ::syscall(SYS_rt_sigaction, signo, default_action.data(), nullptr, mask_bytes);
  }
}

void redirect(const char* path, int flags, int target) {
  int file = ::open(path, flags, 0666);
  if (file < 0) file = ::open("/dev/null", flags & O_ACCMODE);
  if (file < 0 || file == target) return;
  ::dup2(file, target);
  ::close(file);
}

void close_all_but(int kept) {
  const auto first = 3u;
  const auto keep = static_cast<unsigned>(kept);
  const bool below = keep <= first || ::close_range(first, keep - 1, 0) == 0;
  if (below && ::close_range(keep + 1, ~0u, 0) == 0) return;
  // Kernels before 5.9 have no close_range.
  const long limit = ::sysconf(_SC_OPEN_MAX);
  for (int file = static_cast<int>(first); file < limit; ++file) {
    if (file != kept) ::close(file);
  }
}

void warn(const char* what) {
  std::fprintf(stderr, "cannot %s: %s\n", what, std::strerror(errno));
}

}  // namespace

std::optional<Options> parse_options(int argc, char** argv) {
  Options options;
  bool ok = argc % 2 == 1;
  for (int at = 1; ok && at + 1 < argc; at += 2) {
    const std::string_view name = argv[at];
    const std::string_view value = argv[at + 1];
    if (name == "--socket") {
      ok = parse_number(value, options.socket);
    } else if (name == "--rank") {
      ok = parse_number(value, options.rank);
    } else if (name == "--log") {
      options.log_file = value;
    } else if (name == "--remove") {
      options.remove = value;
      ok = value.starts_with('/');
    } else {
      ok = false;
    }
  }
  if (ok && options.socket > 2 && options.rank > 0 && !options.log_file.empty()) return options;
  std::fputs(
      "trireme-spawner is started by trireme: trireme-spawner --socket FD --rank PID --log FILE [--remove FOLDER]\n",
      stderr);
  return std::nullopt;
}

void become_spawner(const Options& options) {
  ::setsid();
  reset_dispositions();
  sigset_t all;
  sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);

  redirect("/dev/null", O_RDONLY, 0);
  redirect(options.log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND, 1);
  ::dup2(1, 2);
  close_all_but(options.socket);
  ::fcntl(options.socket, F_SETFD, FD_CLOEXEC);

  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) warn("become a child subreaper");
  std::vector<unsigned char> every_cpu(cpu_mask_bytes, 0xff);
  if (::sched_setaffinity(0, every_cpu.size(), reinterpret_cast<cpu_set_t*>(every_cpu.data())) != 0) {
    warn("take back all cores of the cgroup");
  }
}

}  // namespace trireme::spawner
