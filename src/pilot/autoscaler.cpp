#include "pilot/autoscaler.hpp"

#include <algorithm>

#include "core/defaults.hpp"

namespace trireme::pilot {
namespace {

std::uint32_t needed(const ScalingLimits& limits, const ServiceLoad& load) {
  const std::uint64_t demand = load.queued + load.active;
  const std::uint64_t replicas = (demand + limits.concurrency - 1) / limits.concurrency;
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(replicas, limits.min, limits.max));
}

/// Adds what is needed now, and forgets what is longer ago than the cool-down. `replicas` is what there is: before anything is
/// known, that is what was needed.
void remember(ScalingHistory& history, std::uint32_t wanted, std::uint32_t replicas, Duration cooldown, MonoTime now) {
  std::deque<ScalingHistory::Need>& needs = history.needs;
  if (needs.empty()) needs.push_back({replicas, now});
  needs.back().until = now;  // nothing else was told since
  while (!needs.empty() && needs.back().replicas <= wanted) needs.pop_back();
  needs.push_back({wanted, now});
  while (needs.size() > 1 && needs.front().until + cooldown.count() <= now) needs.pop_front();
}

}  // namespace

ScalingDecision decide_scale(const ScalingLimits& limits, const ServiceLoad& load, ScalingHistory& history,
                             MonoTime now) {
  const std::uint32_t wanted = needed(limits, load);
  const bool is_short = wanted > load.replicas && load.queued > 0 && load.ready > 0;
  remember(history, wanted, load.replicas, limits.cooldown, now);
  if (!is_short) history.short_since.reset();
  if (is_short) {
    if (!history.short_since) history.short_since = now;
    const MonoTime due = *history.short_since + Duration(defaults::scale_up_after).count();
    if (now < due) return {load.replicas, due};
    history.short_since = now;
    const std::uint32_t doubled = std::max(load.replicas, 1U) * 2;
    return {std::min(wanted, doubled), now + Duration(defaults::scale_up_after).count()};
  }
  if (wanted >= load.replicas) return {load.replicas, std::nullopt};
  const ScalingHistory::Need& most = history.needs.front();
  const bool is_past = history.needs.size() > 1;
  return {std::min(most.replicas, load.replicas),
          is_past ? std::optional(most.until + limits.cooldown.count()) : std::nullopt};
}

}  // namespace trireme::pilot
