// At most so many requests in any minute, exactly: the times of those of the last minute are kept, in order.
//
// Pure: time is an argument. Kept by the owner of a remote endpoint's slots.
#pragma once

#include <cstdint>
#include <deque>

#include "core/units.hpp"

namespace trireme::proxy {

class RateLimit {
 public:
  explicit RateLimit(std::uint32_t per_minute) : per_minute_(per_minute) {}

  std::uint32_t per_minute() const { return per_minute_; }
  /// How many may begin now.
  std::uint32_t room(MonoTime now);
  void take(MonoTime now) { taken_.push_back(now); }
  /// The one taken at that time has not begun after all.
  void give_back(MonoTime taken);
  /// When there is room again, where there is none now.
  MonoTime next() const;

 private:
  std::uint32_t per_minute_;
  std::deque<MonoTime> taken_;
};

}  // namespace trireme::proxy
