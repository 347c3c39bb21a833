#include "pilot/services.hpp"

#include <algorithm>
#include <span>
#include <unordered_set>

#include "core/defaults.hpp"

namespace trireme::pilot {
namespace {

Error service_error(std::string what, const std::string& service) {
  return {.what = std::move(what), .where = "service " + service, .hint = "", .code = ExitCode::usage};
}

/// How long a replica waits before it is started again, after so many restarts.
Duration backoff(const ServiceDescription& service, std::uint32_t restarts) {
  const Duration longest = std::max<Duration>(service.restart_backoff, defaults::restart_backoff_max);
  Duration wait = service.restart_backoff;
  for (std::uint32_t i = 0; i < restarts && wait < longest; ++i) wait *= 2;
  return std::min(wait, longest);
}

/// Empty where it listens nowhere that is known.
std::string address(const ReplicaEndpoint& endpoint) {
  if (endpoint.socket.empty() && endpoint.port == 0) return "";
  return endpoint.socket.empty() ? "127.0.0.1:" + std::to_string(endpoint.port) : endpoint.socket;
}

std::string why_ended(const AttemptEnd& end) {
  if (!end.reason.empty()) return end.reason;
  if (end.signal != 0) return "signal " + std::to_string(end.signal);
  return "it ended with exit code " + std::to_string(end.exit_code);
}

/// A service that would wait for itself by way of others; null if there is none.
const ServiceDescription* circular(const std::vector<ServiceDescription>& services) {
  std::vector<const ServiceDescription*> open;
  for (const ServiceDescription& service : services) open.push_back(&service);
  const auto is_open = [&](const std::string& name) {
    return std::any_of(open.begin(), open.end(), [&](const auto* service) { return service->name == name; });
  };
  while (std::erase_if(open, [&](const auto* service) {
           return std::none_of(service->after.begin(), service->after.end(), is_open);
         }) > 0) {
  }
  return open.empty() ? nullptr : open.front();
}

ServiceNeed need_of(const ServiceDescription& service) {
  return {service.name, service.per_replica, service.has_replicas() ? service.replicas : 0};
}

/// Those that clients ask for by name.
std::span<const Model> models_of(const ServiceDescription& service) {
  if (service.api != ServiceApi::openai && service.api != ServiceApi::ollama) return {};
  return service.models;
}

bool is_live(ReplicaState state) {
  return state == ReplicaState::starting || state == ReplicaState::ready || state == ReplicaState::draining;
}

}  // namespace

// --- declaration and seats -----------------------------------------------------------------------

Status Services::declare(std::vector<ServiceDescription> services) {
  std::unordered_set<std::string_view> names;
  std::unordered_map<std::string_view, std::string_view> models;  // to the service that has them
  for (std::uint32_t s = 0; s < size(); ++s) {
    if (is_dead({s})) continue;
    for (const Model& model : models_of(description({s}))) models.emplace(model.name, description({s}).name);
  }
  for (const ServiceDescription& service : services) {
    if (by_name_.contains(service.name) || !names.insert(service.name).second) {
      return service_error("there is already a service with this name", service.name);
    }
    const bool has_any = service.has_replicas() && service.replicas > 0;
    if (!has_any && service.remote.empty()) {
      return service_error("it has neither a command with replicas nor remote endpoints", service.name);
    }
    for (const Model& model : models_of(service)) {
      const auto [owner, is_new] = models.emplace(model.name, service.name);
      if (!is_new) {
        return service_error("the model " + model.name + " is in service " + std::string(owner->second) + " already",
                             service.name);
      }
    }
  }
  for (const ServiceDescription& service : services) {
    for (const std::string& used : service.uses) {
      if (!names.contains(used) && !by_name_.contains(used)) {
        return service_error("it uses service " + used + ", but there is no such service", service.name);
      }
    }
    for (const std::string& first : service.after) {
      if (first == service.name || (!names.contains(first) && !by_name_.contains(first))) {
        return service_error("it starts after service " + first + ", but there is no such other service", service.name);
      }
      const auto known = by_name_.find(first);
      if (known != by_name_.end() && is_dead(known->second) && !at(known->second).was_ready) {
        return service_error("it starts after service " + first + ", which never got ready and never will",
                             service.name);
      }
    }
  }
  if (const ServiceDescription* service = circular(services)) {
    return service_error("it starts after services that start after it", service->name);
  }
  for (ServiceDescription& service : services) {
    by_name_.emplace(service.name, ServiceIndex{size()});
    services_.push_back({.description = std::make_unique<const ServiceDescription>(std::move(service)),
                         .former_lives = {},
                         .replicas = {}});
  }
  return {};
}

void Services::continue_lives(std::string_view name, std::vector<std::uint32_t> made) {
  if (const auto found = by_name_.find(std::string(name)); found != by_name_.end()) {
    at(found->second).former_lives = std::move(made);
  }
}

void Services::withdraw_last() {
  Service& service = services_.back();
  for (Replica& replica : service.replicas) {
    scheduler_.vacate(*replica.seat, service.description->per_replica);
    --living_;
  }
  by_name_.erase(service.description->name);
  services_.pop_back();
}

std::vector<ServiceNeed> Services::needs() const {
  std::vector<ServiceNeed> needs;
  for (const Service& service : services_) needs.push_back(need_of(*service.description));
  return needs;
}

Status Services::take_all_seats() {
  const std::vector<ServiceNeed> all = needs();
  for (std::size_t index : seat_order(all)) {
    if (Status status = take_seats({static_cast<std::uint32_t>(index)}); !status) return status;
  }
  return {};
}

Status Services::take_seats(ServiceIndex index) {
  const ServiceNeed need = need_of(description(index));
  std::vector<Replica>& replicas = at(index).replicas;
  const std::vector<std::uint32_t>& former = at(index).former_lives;
  while (replicas.size() < need.replicas) {
    const std::size_t number = replicas.size();
    replicas.emplace_back();
    if (number < former.size()) replicas.back().attempt = former[number];
    ++living_;
    if (take_seat({index, static_cast<std::uint32_t>(replicas.size() - 1)})) continue;
    replicas.pop_back();
    --living_;
    return service_does_not_fit(need, static_cast<std::uint32_t>(replicas.size()), scheduler_);
  }
  return {};
}

bool Services::take_seat(ReplicaRef ref) {
  std::vector<Rank> siblings;
  for (const Replica& other : at(ref.first).replicas) {
    if (other.seat) siblings.push_back(other.seat->rank);
  }
  at(ref).seat = scheduler_.assign(description(ref.first).per_replica, siblings);
  return at(ref).seat.has_value();
}

// --- lives ---------------------------------------------------------------------------------------

void Services::start(ServiceIndex index, MonoTime now) {
  Service& service = at(index);
  service.home = home_of(index);
  service.started = true;
  output_.publish(endpoint_of(index));
  for (std::uint32_t i = 0; i < service.replicas.size(); ++i) waiting_.emplace_back(index, i);
  if (!service.description->remote.empty()) {
    service.ready = service.was_ready = true;
    changes_.push_back({index, Change::Kind::ready, ""});
  }
  start_waiting(now);
}

void Services::start_waiting(MonoTime now) {
  if (frozen_) return;
  for (std::uint32_t s = 0; s < size(); ++s) roll({s});
  std::erase_if(waiting_, [&](ReplicaRef ref) {
    Seat& seat = *at(ref).seat;
    if (!scheduler_.alive(seat.rank)) return false;  // it moves, once its node is given up
    if (!seat.occupied && !scheduler_.occupy(seat, description(ref.first).per_replica)) return false;
    if (!may_start(ref.first)) return false;
    launch(ref, now);
    return true;
  });
}

void Services::launch(ReplicaRef ref, MonoTime now) {
  Replica& replica = at(ref);
  const ReplicaId id{ref.first, ref.second, replica.attempt};
  replica.endpoint = {.id = id, .rank = replica.seat->rank, .state = ReplicaState::starting, .socket = "", .key = ""};
  replica.asked = now;
  replica.spawned = 0;
  replica.active = 0;
  note(ref, ReplicaState::starting, "");
  output_.send(replica.seat->rank, StartReplica{.id = id, .service = description(ref.first)});
}

/// A replica's new state, for the log.
void Services::note(ReplicaRef ref, ReplicaState state, const std::string& reason) {
  Replica& replica = at(ref);
  replica.state = state;
  replica.endpoint.state = state;
  output_.record(events::ReplicaChanged{.replica = {ref.first, ref.second, replica.attempt},
                                        .state = state,
                                        .rank = replica.seat ? replica.seat->rank : -1,
                                        .endpoint = "",
                                        .reason = reason});
}

/// The replica that is in this life on this node; none for what is long over.
std::optional<Services::ReplicaRef> Services::live_replica(Rank rank, ReplicaId id) const {
  if (id.service.value >= services_.size()) return std::nullopt;
  const Service& service = services_[id.service.value];
  if (id.replica >= service.replicas.size()) return std::nullopt;
  const Replica& replica = service.replicas[id.replica];
  const bool here = replica.seat && replica.seat->rank == rank && replica.attempt == id.attempt;
  if (!here || !is_live(replica.state)) return std::nullopt;
  return ReplicaRef{id.service, id.replica};
}

void Services::on_started(Rank rank, const ReplicaStarted& started, MonoTime now) {
  const auto ref = live_replica(rank, started.id);
  if (!ref || at(*ref).state != ReplicaState::starting) return;
  Replica& replica = at(*ref);
  replica.spawned = started.time;
  output_.record(events::ReplicaChanged{.replica = started.id,
                                        .state = ReplicaState::starting,
                                        .rank = rank,
                                        .pid = started.pid,
                                        .endpoint = "",
                                        .reason = "",
                                        .took = Duration(now - replica.asked)});
}

void Services::on_ready(Rank rank, const ReplicaReady& ready, MonoTime now) {
  const auto ref = live_replica(rank, ready.endpoint.id);
  if (!ref || at(*ref).state != ReplicaState::starting) return;
  Replica& replica = at(*ref);
  replica.state = ReplicaState::ready;
  replica.ready_since = now;
  replica.endpoint = ready.endpoint;
  replica.endpoint.rank = rank;
  replica.endpoint.state = ReplicaState::ready;
  const WallTime took = replica.spawned == 0 ? 0 : std::max<WallTime>(ready.time - replica.spawned, 0);
  output_.record(events::ReplicaChanged{.replica = ready.endpoint.id,
                                        .state = ReplicaState::ready,
                                        .rank = rank,
                                        .endpoint = address(ready.endpoint),
                                        .reason = "",
                                        .took = Duration(took)});
  Service& service = at(ref->first);
  service.was_ready = true;
  if (const Duration uptime = service.description->uptime; uptime > Duration::zero() && !service.expires) {
    service.expires = now + uptime.count();
  }
  changed(ref->first);
}

void Services::on_ended(Rank rank, const ReplicaEnded& ended, MonoTime now) {
  const auto ref = live_replica(rank, ended.id);
  if (!ref) return;
  Replica& replica = at(*ref);
  const ServiceDescription& service = description(ref->first);
  const std::string by_itself = ended.end.outcome == Outcome::cancelled ? "" : why_ended(ended.end);
  if (!frozen_ && std::exchange(replica.returning, false)) {
    note(*ref, ReplicaState::ended, by_itself);
    ++replica.attempt;
    replica.restarts = 0;
    launch(*ref, now);
    return changed(ref->first);
  }
  if (frozen_ || replica.state == ReplicaState::draining) {
    return life_over(*ref, ReplicaState::ended, by_itself);
  }
  const Duration pause = std::max<Duration>(backoff(service, replica.restarts), defaults::restart_backoff);
  const bool was_stable =
      replica.state == ReplicaState::ready && Duration(now - replica.ready_since) >= defaults::stable_backoffs * pause;
  if (was_stable) replica.restarts = 0;
  if (replica.restarts >= service.restart_max) return fail(*ref, why_ended(ended.end));

  note(*ref, ReplicaState::ended, why_ended(ended.end));
  replica.state = ReplicaState::waiting;
  const Duration wait = backoff(service, replica.restarts);
  replica.restart_at = now + wait.count();
  ++replica.restarts;
  if (!std::exchange(at(ref->first).restart_told, true)) {
    output_.record(events::Warning{"service " + service.name + ": replica " + std::to_string(ref->second) +
                                   " is started again in " + format_duration(wait) + " (restart " +
                                   std::to_string(replica.restarts) + " of " + std::to_string(service.restart_max) +
                                   "): " + why_ended(ended.end)});
  }
  ++replica.attempt;
  restarts_.insert({*replica.restart_at, *ref});
  changed(ref->first);
}

void Services::on_time(MonoTime now) {
  while (!frozen_ && !restarts_.empty() && restarts_.begin()->first <= now) {
    const ReplicaRef ref = restarts_.extract(restarts_.begin()).value().second;
    at(ref).restart_at.reset();
    if (scheduler_.alive(at(ref).seat->rank)) {
      launch(ref, now);
    } else {
      waiting_.push_back(ref);
    }
  }
  for (std::uint32_t s = 0; s < size() && !frozen_; ++s) {
    const std::optional<MonoTime> expires = services_[s].expires;
    if (expires && *expires <= now) {
      stop({s}, "its uptime of " + format_duration(services_[s].description->uptime) + " is over");
    }
  }
}

std::optional<MonoTime> Services::next_deadline() const {
  if (frozen_) return std::nullopt;
  std::optional<MonoTime> next;
  const auto sooner = [&next](std::optional<MonoTime> other) {
    if (other) next = std::min(next.value_or(*other), *other);
  };
  if (!restarts_.empty()) sooner(restarts_.begin()->first);
  for (const Service& service : services_) {
    if (service.stopped) continue;
    sooner(service.expires);
    sooner(service.scale_at);
  }
  return next;
}

/// A replica that waits is not started after all.
void Services::forget_plans(ReplicaRef ref) {
  std::erase(waiting_, ref);
  if (const auto at_time = std::exchange(at(ref).restart_at, std::nullopt)) {
    restarts_.erase({*at_time, ref});
  }
}

void Services::life_over(ReplicaRef ref, ReplicaState state, const std::string& reason) {
  forget_plans(ref);
  note(ref, state, reason);
  Replica& replica = at(ref);
  if (replica.seat) scheduler_.vacate(*replica.seat, description(ref.first).per_replica);
  replica.seat.reset();
  replica.outdated = replica.returning = false;
  replica.active = 0;
  --living_;
  changed(ref.first);
}

/// A replica is given up.
void Services::fail(ReplicaRef ref, const std::string& reason) {
  life_over(ref, ReplicaState::failed, reason);
  end_roll(ref.first);
  const Service& service = at(ref.first);
  const std::string who = "service " + service.description->name;
  const auto left = std::count_if(service.replicas.begin(), service.replicas.end(), goes_on);
  if (left > 0 || !service.description->remote.empty()) {
    output_.record(
        events::Warning{who + ": replica " + std::to_string(ref.second) + " failed and is not started again (" +
                        (left > 0 ? std::to_string(left) + " of " + std::to_string(service.replicas.size()) + " go on"
                                  : std::string("its remote endpoints go on")) +
                        "): " + reason});
    return;
  }
  if (first_failure_.empty()) first_failure_ = who + " failed: " + reason;
  changes_.push_back({ref.first, Change::Kind::over, "failed: " + reason});
  if (!service.was_ready) fail_followers(ref.first);
}

/// Services that were to start after one that will never be ready fail with it.
void Services::fail_followers(ServiceIndex index) {
  const std::string& name = description(index).name;
  for (std::uint32_t s = 0; s < size(); ++s) {
    const std::vector<std::string>& after = services_[s].description->after;
    if (std::find(after.begin(), after.end(), name) == after.end()) continue;
    for (std::uint32_t i = 0; i < services_[s].replicas.size(); ++i) {
      const bool never_began = services_[s].replicas[i].state == ReplicaState::waiting;
      if (never_began) fail({ServiceIndex{s}, i}, "it was to start after service " + name + ", which never got ready");
    }
  }
}

void Services::on_node_lost(Rank rank, const std::string& reason) {
  const std::string text = "node " + std::to_string(rank) + " was lost: " + reason;
  std::vector<std::pair<ReplicaRef, bool>> homeless;  // and whether it lived
  for (std::uint32_t s = 0; s < size(); ++s) {
    Service& service = services_[s];
    if (service.started && service.home == rank) {
      service.home = home_of({s});
      changed({s});
    }
    service.queued.erase(rank);
    for (std::uint32_t i = 0; i < service.replicas.size(); ++i) {
      Replica& replica = service.replicas[i];
      if (!replica.seat || replica.seat->rank != rank) continue;
      const ReplicaRef ref{ServiceIndex{s}, i};
      const bool was_live = is_live(replica.state);
      if (frozen_ || (replica.state == ReplicaState::draining && !replica.returning)) {
        life_over(ref, ReplicaState::ended, text);
        continue;
      }
      replica.outdated = replica.returning = false;
      forget_plans(ref);
      if (was_live) note(ref, ReplicaState::ended, text);
      replica.state = ReplicaState::waiting;
      replica.seat.reset();
      homeless.emplace_back(ref, was_live);
    }
  }
  for (const auto& [ref, was_live] : homeless) {
    if (at(ref).state == ReplicaState::waiting) resettle(ref, was_live, text);
  }
}

/// Gives a replica that lost its node another place, or gives it up.
void Services::resettle(ReplicaRef ref, bool was_live, const std::string& why) {
  bool has_seat = take_seat(ref);
  if (!has_seat && seated(ref.first) >= description(ref.first).replicas)
    return life_over(ref, ReplicaState::ended, why);
  // What only the load had asked for, of whichever service, gives way to the first replicas.
  if (!has_seat) has_seat = shrink_to_min() && take_seat(ref);
  if (!has_seat) return fail(ref, why + "; no other node has room for it");
  if (was_live) ++at(ref).attempt;
  waiting_.push_back(ref);
  changed(ref.first);
}

void Services::stop() {
  frozen_ = true;
  for (std::uint32_t s = 0; s < size(); ++s) stop_replicas({s});
}

void Services::stop(ServiceIndex index, const std::string& reason) {
  if (std::exchange(at(index).stopped, true)) return;
  at(index).expires.reset();
  stop_replicas(index);
  changed(index);
  changes_.push_back({index, Change::Kind::over, "is over: " + reason});
  if (!at(index).was_ready) fail_followers(index);
}

bool Services::keeps_up(bool any) const {
  return std::any_of(services_.begin(), services_.end(), [any](const Service& service) {
    if (service.stopped) return false;
    const bool lives = !std::all_of(service.replicas.begin(), service.replicas.end(), is_over);
    // An uptime is that of replicas: remote endpoints have none that could end.
    if (!any) return lives && service.description->uptime > Duration::zero();
    return lives || !service.description->remote.empty();
  });
}

void Services::stop_replicas(ServiceIndex index) {
  for (std::uint32_t i = 0; i < at(index).replicas.size(); ++i) {
    const ReplicaRef ref{index, i};
    Replica& replica = at(ref);
    if (replica.state == ReplicaState::waiting) {
      life_over(ref, ReplicaState::ended, "");
    } else if (replica.state == ReplicaState::starting || replica.state == ReplicaState::ready) {
      drain(ref);
    } else {
      replica.returning = false;
    }
  }
}

void Services::drain(ReplicaRef ref) {
  const Replica& replica = at(ref);
  note(ref, ReplicaState::draining, "");
  output_.send(replica.seat->rank, StopReplica{{ref.first, ref.second, replica.attempt}});
  changed(ref.first);
}

std::optional<ServiceIndex> Services::find(std::string_view name) const {
  const auto found = by_name_.find(std::string(name));
  return found == by_name_.end() ? std::nullopt : std::optional(found->second);
}

void Services::abandon(std::optional<Rank> rank, const std::string& reason) {
  frozen_ = true;
  for (std::uint32_t s = 0; s < size(); ++s) {
    for (std::uint32_t i = 0; i < services_[s].replicas.size(); ++i) {
      const Replica& replica = services_[s].replicas[i];
      if (replica.seat && (!rank || replica.seat->rank == *rank)) {
        life_over({ServiceIndex{s}, i}, ReplicaState::ended, reason);
      }
    }
  }
}

Duration Services::longest_drain() const {
  Duration longest{0};
  for (const Service& service : services_) {
    if (!service.replicas.empty()) longest = std::max(longest, service.description->drain);
  }
  return longest;
}

// --- what others know ----------------------------------------------------------------------------

Rank Services::home_of(ServiceIndex service) const {
  std::vector<Rank> living;
  const auto nodes = scheduler_.nodes();
  for (std::size_t rank = 0; rank < nodes.size(); ++rank) {
    if (nodes[rank].alive) living.push_back(static_cast<Rank>(rank));
  }
  return living.empty() ? pilot_rank : living[service.value % living.size()];
}

/// Nothing answers for it, and nothing will.
bool Services::is_dead(ServiceIndex index) const {
  const Service& service = services_[index.value];
  return service.stopped || (service.description->remote.empty() && !service.replicas.empty() &&
                             std::all_of(service.replicas.begin(), service.replicas.end(), is_over));
}

void Services::changed(ServiceIndex index) {
  Service& service = at(index);
  if (!std::exchange(service.unpublished, true)) unpublished_.push_back(index);
  const bool ready = !service.description->remote.empty() ||
                     std::any_of(service.replicas.begin(), service.replicas.end(),
                                 [](const Replica& r) { return r.state == ReplicaState::ready; });
  if (ready == std::exchange(service.ready, ready)) return;
  changes_.push_back({index, ready ? Change::Kind::ready : Change::Kind::unready, ""});
}

ServiceEndpoint Services::endpoint_of(ServiceIndex index) const {
  const Service& service = services_[index.value];
  const ServiceDescription& d = *service.description;
  ServiceEndpoint endpoint{.index = index,
                           .name = d.name,
                           .api = d.api,
                           .policy = d.policy,
                           .retry = d.retry,
                           .concurrency = d.concurrency,
                           .queue = d.queue,
                           .home = service.home,
                           .models = d.models,
                           .remote = d.remote,
                           .prefer = d.prefer,
                           .replicas = {}};
  for (const Replica& replica : service.replicas) {
    if (is_live(replica.state)) endpoint.replicas.push_back(replica.endpoint);
  }
  if (service.stopped) endpoint.remote.clear();
  endpoint.dead = is_dead(index);
  return endpoint;
}

void Services::publish_changes() {
  for (ServiceIndex index : std::exchange(unpublished_, {})) {
    at(index).unpublished = false;
    if (at(index).started) output_.publish(endpoint_of(index));
  }
}

}  // namespace trireme::pilot
