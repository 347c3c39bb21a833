#include "fabric/progress.hpp"

#include <sched.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>

#include "fabric/fabric.hpp"

namespace trireme {

namespace {

/// Sleeps inside the io_context.
class Sleeper {
 public:
  explicit Sleeper(boost::asio::io_context& io) : io_(io), timer_(io) {}

  /// Returns after `duration`, or earlier when a handler has run: then true.
  bool sleep(Duration duration) {
    // The reactor's own wait is one system call, but in whole milliseconds; a timer of Asio's is precise and costs three.
    if (duration >= coarse) return io_.run_one_for(std::chrono::floor<std::chrono::milliseconds>(duration)) > 0;
    // Shared, because a stopped io_context keeps the handler for later.
    const auto over = std::make_shared<bool>(false);
    timer_.expires_after(duration);
    timer_.async_wait([over](const boost::system::error_code&) { *over = true; });
    io_.run_one();
    if (*over) return false;
    timer_.cancel();
    while (!*over && io_.run_one() > 0) {
    }
    return true;
  }

 private:
  static constexpr Duration coarse = std::chrono::milliseconds(2);

  boost::asio::io_context& io_;
  boost::asio::steady_timer timer_;
};

}  // namespace

void run_until(boost::asio::io_context& io, const std::function<bool()>& poll, const std::function<bool()>& stop,
               const Backoff::Limits& limits) {
  using Clock = std::chrono::steady_clock;
  const auto work = boost::asio::make_work_guard(io);
  io.restart();  // it stops by itself when it runs out of work
  Sleeper sleeper(io);
  Backoff backoff(limits, Clock::now());
  std::uint32_t looks = 1;
  while (!stop()) {
    bool active = poll();
    for (std::uint32_t i = 1; i < looks && !active; ++i) active = poll();
    looks = 1;
    const auto now = Clock::now();
    if (active) backoff.active(now);
    const Duration pause = backoff.idle(now);
    if (pause > Duration::zero()) {
      if (sleeper.sleep(pause)) backoff.worked(Clock::now());
      looks = defaults::polls_per_wake;
    } else if (io.poll_one() > 0) {
      backoff.worked(now);
    } else if (!active) {
      sched_yield();
      backoff.yielded(now, Clock::now());
    }
  }
}

void run_until(boost::asio::io_context& io, Fabric& fabric, TransportHandler& handler,
               const std::function<bool()>& stop, const Backoff::Limits& limits) {
  run_until(
      io, [&] { return fabric.poll(handler); }, stop, limits);
}

}  // namespace trireme
