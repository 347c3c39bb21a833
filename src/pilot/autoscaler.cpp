#include "pilot/autoscaler.hpp"

#include <algorithm>
#include <utility>

#include "core/defaults.hpp"

namespace trireme::pilot {
namespace {

constexpr std::uint32_t most_patience = 8;  // cool-downs

/// By the load alone, so it may be less than `min`.
std::uint32_t needed(const ScalingLimits& limits, const ServiceLoad& load) {
  const std::uint64_t demand = load.queued + load.active;
  const std::uint64_t replicas = (demand + limits.concurrency - 1) / limits.concurrency;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(replicas, limits.max));
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

/// More than `replicas` are needed. Where it was reduced to them lately, that was too soon.
void regret(ScalingHistory& history, std::uint32_t replicas, Duration cooldown, MonoTime now) {
  const auto reduced = std::exchange(history.reduced, std::nullopt);
  if (!reduced || reduced->replicas != replicas) return;
  if (now - reduced->until >= 2 * history.patience * cooldown.count()) return;
  history.too_few = replicas;
  history.patience = std::min(2 * history.patience, most_patience);
}

ScalingDecision reduce(ScalingHistory& history, std::uint32_t min, std::uint32_t replicas, Duration cooldown,
                       MonoTime now) {
  const auto& needs = history.needs;
  const auto last = needs.end() - 1;
  const auto recent =
      std::find_if(needs.begin(), last, [&](auto& need) { return need.until + cooldown.count() > now; });
  if (recent->replicas < history.too_few) {
    history.too_few = 0;
    history.patience = 1;
  }
  const auto most = history.patience > 1 ? needs.begin() : recent;
  ScalingDecision decision{std::min(std::max(most->replicas, min), replicas), std::nullopt};
  if (recent != last) decision.again = recent->until + cooldown.count();
  if (most != last) {
    const MonoTime over = most->until + history.patience * cooldown.count();
    decision.again = std::min(decision.again.value_or(over), over);
  }
  if (decision.replicas < replicas) history.reduced = {decision.replicas, now};
  return decision;
}

}  // namespace

ScalingDecision decide_scale(const ScalingLimits& limits, const ServiceLoad& load, ScalingHistory& history,
                             MonoTime now) {
  const std::uint32_t need = needed(limits, load);
  const std::uint32_t wanted = std::max(need, limits.min);
  const bool is_short = wanted > load.replicas && load.queued > 0 && load.ready > 0;
  remember(history, need, load.replicas, history.patience * limits.cooldown, now);
  if (!is_short) history.short_since.reset();
  if (is_short) {
    if (!history.short_since) history.short_since = now;
    const MonoTime due = *history.short_since + Duration(defaults::scale_up_after).count();
    if (now < due) return {load.replicas, due};
    history.short_since = now;
    regret(history, load.replicas, limits.cooldown, now);
    const std::uint32_t doubled = std::max(load.replicas, 1U) * 2;
    return {std::min(wanted, doubled), now + Duration(defaults::scale_up_after).count()};
  }
  if (wanted >= load.replicas) return {load.replicas, std::nullopt};
  return reduce(history, limits.min, load.replicas, limits.cooldown, now);
}

}  // namespace trireme::pilot
