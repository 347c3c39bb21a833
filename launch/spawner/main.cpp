// trireme-spawner: starts, watches and ends the processes of one rank.
//
// A program of its own, so that no process is ever forked from one that speaks MPI: it links neither MPI nor libpmix. One
// thread, one epoll loop over the socketpair to the rank (protocol.hpp), a signalfd, and the rank's pidfd, which tells of its
// death even if a stray copy of its socket survives it. What is due is done before what is asked: a spawner that was
// frozen beyond its lease ends its tasks before it reads on. The rules are in supervisor.hpp.
#include <poll.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <span>
#include <system_error>
#include <utility>

#include "launch/spawner/startup.hpp"
#include "launch/spawner/supervisor.hpp"

namespace trireme::spawner {
namespace {

// After so many requests the loop looks at its children again: a burst must not delay the report of an end.
constexpr int requests_per_turn = 8;
constexpr int last_words_ms = 1000;

class Loop {
 public:
  explicit Loop(const Options& options)
      : rank_(options.socket), supervisor_(rank_), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    sigset_t all;
    sigfillset(&all);
    signals_ = ::signalfd(-1, &all, SFD_NONBLOCK | SFD_CLOEXEC);
    watch(signals_, EPOLLIN);
    watch(rank_.socket(), EPOLLIN);
    rank_process_ = static_cast<int>(::syscall(SYS_pidfd_open, options.rank, 0));
    if (rank_process_ >= 0) watch(rank_process_, EPOLLIN);
    if (rank_process_ < 0 && errno == ESRCH) rank_.close();
  }
  ~Loop() {
    for (const int file : {signals_, rank_process_, epoll_}) {
      if (file >= 0) ::close(file);
    }
  }
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void run() {
    while (!supervisor_.finished()) turn();
    // The last reports, if the rank takes them.
    pollfd writable{rank_.socket(), POLLOUT, 0};
    while (rank_.wants_to_write() && ::poll(&writable, 1, last_words_ms) > 0) rank_.flush();
  }
  /// Whether the rank died before it asked for a shutdown.
  bool rank_was_lost() const { return !watching_rank_; }

 private:
  void turn() {
    if (!rank_.open() && watching_rank_) {
      watching_rank_ = false;
      ::epoll_ctl(epoll_, EPOLL_CTL_DEL, rank_.socket(), nullptr);
      supervisor_.rank_lost(Clock::now());
      if (supervisor_.finished()) return;
    }
    update_interest();
    std::array<epoll_event, 4> events{};
    const int count = ::epoll_wait(epoll_, events.data(), events.size(), patience());
    supervisor_.advance(Clock::now());
    for (const auto& event : std::span(events).first(static_cast<std::size_t>(std::max(count, 0)))) {
      if (event.data.fd == signals_) {
        take_signals();
      } else if (event.data.fd == rank_process_) {
        ::epoll_ctl(epoll_, EPOLL_CTL_DEL, rank_process_, nullptr);
        rank_.close();
      } else if ((event.events & (EPOLLHUP | EPOLLERR)) != 0) {
        rank_.close();
      } else if ((event.events & EPOLLIN) != 0) {
        rank_.receive();
      }
    }
    for (int handled = 0; handled < requests_per_turn; ++handled) {
      auto request = rank_.next();
      if (!request) break;
      supervisor_.handle(std::move(*request), Clock::now());
    }
    rank_.flush();
  }

  // Milliseconds that the loop may sleep, rounded up so that what it wakes for is due.
  int patience() const {
    if (rank_.has_next() || (watching_rank_ && !rank_.open())) return 0;
    const auto next = supervisor_.next_deadline();
    if (next == never) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now()).count();
    return static_cast<int>(std::clamp<std::int64_t>(left, 0, INT_MAX));
  }

  void take_signals() {
    signalfd_siginfo info{};
    while (::read(signals_, &info, sizeof info) == sizeof info) {
      if (info.ssi_signo != SIGCHLD) {
        std::fprintf(stderr, "signal %u from process %u is ignored while the rank lives\n", info.ssi_signo,
                     info.ssi_pid);
      }
    }
    supervisor_.reap(Clock::now());
  }

  void watch(int file, std::uint32_t interest) {
    epoll_event event{};
    event.events = interest;
    event.data.fd = file;
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, file, &event);
  }

  void update_interest() {
    if (!watching_rank_) return;
    const std::uint32_t interest = (rank_.wants_to_read() ? EPOLLIN : 0u) | (rank_.wants_to_write() ? EPOLLOUT : 0u);
    if (interest == interest_) return;
    interest_ = interest;
    epoll_event event{};
    event.events = interest;
    event.data.fd = rank_.socket();
    ::epoll_ctl(epoll_, EPOLL_CTL_MOD, rank_.socket(), &event);
  }

  Channel rank_;
  Supervisor supervisor_;
  int epoll_ = -1;
  int signals_ = -1;
  int rank_process_ = -1;
  std::uint32_t interest_ = EPOLLIN;
  bool watching_rank_ = true;
};

}  // namespace
}  // namespace trireme::spawner

int main(int argc, char** argv) {
  const auto options = trireme::spawner::parse_options(argc, argv);
  if (!options) return 2;
  trireme::spawner::become_spawner(*options);
  trireme::spawner::Loop loop(*options);
  loop.run();
  if (loop.rank_was_lost() && !options->remove.empty()) {
    // Sockets and scratch of tasks that are gone now; the rank can no longer do it.
    std::error_code error;
    std::filesystem::remove_all(options->remove, error);
    if (error) std::fprintf(stderr, "cannot remove %s: %s\n", options->remove.c_str(), error.message().c_str());
  }
  return 0;
}
