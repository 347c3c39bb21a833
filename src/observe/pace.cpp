#include "observe/pace.hpp"

#include <cmath>

#include "core/defaults.hpp"

namespace trireme::observe {

void Pace::on_time(MonoTime now, std::uint64_t total, std::uint64_t over) {
  const MonoTime window = Duration(defaults::progress_window).count();
  ended_.emplace_back(now, over);
  while (ended_.size() > 2 && now - ended_.front().first > window) ended_.pop_front();

  if (!begun_ || over < begun_->second) begun_ = {now, over};
  const auto& [since, before] = *begun_;
  left_.reset();
  if (over == before || over >= total || now - since < window) return;
  const double each = static_cast<double>(now - since) / static_cast<double>(over - before);
  left_ = Duration(std::llround(static_cast<double>(total - over) * each));
}

std::optional<double> Pace::rate() const {
  if (ended_.empty()) return std::nullopt;
  const auto& [since, before] = ended_.front();
  const auto& [now, over] = ended_.back();
  if (now <= since || over <= before) return std::nullopt;
  return static_cast<double>(over - before) * 1e9 / static_cast<double>(now - since);
}

}  // namespace trireme::observe
