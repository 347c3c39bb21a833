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

}  // namespace

ScalingDecision decide_scale(const ScalingLimits& limits, const ServiceLoad& load, ScalingHistory& history,
                             MonoTime now) {
  const std::uint32_t wanted = needed(limits, load);
  const bool is_short = wanted > load.replicas && load.queued > 0 && load.ready > 0;
  const bool is_spare = wanted < load.replicas;
  if (!is_short) history.short_since.reset();
  if (!is_spare) {
    history.spare_since.reset();
    history.most_needed = 0;
  }
  if (is_short) {
    if (!history.short_since) history.short_since = now;
    const MonoTime due = *history.short_since + Duration(defaults::scale_up_after).count();
    if (now < due) return {load.replicas, due};
    history.short_since = now;
    const std::uint32_t doubled = std::max(load.replicas, 1U) * 2;
    return {std::min(wanted, doubled), now + Duration(defaults::scale_up_after).count()};
  }
  if (is_spare) {
    if (!history.spare_since) history.spare_since = now;
    history.most_needed = std::max(history.most_needed, wanted);
    const MonoTime due = *history.spare_since + limits.cooldown.count();
    if (now < due) return {load.replicas, due};
    const std::uint32_t kept = std::min(history.most_needed, load.replicas);
    history.spare_since = now;
    history.most_needed = wanted;
    return {kept, kept > wanted ? std::optional(now + limits.cooldown.count()) : std::nullopt};
  }
  return {load.replicas, std::nullopt};
}

}  // namespace trireme::pilot
