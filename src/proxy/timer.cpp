#include "proxy/timer.hpp"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <utility>

namespace trireme::proxy {

// Shared with the handler that waits in the io_context, which may run after the Timer's end.
struct Timer::State : std::enable_shared_from_this<Timer::State> {
  State(boost::asio::io_context& io, std::function<void()> f) : timer(io), fire(std::move(f)) {}
  boost::asio::steady_timer timer;
  std::function<void()> fire;
  MonoTime due = 0;  ///< 0: not armed
  std::uint64_t arming = 0;
};

Timer::Timer(boost::asio::io_context& io, std::function<void()> fire)
    : state_(std::make_shared<State>(io, std::move(fire))) {}

Timer::~Timer() {
  disarm();
  state_->fire = nullptr;
}

void Timer::arm(Duration delay) {
  arm_at(mono_now() + delay.count());
}

void Timer::arm_at(MonoTime time) {
  if (state_->due != 0 && state_->due <= time) return;
  state_->due = time;
  const std::uint64_t arming = ++state_->arming;
  state_->timer.expires_after(Duration(std::max<MonoTime>(0, time - mono_now())));
  state_->timer.async_wait([state = state_, arming](const boost::system::error_code& error) {
    if (error || state->arming != arming) return;
    state->due = 0;
    if (state->fire) state->fire();
  });
}

void Timer::disarm() {
  state_->due = 0;
  ++state_->arming;
  state_->timer.cancel();
}

}  // namespace trireme::proxy
