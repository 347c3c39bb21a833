// Loopback ports for replicas, and who listens on them.
//
// Ports are taken from below the kernel's ephemeral range, so that the source port of somebody's outgoing connection never
// takes one between our choice and the server's bind. A port is free if it can be bound on all addresses; the bind is undone
// at once, and as nothing was accepted on it, it leaves no TIME_WAIT behind. The same port is not handed out again for a
// while. Between the choice and the server's own bind somebody else may still come: that is what listener_on() finds out.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <random>

#include "core/result.hpp"
#include "core/units.hpp"

namespace trireme {

class PortPicker {
 public:
  PortPicker();
  /// A port that nobody listens on and that was not handed out lately.
  Result<std::uint16_t> pick(MonoTime now);

 private:
  std::map<std::uint16_t, MonoTime> resting_;  ///< until when a port is not handed out again
  std::mt19937 random_;
  std::uint16_t first_ = 0;
  std::uint16_t last_ = 0;
};

enum class Listener : std::uint8_t {
  none,     ///< nobody listens there
  ours,     ///< a process of that tree does
  foreign,  ///< somebody else does
  unknown,  ///< /proc does not tell
};

/// Who listens on a port of loopback, as seen from the process tree of a replica: its main process, whose session it leads, and
/// all descendants. A few milliseconds on a busy host.
Listener listener_on(std::uint16_t port, pid_t main_process);

}  // namespace trireme
