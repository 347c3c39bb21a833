#include "fabric/progress.hpp"

#include <sched.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <utility>

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
  static constexpr Duration coarse = std::chrono::milliseconds(1);

  boost::asio::io_context& io_;
  boost::asio::steady_timer timer_;
};

/// Waits for the doorbell's descriptor inside the io_context, always.
class Listener {
 public:
  Listener(boost::asio::io_context& io, fabric::Doorbell* doorbell) : state_(std::make_shared<State>(io, doorbell)) {
    if (doorbell == nullptr) return;
    state_->pipe.assign(doorbell->descriptor());
    listen(state_);
  }
  ~Listener() {
    if (state_->pipe.is_open()) state_->pipe.release();  // what still waits for it ends, and sees that nobody listens
    state_->doorbell = nullptr;
  }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  /// Somebody has rung since the last call.
  bool rung() { return std::exchange(state_->rung, false); }

 private:
  struct State {
    State(boost::asio::io_context& io, fabric::Doorbell* bell) : pipe(io), doorbell(bell) {}
    boost::asio::posix::stream_descriptor pipe;
    fabric::Doorbell* doorbell;
    bool rung = false;
  };
  static void listen(const std::shared_ptr<State>& state) {
    state->pipe.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                           [state](const boost::system::error_code& error) {
                             if (error || state->doorbell == nullptr) return;
                             state->rung |= state->doorbell->answer();
                             listen(state);
                           });
  }
  std::shared_ptr<State> state_;
};

}  // namespace

void run_until(boost::asio::io_context& io, const std::function<bool()>& poll, const std::function<bool()>& stop,
               const Backoff::Limits& limits, const Wakeable& wakeable, const Shortcut& shortcut) {
  using Clock = std::chrono::steady_clock;
  const auto work = boost::asio::make_work_guard(io);
  io.restart();  // it stops by itself when it runs out of work
  Sleeper sleeper(io);
  Listener listener(io, wakeable.doorbell);
  Backoff backoff(limits, Clock::now());
  const auto worked = [&](Clock::time_point now) {
    if (shortcut.crowded && shortcut.crowded()) {
      backoff.worked_in_crowd(now);
    } else {
      backoff.worked(now);
    }
  };
  std::uint32_t looks = 1;
  std::uint32_t past_io = 0;
  Clock::time_point looked_until{};  // local events came without the io_context a moment ago
  while (!stop()) {
    bool active = poll();
    for (std::uint32_t i = 1; i < looks && !active; ++i) active = poll();
    looks = 1;
    const auto now = Clock::now();
    if (active && stop()) break;  // at once: a sleep would not end for what is over
    if (active || listener.rung()) backoff.active(now);
    // Past the io_context as long as that finds something, and a moment longer, but for its turn now and then.
    if (past_io == defaults::looks_past_io) {
      past_io = 0;
      if (io.poll_one() > 0) worked(now);
      continue;
    }
    if (shortcut.look && shortcut.look()) {
      looked_until = now + limits.spin.least;
      ++past_io;
      worked(now);
      continue;
    }
    const bool rung = wakeable.doorbell != nullptr && wakeable.will_be_rung();
    const bool may_spin = !shortcut.awaited || shortcut.awaited(now);
    const Duration pause = backoff.idle(now, rung, may_spin);
    if (pause > Duration::zero()) {
      if (shortcut.lie_down && !shortcut.lie_down()) continue;
      if (rung) {
        wakeable.doorbell->lie_down();
        if (poll()) {
          wakeable.doorbell->get_up();
          backoff.active(now);
          continue;
        }
      }
      if (sleeper.sleep(pause)) {
        const auto woken = Clock::now();
        backoff.woken(woken);
        worked(woken);
      }
      if (rung) wakeable.doorbell->get_up();
      looks = defaults::polls_per_wake;
      past_io = 0;
      continue;
    }
    const bool ahead = now < looked_until;
    past_io = ahead ? past_io + 1 : 0;
    if (!ahead && io.poll_one() > 0) {
      worked(now);
    } else if (!active) {
      sched_yield();
      backoff.yielded(now, Clock::now());
    }
  }
}

void run_until(boost::asio::io_context& io, Fabric& fabric, TransportHandler& handler,
               const std::function<bool()>& stop, const Backoff::Limits& limits, const Shortcut& shortcut) {
  run_until(
      io, [&] { return fabric.poll(handler); }, stop, limits,
      {.doorbell = fabric.doorbell(), .will_be_rung = [&] { return fabric.will_be_rung(); }}, shortcut);
}

}  // namespace trireme
