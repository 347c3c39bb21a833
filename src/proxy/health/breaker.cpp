#include "proxy/health/breaker.hpp"

#include <algorithm>

#include "core/defaults.hpp"

namespace trireme::proxy {

namespace {

Duration backoff(std::uint32_t failed_trials) {
  Duration wait = defaults::breaker_backoff;
  for (std::uint32_t i = 0; i < failed_trials && wait < defaults::breaker_backoff_max; ++i) wait *= 2;
  return std::min<Duration>(wait, defaults::breaker_backoff_max);
}

}  // namespace

void Breaker::on_alive() {
  failures_ = 0;
  if (state_ != State::half_open) return;
  state_ = State::closed;
  trying_ = false;
  trials_ = 0;
}

void Breaker::on_trouble(MonoTime now) {
  if (state_ == State::open) return;
  if (state_ == State::half_open) {
    ++trials_;
    return open(now);
  }
  if (++failures_ >= defaults::breaker_failures) open(now);
}

void Breaker::on_proof(MonoTime now) {
  if (state_ == State::open) return;
  if (state_ == State::half_open) ++trials_;
  open(now);
}

void Breaker::on_time(MonoTime now) {
  if (state_ == State::open && now >= until_) state_ = State::half_open;
}

void Breaker::open(MonoTime now) {
  state_ = State::open;
  trying_ = false;
  failures_ = 0;
  ++times_opened_;
  until_ = now + backoff(trials_).count();
}

}  // namespace trireme::proxy
