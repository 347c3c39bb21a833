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
  return {service.name, seat_request(service), service.has_replicas() ? service.replicas : 0};
}

/// Those that clients ask for by name.
std::span<const Model> models_of(const ServiceDescription& service) {
  if (service.api != ServiceApi::openai && service.api != ServiceApi::ollama) return {};
  return service.models;
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
      const auto known = by_name_.find(service.name);
      const bool over = known != by_name_.end() && is_dead(known->second);
      return service_error(over ? "there was a service with this name in this run, and it is over: take another name"
                                : "there is already a service with this name",
                           service.name);
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
  for (std::uint32_t i = 0; i < service.replicas.size(); ++i) {
    give_up_seats({ServiceIndex{size() - 1}, i});
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
    if (take_seats({index, static_cast<std::uint32_t>(replicas.size() - 1)})) continue;
    replicas.pop_back();
    --living_;
    return service_does_not_fit(need, static_cast<std::uint32_t>(replicas.size()), scheduler_);
  }
  return {};
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
    if (!has_its_nodes(at(ref))) return false;  // it moves, once its node is given up
    if (!occupy_seats(ref)) return false;
    if (!may_start(ref.first)) return false;
    launch(ref, now);
    return true;
  });
}

void Services::launch(ReplicaRef ref, MonoTime now) {
  Replica& replica = at(ref);
  const ReplicaId id{ref.first, ref.second, replica.attempt};
  replica.endpoint = {.id = id, .rank = node_of(replica), .state = ReplicaState::starting, .socket = "", .key = ""};
  replica.asked = now;
  replica.spawned = 0;
  replica.active = 0;
  std::vector<RankBlock> layout;
  std::uint32_t first_rank = 0;
  for (Part& part : replica.parts) {
    part.lives = true;
    layout.push_back({part.seat.rank, first_rank, part.seat.ranks});
    first_rank += part.seat.ranks;
  }
  note(ref, ReplicaState::starting, "");
  for (const RankBlock& block : layout) {
    output_.send(block.node, StartReplica{.id = id,
                                          .first_rank = block.first_rank,
                                          .local_ranks = block.local_ranks,
                                          .layout = layout,
                                          .service = description(ref.first)});
  }
}

std::string Services::why_ended(const AttemptEnd& end) {
  if (!end.reason.empty()) return end.reason;
  if (end.signal != 0) return "signal " + std::to_string(end.signal);
  return "it ended with exit code " + std::to_string(end.exit_code);
}

/// A replica's new state, for the log.
void Services::note(ReplicaRef ref, ReplicaState state, const std::string& reason) {
  Replica& replica = at(ref);
  replica.state = state;
  replica.endpoint.state = state;
  events::ReplicaChanged event{.replica = {ref.first, ref.second, replica.attempt},
                               .state = state,
                               .rank = node_of(replica),
                               .endpoint = "",
                               .reason = reason,
                               .launch = "",
                               .parts = {}};
  if (state == ReplicaState::starting && description(ref.first).ranks > 1) {
    for (const Part& part : replica.parts) event.parts.push_back({part.seat.rank, part.seat.ranks});
  }
  output_.record(std::move(event));
}

/// The replica that is in this life; none for what is long over.
std::optional<Services::ReplicaRef> Services::live_replica(ReplicaId id) const {
  if (id.service.value >= services_.size()) return std::nullopt;
  const Service& service = services_[id.service.value];
  if (id.replica >= service.replicas.size()) return std::nullopt;
  const Replica& replica = service.replicas[id.replica];
  if (replica.attempt != id.attempt || !is_live(replica.state)) return std::nullopt;
  return ReplicaRef{id.service, id.replica};
}

void Services::on_started(Rank rank, const ReplicaStarted& started, MonoTime now) {
  const auto ref = live_replica(started.id);
  if (!ref || node_of(at(*ref)) != rank || at(*ref).state != ReplicaState::starting) return;
  Replica& replica = at(*ref);
  replica.spawned = started.time;
  output_.record(events::ReplicaChanged{.replica = started.id,
                                        .state = ReplicaState::starting,
                                        .rank = rank,
                                        .pid = started.pid,
                                        .endpoint = "",
                                        .reason = "",
                                        .took = Duration(now - replica.asked),
                                        .launch = description(ref->first).mpi == MpiKind::none ? "" : started.launch,
                                        .parts = {}});
}

void Services::on_ready(Rank rank, const ReplicaReady& ready, MonoTime now) {
  const auto ref = live_replica(ready.endpoint.id);
  if (!ref || node_of(at(*ref)) != rank || at(*ref).state != ReplicaState::starting || at(*ref).broken) return;
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
                                        .took = Duration(took),
                                        .launch = "",
                                        .parts = {}});
  Service& service = at(ref->first);
  service.was_ready = true;
  if (const Duration uptime = service.description->uptime; uptime > Duration::zero() && !service.expires) {
    service.expires = now + uptime.count();
  }
  changed(ref->first);
}

/// Whether it was ready for long.
bool Services::is_stable(ReplicaRef ref, MonoTime now) {
  const Replica& replica = at(ref);
  const Duration pause =
      std::max<Duration>(backoff(description(ref.first), replica.restarts), defaults::restart_backoff);
  return replica.state == ReplicaState::ready &&
         Duration(now - replica.ready_since) >= defaults::stable_backoffs * pause;
}

void Services::on_ended(Rank rank, const ReplicaEnded& ended, MonoTime now) {
  const auto ref = live_replica(ended.id);
  if (!ref || !part_ended(*ref, rank, ended, now)) return;
  auto broken = std::exchange(at(*ref).broken, std::nullopt);
  all_ended(*ref, broken ? *broken : Breakage{.end = ended.end, .was_stable = is_stable(*ref, now)}, now);
}

/// All parts of a replica have ended: it is over, or comes again.
void Services::all_ended(ReplicaRef ref, const Breakage& how, MonoTime now) {
  Replica& replica = at(ref);
  const std::string by_itself = how.end.outcome == Outcome::cancelled ? "" : why_ended(how.end);
  if (!frozen_ && how.lost_node) {
    leave_nodes(ref, by_itself);
    return resettle(ref, true, by_itself);
  }
  if (!frozen_ && std::exchange(replica.returning, false)) {
    note(ref, ReplicaState::ended, by_itself);
    ++replica.attempt;
    replica.restarts = 0;
    changed(ref.first);
    if (has_its_nodes(replica)) return launch(ref, now);
    replica.state = ReplicaState::waiting;
    return waiting_.push_back(ref);
  }
  if (frozen_ || replica.state == ReplicaState::draining) return life_over(ref, ReplicaState::ended, by_itself);
  if (how.was_stable) replica.restarts = 0;
  if (replica.restarts >= description(ref.first).restart_max) return fail(ref, why_ended(how.end));
  start_again_later(ref, why_ended(how.end), now);
}

void Services::start_again_later(ReplicaRef ref, const std::string& why, MonoTime now) {
  Replica& replica = at(ref);
  const ServiceDescription& service = description(ref.first);
  note(ref, ReplicaState::ended, why);
  replica.state = ReplicaState::waiting;
  const Duration wait = backoff(service, replica.restarts);
  replica.restart_at = now + wait.count();
  ++replica.restarts;
  if (!std::exchange(at(ref.first).restart_told, true)) {
    output_.record(events::Warning{"service " + service.name + ": replica " + std::to_string(ref.second) +
                                   " is started again in " + format_duration(wait) + " (restart " +
                                   std::to_string(replica.restarts) + " of " + std::to_string(service.restart_max) +
                                   "): " + why});
  }
  ++replica.attempt;
  restarts_.insert({*replica.restart_at, ref});
  changed(ref.first);
}

void Services::on_time(MonoTime now) {
  while (!frozen_ && !restarts_.empty() && restarts_.begin()->first <= now) {
    const ReplicaRef ref = restarts_.extract(restarts_.begin()).value().second;
    at(ref).restart_at.reset();
    if (has_its_nodes(at(ref))) {
      launch(ref, now);
    } else {
      waiting_.push_back(ref);
    }
  }
  for (std::uint32_t s = 0; s < size() && !frozen_; ++s) {
    const std::optional<MonoTime> expires = services_[s].expires;
    if (expires && *expires <= now) {
      end({s}, Change::Kind::over, "its uptime of " + format_duration(services_[s].description->uptime) + " is over");
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
  give_up_seats(ref);
  replica.broken.reset();
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
  output_.record(events::Warning{who + " failed, and is not started again: " + reason});
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

void Services::stop() {
  frozen_ = true;
  for (std::uint32_t s = 0; s < size(); ++s) stop_replicas({s});
}

void Services::end(ServiceIndex index, Change::Kind how, const std::string& reason) {
  if (std::exchange(at(index).stopped, true)) return;
  at(index).expires.reset();
  stop_replicas(index);
  changed(index);
  changes_.push_back({index, how, "is over: " + reason});
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
      drain(ref, Drain::limited);
    } else {
      replica.returning = false;
      replica.broken.reset();
      hurry(ref);
    }
  }
}

void Services::drain(ReplicaRef ref, Drain how) {
  Replica& replica = at(ref);
  note(ref, ReplicaState::draining, "");
  const bool is_ending = std::exchange(replica.broken, std::nullopt).has_value();
  replica.unhurried = !is_ending && how == Drain::unlimited;
  if (!is_ending) send_stop(ref, how);
  changed(ref.first);
}

/// A replica that drains for as long as it takes has the service's drain time from now on.
void Services::hurry(ReplicaRef ref) {
  if (std::exchange(at(ref).unhurried, false) && at(ref).state == ReplicaState::draining)
    send_stop(ref, Drain::limited);
}

void Services::send_stop(ReplicaRef ref, Drain how) {
  const Replica& replica = at(ref);
  output_.send(node_of(replica), StopReplica{.id = {ref.first, ref.second, replica.attempt}, .drain = how});
}

std::optional<ServiceIndex> Services::find(std::string_view name) const {
  const auto found = by_name_.find(std::string(name));
  return found == by_name_.end() ? std::nullopt : std::optional(found->second);
}

void Services::abandon(std::optional<Rank> rank, const std::string& reason) {
  frozen_ = true;
  for (std::uint32_t s = 0; s < size(); ++s) {
    for (std::uint32_t i = 0; i < services_[s].replicas.size(); ++i) {
      const ReplicaRef ref{ServiceIndex{s}, i};
      Replica& replica = at(ref);
      if (replica.parts.empty() || (rank && part_on(replica, *rank) == nullptr)) continue;
      for (Part& part : replica.parts) part.lives = part.lives && rank && part.seat.rank != *rank;
      if (any_lives(replica)) {
        end_parts(ref);
      } else {
        life_over(ref, ReplicaState::ended, reason);
      }
    }
  }
}

Duration Services::longest_drain() const {
  Duration longest{0};
  for (const Service& service : services_) {
    if (service.replicas.empty()) continue;
    // Those of several ranks end rank 0, and then the others.
    const Duration more = service.description->ranks > 1 ? Duration(defaults::stop_grace) : Duration{0};
    longest = std::max(longest, service.description->drain + more);
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

bool Services::is_dead(ServiceIndex index) const {
  const Service& service = services_[index.value];
  return service.stopped || (service.description->remote.empty() && !service.replicas.empty() &&
                             std::all_of(service.replicas.begin(), service.replicas.end(), is_over));
}

void Services::changed(ServiceIndex index) {
  Service& service = at(index);
  if (!std::exchange(service.unpublished, true)) unpublished_.push_back(index);
  const bool ready =
      !service.description->remote.empty() || std::any_of(service.replicas.begin(), service.replicas.end(), answers);
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
    const bool has_head = is_live(replica.state) && replica.parts.front().lives;
    if (has_head) endpoint.replicas.push_back(replica.endpoint);
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
