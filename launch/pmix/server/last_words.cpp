#include "launch/pmix/server/last_words.hpp"

#include <execinfo.h>
#include <unistd.h>

#include <array>
#include <csignal>

namespace trireme::pmix {
namespace {

constexpr std::array signals = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

/// Only what is safe in a signal handler; SA_RESETHAND has put the default action back, which ends the process.
void on_crash(int signo) {
  constexpr char words[] = "trireme-pmix has crashed; where it was:\n";
  static_cast<void>(!::write(STDERR_FILENO, words, sizeof words - 1));
  std::array<void*, 48> frames{};
  ::backtrace_symbols_fd(frames.data(), ::backtrace(frames.data(), frames.size()), STDERR_FILENO);
  ::raise(signo);
}

}  // namespace

void say_last_words() {
  // The first call loads a library, which a handler must not do.
  std::array<void*, 1> frame{};
  ::backtrace(frame.data(), frame.size());
  struct sigaction action {};
  action.sa_handler = &on_crash;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  for (const int signo : signals) ::sigaction(signo, &action, nullptr);
}

}  // namespace trireme::pmix
