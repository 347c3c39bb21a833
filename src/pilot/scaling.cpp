// How services grow and shrink between `min` and `max`, and how their replicas are started anew one after the other.
#include <algorithm>
#include <numeric>

#include "core/defaults.hpp"
#include "pilot/services.hpp"

namespace trireme::pilot {
namespace {

/// The lower, the sooner a replica in this state is given up when there are too many.
int worth(ReplicaState state) {
  switch (state) {
    case ReplicaState::waiting:
      return 0;
    case ReplicaState::draining:
      return 1;
    case ReplicaState::starting:
      return 2;
    default:
      return 3;
  }
}

}  // namespace

std::vector<ServiceIndex> Services::start_order() const {
  std::vector<ServiceIndex> order;
  for (std::uint32_t i = 0; i < size(); ++i) order.push_back({i});
  std::stable_sort(order.begin(), order.end(), [this](ServiceIndex a, ServiceIndex b) {
    return description(a).priority > description(b).priority;
  });
  return order;
}

/// Whether all that it comes after has been ready.
bool Services::may_start(ServiceIndex index) const {
  const std::vector<std::string>& after = description(index).after;
  return std::all_of(after.begin(), after.end(),
                     [this](const std::string& name) { return services_[by_name_.at(name).value].was_ready; });
}

// --- load ----------------------------------------------------------------------------------------

void Services::on_sample(Rank rank, const ServiceSample& sample) {
  if (sample.service.value >= services_.size() || !description(sample.service).is_scaled()) return;
  Service& service = at(sample.service);
  service.queued[rank] = sample.queued;
  for (const ServiceSample::Load& one : sample.loads) {
    if (one.replica >= service.replicas.size()) continue;
    // A node goes on to tell of a replica that it had once and that has moved.
    Replica& replica = service.replicas[one.replica];
    if (node_of(replica) == rank) replica.active = one.active;
  }
}

/// Replicas that have a seat and will go on to have it.
std::uint32_t Services::seated(ServiceIndex index) const {
  const std::vector<Replica>& replicas = services_[index.value].replicas;
  return static_cast<std::uint32_t>(std::count_if(replicas.begin(), replicas.end(), [](const Replica& replica) {
    return has_seats(replica) && (replica.state != ReplicaState::draining || replica.returning);
  }));
}

ServiceLoad Services::load_of(ServiceIndex index) const {
  const Service& service = services_[index.value];
  ServiceLoad load{.replicas = seated(index)};
  for (const auto& [rank, queued] : service.queued) load.queued += queued;
  for (const Replica& replica : service.replicas) {
    load.active += replica.active;
    if (answers(replica)) ++load.ready;
  }
  return load;
}

// --- growing and shrinking -----------------------------------------------------------------------

void Services::scale(const std::function<bool()>& tasks_fit, MonoTime now) {
  if (frozen_) return;
  for (ServiceIndex index : start_order()) {
    Service& service = at(index);
    const ServiceDescription& d = *service.description;
    if (!d.is_scaled() || !service.started || service.stopped) continue;
    const auto failed = static_cast<std::uint32_t>(
        std::count_if(service.replicas.begin(), service.replicas.end(),
                      [](const Replica& replica) { return replica.state == ReplicaState::failed; }));
    const ScalingLimits limits{.min = d.replicas,
                               .max = std::max(d.replicas, d.replicas_max - std::min(failed, d.replicas_max)),
                               .concurrency = d.concurrency,
                               .cooldown = d.cooldown};
    const ServiceLoad load = load_of(index);
    const ScalingDecision decision = decide_scale(limits, load, service.scaling, now);
    service.scale_at = decision.again;
    const auto outranking = scheduler_.highest_priority();
    const bool may_grow = !outranking || *outranking <= d.priority;
    for (std::uint32_t i = load.replicas; i < decision.replicas && may_grow; ++i) {
      if (!grow(index, tasks_fit)) break;
    }
    for (std::uint32_t i = decision.replicas; i < load.replicas; ++i) shrink(index, Drain::unlimited);
  }
}

/// Gives one more replica a seat; false if there is none that leaves all tasks a place.
bool Services::grow(ServiceIndex index, const std::function<bool()>& tasks_fit) {
  const Resources& per_rank = description(index).per_rank;
  const auto nodes = scheduler_.nodes();
  const bool has_room = std::any_of(nodes.begin(), nodes.end(), [&](const Scheduler::Node& node) {
    return node.alive && node.beside.ranks_that_fit(per_rank) > 0;
  });
  if (!has_room) return false;
  Service& service = at(index);
  auto slot = std::find_if(service.replicas.begin(), service.replicas.end(),
                           [](const Replica& replica) { return replica.state == ReplicaState::ended; });
  const bool is_new = slot == service.replicas.end();
  const auto number = static_cast<std::uint32_t>(slot - service.replicas.begin());
  if (is_new) {
    service.replicas.emplace_back();
    if (number < service.former_lives.size()) service.replicas.back().attempt = service.former_lives[number];
  }
  const ReplicaRef ref{index, number};
  if (!take_seats(ref) || !tasks_fit()) {
    give_up_seats(ref);
    if (is_new) service.replicas.pop_back();
    return false;
  }
  Replica& replica = at(ref);
  replica.state = ReplicaState::waiting;
  replica.restarts = 0;
  if (!is_new) ++replica.attempt;
  ++living_;
  waiting_.push_back(ref);
  return true;
}

/// Ends the replica that is missed least: of those that are ready, one with few requests, for it has drained the sooner.
void Services::shrink(ServiceIndex index, Drain how) {
  const std::vector<Replica>& replicas = at(index).replicas;
  const auto missed = [](const Replica& replica) {
    return std::pair(worth(replica.broken ? ReplicaState::draining : replica.state), replica.active);
  };
  std::optional<std::uint32_t> least;
  for (std::uint32_t i = 0; i < replicas.size(); ++i) {
    const Replica& replica = replicas[i];
    const bool counts = has_seats(replica) && (replica.state != ReplicaState::draining || replica.returning);
    if (counts && (!least || missed(replica) <= missed(replicas[*least]))) least = i;
  }
  if (!least) return;
  const ReplicaRef ref{index, *least};
  Replica& replica = at(ref);
  replica.outdated = replica.returning = false;
  if (replica.state == ReplicaState::waiting) return life_over(ref, ReplicaState::ended, "");
  for (Part& part : replica.parts) scheduler_.leave(part.seat, description(index).per_rank);
  if (replica.state != ReplicaState::draining) return drain(ref, how);
  replica.broken.reset();  // it is ending already, and will not come again
}

bool Services::shrink_to_min() {
  bool any = false;
  for (std::uint32_t s = 0; s < size(); ++s) {
    const ServiceDescription& d = description({s});
    if (!d.is_scaled()) continue;
    for (std::uint32_t left = seated({s}); left > d.replicas; --left, any = true) shrink({s}, Drain::limited);
    for (std::uint32_t i = 0; i < at({s}).replicas.size(); ++i) hurry({{s}, i});
  }
  return any;
}

// --- rolling restart -----------------------------------------------------------------------------

Status Services::restart(ServiceIndex index) {
  Service& service = at(index);
  // Also where all have failed.
  if (service.stopped || frozen_ || std::none_of(service.replicas.begin(), service.replicas.end(), goes_on)) {
    return Error{.what = "it has no replicas that could be started anew",
                 .where = "service " + service.description->name,
                 .hint = "",
                 .code = ExitCode::usage};
  }
  // Those that start now are new enough.
  for (Replica& replica : service.replicas) replica.outdated = answers(replica);
  service.rolling = true;
  roll(index);
  return {};
}

/// Goes on with a rolling restart, once the replica that it took last is ready again.
void Services::roll(ServiceIndex index) {
  Service& service = at(index);
  if (!service.rolling || frozen_ || service.stopped) return;
  const bool is_busy = std::any_of(service.replicas.begin(), service.replicas.end(), [](const Replica& replica) {
    return replica.returning || replica.broken || replica.state == ReplicaState::starting || replica.restart_at;
  });
  if (is_busy) return;
  const auto next = std::find_if(service.replicas.begin(), service.replicas.end(),
                                 [](const Replica& replica) { return replica.outdated && answers(replica); });
  if (next == service.replicas.end()) {
    service.rolling = false;
    return;
  }
  next->outdated = false;
  next->returning = true;
  drain({index, static_cast<std::uint32_t>(next - service.replicas.begin())}, Drain::unlimited);
}

/// A replica did not come back: the others are left as they are.
void Services::end_roll(ServiceIndex index) {
  if (!std::exchange(at(index).rolling, false)) return;
  for (Replica& replica : at(index).replicas) replica.outdated = false;
  output_.record(
      events::Warning{"service " + description(index).name +
                      ": its restart was broken off, since a replica failed; the others go on as they were"});
}

}  // namespace trireme::pilot
