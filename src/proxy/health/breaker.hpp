// The circuit breaker of one replica or remote endpoint: whether it is given requests, by what became of earlier ones.
//
//   closed ──(trouble, so many times in a row; or proof of death)──► open ──(back-off is over)──► half-open
//      ▲                                                              ▲                             │
//      │                                                              └────(trouble or proof)───────┤
//      └────────────────────────────────(alive)─────────────────────────────────────────────────────┘
//
// Half-open lets one request through at a time, the trial. The back-off doubles with each trial that fails, up to
// defaults::breaker_backoff_max, so whoever is ejected always gets another try. One sign of life clears all suspicion: under
// a burst, where some connections fail and others are answered, it never opens. What is heard while it is open comes from
// requests that were sent before, and says nothing new.
//
// Pure: time is an argument. Kept by the owner of the replica's slots (docs/spec/admission.md).
#pragma once

#include <cstdint>

#include "core/units.hpp"

namespace trireme::proxy {

class Breaker {
 public:
  enum class State : std::uint8_t { closed, open, half_open };

  State state() const { return state_; }
  /// A trial is under way, or promised.
  bool trying() const { return trying_; }
  /// When its back-off is over; 0 unless it is open.
  MonoTime opens_until() const { return state_ == State::open ? until_ : 0; }
  /// How often it has opened.
  std::uint32_t times_opened() const { return times_opened_; }

  void on_alive();
  void on_trouble(MonoTime now);
  void on_proof(MonoTime now);
  /// Half-open once its back-off is over.
  void on_time(MonoTime now);

  void begin_trial() { trying_ = state_ == State::half_open; }
  /// The trial has ended without saying anything: its client left, or it was never sent.
  void end_trial() { trying_ = false; }

 private:
  void open(MonoTime now);

  State state_ = State::closed;
  bool trying_ = false;
  std::uint32_t failures_ = 0;  ///< in a row, while it is closed
  std::uint32_t trials_ = 0;    ///< that failed, since it was closed
  std::uint32_t times_opened_ = 0;
  MonoTime until_ = 0;
};

}  // namespace trireme::proxy
