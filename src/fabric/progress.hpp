// Progress of a rank's event loop: one thread for Asio's events (sockets, timers, posts) and for MPI, which has no descriptor
// to wait on.
//
// After activity the loop spins for a moment, yielding; then it sleeps in the io_context, each time for a quarter of the time
// that MPI has been silent, from 20 µs to 3 ms: who waits for an answer sees it a quarter later than it came at most, and who
// has waited for long pays for few wakes. A local event is a reason to spin, because the next is often near, but not to sleep
// shorter: whatever concerns the io_context ends a sleep at once (boost::asio::post from any thread, a socket, a timer). So a
// rank whose requests stay on its node sets no timers between them. How long it spins: core/spin.hpp. Where local events are
// many clients' it does not spin for more: they gather while it sleeps, and one wake serves them all. Nor does it where the proxy
// has nothing to do: tasks come and go by milliseconds, and the core is theirs.
//
// Where all others can ring the rank's doorbell (doorbell.hpp), a message ends the sleep by itself: sleeps are then from 1 to
// 50 ms long, which MPI's own business needs, and an idle rank costs next to nothing.
//
// MPI is looked at after every handler, and twice when a sleep ends, because over TCP one look may only bring half of a
// message. (Two, five and ten looks gave the same cold round trip; each look more costs an idle rank.) A long sleep waits in
// the reactor itself, without a timer: one system call. Use `stop` to end the loop; io_context::stop() would make it spin.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>

#include "core/defaults.hpp"
#include "core/spin.hpp"
#include "core/units.hpp"
#include "fabric/doorbell.hpp"

namespace boost::asio {
class io_context;
}

namespace trireme {

class Fabric;
class TransportHandler;

/// How long to sleep when nothing happened. Pure.
class Backoff {
 public:
  using Time = std::chrono::steady_clock::time_point;
  struct Limits {
    Spin::Limits spin{};
    Duration sleep_min = defaults::sleep_min;
    Duration sleep_max = defaults::sleep_max;
    Duration sleep_min_rung = defaults::sleep_min_rung;
    Duration sleep_max_rung = defaults::sleep_max_rung;
    std::uint32_t sleep_part = defaults::sleep_part;
  };
  Backoff(const Limits& limits, Time now) : limits_(limits), spin_(limits.spin), active_at_(now), worked_at_(now) {
    spin_.active(now);
  }

  /// MPI brought or took something: an answer may follow.
  void active(Time now) {
    active_at_ = now;
    worked(now);
  }
  /// A local event ran: another may follow at once. It ends sleeps by itself, so they do not begin anew for it.
  void worked(Time now) {
    worked_at_ = now;
    spin_.active(now);
  }
  /// The same in a crowd: a sleep, in which more gather, is cheaper than looking, unless MPI is waited for too.
  void worked_in_crowd(Time now) {
    worked_at_ = now;
    if (now - active_at_ >= limits_.spin.least) spin_.rest();
  }
  /// A local event has ended a sleep, and is about to be counted as such.
  void woken(Time now) { spin_.woken(now - worked_at_); }
  /// A yield took from `before` to `now`.
  void yielded(Time before, Time now) { spin_.yielded(before, now); }
  /// Nothing happened: zero means to yield and look again, else to sleep that long. `rung`: a message ends the sleep.
  Duration idle(Time now, bool rung = false, bool may_spin = true) const {
    if (may_spin && spin_.looks(now)) return Duration::zero();
    return std::clamp(Duration(now - active_at_) / limits_.sleep_part,
                      rung ? limits_.sleep_min_rung : limits_.sleep_min,
                      rung ? limits_.sleep_max_rung : limits_.sleep_max);
  }

 private:
  Limits limits_;
  Spin spin_;
  Time active_at_;  ///< when MPI last did something
  Time worked_at_;  ///< when anything last happened
};

/// How a sleep is ended by those who send: `will_be_rung` says whether all of them ring now.
struct Wakeable {
  fabric::Doorbell* doorbell = nullptr;
  std::function<bool()> will_be_rung;
};

/// Local events that can be had without the io_context, which costs more. While there are any the loop looks for these first,
/// and at the io_context now and then.
struct Shortcut {
  std::function<bool()> look;  ///< Takes those that there are. False: there are none.
  /// Before each sleep: what comes from now on ends it. False: something has come.
  std::function<bool()> lie_down;
  std::function<bool()> crowded;  ///< They are many clients', who gain more by throughput than by a microsecond.
  std::function<bool(Backoff::Time now)> awaited;  ///< Somebody counts microseconds: else the loop never spins.
};

/// Runs handlers of `io` and calls `poll` until `stop` says so; both are looked at after every
/// wake. `poll` returns whether anything happened.
void run_until(boost::asio::io_context& io, const std::function<bool()>& poll, const std::function<bool()>& stop,
               const Backoff::Limits& limits = {}, const Wakeable& wakeable = {}, const Shortcut& shortcut = {});

/// The same with the fabric's poll.
void run_until(boost::asio::io_context& io, Fabric& fabric, TransportHandler& handler,
               const std::function<bool()>& stop, const Backoff::Limits& limits = {}, const Shortcut& shortcut = {});

}  // namespace trireme
