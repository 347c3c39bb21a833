#include "proxy/health/retry_budget.hpp"

#include <algorithm>

namespace trireme::proxy {

void RetryBudget::on_request() {
  tokens_ = std::min<double>(tokens_ + defaults::retry_share, defaults::retry_most);
}

bool RetryBudget::take(MonoTime now) {
  if (filled_ != 0 && tokens_ < defaults::retry_floor) {
    const double passed = seconds(Duration(now - filled_));
    tokens_ = std::min<double>(tokens_ + passed * defaults::retry_floor_rate, defaults::retry_floor);
  }
  filled_ = now;
  if (tokens_ < 1) return false;
  tokens_ -= 1;
  return true;
}

}  // namespace trireme::proxy
