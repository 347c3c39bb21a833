#include "proxy/health/rate_limit.hpp"

#include <algorithm>

namespace trireme::proxy {

namespace {

constexpr MonoTime minute = Duration(std::chrono::minutes(1)).count();

}  // namespace

std::uint32_t RateLimit::room(MonoTime now) {
  while (!taken_.empty() && taken_.front() + minute <= now) taken_.pop_front();
  const auto taken = static_cast<std::uint32_t>(taken_.size());
  return taken < per_minute_ ? per_minute_ - taken : 0;
}

void RateLimit::give_back(MonoTime taken) {
  const auto found = std::lower_bound(taken_.begin(), taken_.end(), taken);
  if (found != taken_.end() && *found == taken) taken_.erase(found);
}

MonoTime RateLimit::next() const {
  return taken_.size() < per_minute_ ? 0 : taken_[taken_.size() - per_minute_] + minute;
}

}  // namespace trireme::proxy
