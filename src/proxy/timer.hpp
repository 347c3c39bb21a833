// One timer on the event loop, without Asio in its header.
#pragma once

#include <functional>
#include <memory>

#include "core/units.hpp"

namespace boost::asio {
class io_context;
}

namespace trireme::proxy {

/// Calls its function once per arming, and never after its destruction.
class Timer {
 public:
  Timer(boost::asio::io_context& io, std::function<void()> fire);
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  /// Fires after `delay`, unless it is armed for an earlier time already.
  void arm(Duration delay);
  /// The same, at a time of mono_now().
  void arm_at(MonoTime time);
  void disarm();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace trireme::proxy
