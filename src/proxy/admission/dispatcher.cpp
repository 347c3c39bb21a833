#include "proxy/admission/dispatcher.hpp"

#include <algorithm>
#include <functional>
#include <limits>
#include <utility>

#include "proxy/policies/hash64.hpp"

namespace trireme::proxy {

namespace {

const Affinity no_affinity;

std::uint32_t whole_ms(MonoTime span) {
  return static_cast<std::uint32_t>(
      std::clamp<MonoTime>(span / millisecond, 0, std::numeric_limits<std::uint32_t>::max()));
}

}  // namespace

Hold::~Hold() {
  if (dispatcher_ != nullptr) dispatcher_->finished(replica_, owner_, reservation_);
}

std::uint64_t Hold::use() {
  return std::exchange(reservation_, 0);
}

Ticket::~Ticket() {
  if (dispatcher_ != nullptr) dispatcher_->cancel(waiter_);
}

Dispatcher::Dispatcher(Rank self, const EndpointTable& table, Slots& slots, AdmissionOutbox& outbox)
    : self_(self), table_(table), slots_(slots), outbox_(outbox) {}

Dispatcher::Decision Dispatcher::place(const Demand& demand, std::span<const ReplicaId> avoid, SlotWaiter& waiter,
                                       MonoTime now) {
  const Service* service = table_.find(demand.service);
  if (service == nullptr || service->dead()) return Refusal{.why = Refusal::Why::dead};
  Policy& policy = policy_of(*service);
  // Who waits under a sticky policy wants another replica, or its home has seen to it that none is free for others.
  if (!policy.sticky() && waiting(demand.service) > 0) return enqueue(demand, nullptr, waiter, now);
  const std::span<const Candidate> sites = candidates(*service, avoid, now);
  const auto chosen = policy.choose(sites, demand.affinity == nullptr ? no_affinity : *demand.affinity);
  if (!chosen) return enqueue(demand, nullptr, waiter, now);
  const Candidate& wanted = sites[*chosen];
  const Rank owner = service->find(wanted.id)->owner;
  if (wanted.free && (owner != self_ || slots_.admit(wanted.id, now))) return started(demand, wanted.id, owner, 0);
  return enqueue(demand, policy.sticky() ? &wanted.id : nullptr, waiter, now);
}

Dispatcher::Decision Dispatcher::wait(const Demand& demand, const ReplicaId& refused, SlotWaiter& waiter,
                                      MonoTime now) {
  const Service* service = table_.find(demand.service);
  const bool sticky = service != nullptr && policy_of(*service).sticky();
  return enqueue(demand, sticky ? &refused : nullptr, waiter, now);
}

Dispatcher::Decision Dispatcher::enqueue(const Demand& demand, const ReplicaId* wanted, SlotWaiter& waiter,
                                         MonoTime now) {
  const Service* service = table_.find(demand.service);
  if (service == nullptr || service->dead()) return Refusal{.why = Refusal::Why::dead};
  if (demand.deadline <= now) return Refusal{.why = Refusal::Why::deadline};
  const std::uint64_t key = next_number_++;
  Waiter& waits = waiters_[key];
  waits.demand = demand;
  waits.waiter = &waiter;
  if (wanted != nullptr) {
    waits.wanted = *wanted;
    waits.patient_until = now + Duration(defaults::affinity_wait).count();
  }
  ++waiting_[demand.service];
  deadlines_.emplace(demand.deadline, key);
  ask(key, waits, *service, now);
  return Ticket(*this, key);
}

void Dispatcher::apply(const Service& service, MonoTime now) {
  const ServiceIndex index = service.endpoint.index;
  std::erase_if(beliefs_, [&](const auto& belief) {
    return belief.first.service == index && service.find(belief.first) == nullptr;
  });
  std::vector<std::uint64_t> theirs;
  for (auto& [key, waiter] : waiters_) {
    if (waiter.demand.service == index) theirs.push_back(key);
  }
  for (const std::uint64_t key : theirs) {
    const auto found = waiters_.find(key);
    if (found == waiters_.end()) continue;  // gone by what another's refusal led to
    if (service.dead()) {
      const Waiter waiter = take(key);
      withdraw(waiter);
      waiter.waiter->on_refused({.why = Refusal::Why::dead});
    } else if (found->second.asked != service.endpoint.home) {
      withdraw(found->second);
      ask(key, found->second, service, now);
    }
  }
}

void Dispatcher::on_grant(Rank, const SlotGrant& grant, MonoTime now) {
  const bool granted = grant.verdict == SlotGrant::Verdict::granted;
  const auto found = tickets_.find(grant.ticket);
  if (found == tickets_.end()) {
    if (granted) {
      outbox_.send(grant.owner,
                   SlotReturn{.replica = grant.replica, .reservations = {grant.reservation}, .no_waiters = false});
    }
    return;
  }
  const std::uint64_t key = found->second;
  if (granted) {
    const bool usable =
        grant.owner == self_ ? slots_.redeem(grant.replica, grant.reservation, now) : !lost_.contains(grant.owner);
    if (!usable) {
      Waiter& waiter = waiters_.at(key);
      waiter.asked = -1;  // the ask has been answered
      if (const Service* service = table_.find(waiter.demand.service)) ask(key, waiter, *service, now);
      return;
    }
    const Waiter waiter = take(key);
    waiter.waiter->on_placed(
        started(waiter.demand, grant.replica, grant.owner, grant.owner == self_ ? 0 : grant.reservation));
    return;
  }
  SlotWaiter* waiter = take(key).waiter;
  const bool full = grant.verdict == SlotGrant::Verdict::full;
  waiter->on_refused({.why = full ? Refusal::Why::full : Refusal::Why::dead, .retry_after_s = grant.retry_after_s});
}

void Dispatcher::on_load(const ReplicaId& replica, const LoadReport& load, MonoTime now) {
  const Service* service = table_.find(replica.service);
  if (service == nullptr || service->find(replica) == nullptr) return;
  Belief& belief = beliefs_[replica];
  belief.others = load.in_flight > belief.mine ? load.in_flight - belief.mine : 0;
  belief.contended = load.contended;
  belief.closed = load.closed;
  belief.told = now;
}

void Dispatcher::on_rank_lost(Rank rank) {
  lost_.insert(rank);
  for (auto& [key, waiter] : waiters_) {
    if (waiter.asked == rank) {
      tickets_.erase(waiter.ticket);
      waiter.asked = -1;
    }
  }
}

MonoTime Dispatcher::tick(MonoTime now) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    const Waiter waiter = take(deadlines_.begin()->second);
    withdraw(waiter);
    waiter.waiter->on_refused({.why = Refusal::Why::deadline});
  }
  return deadlines_.empty() ? 0 : deadlines_.begin()->first;
}

std::uint32_t Dispatcher::waiting(ServiceIndex service) const {
  const auto found = waiting_.find(service);
  return found == waiting_.end() ? 0 : found->second;
}

std::uint32_t Dispatcher::outstanding(const ReplicaId& replica) const {
  const auto found = beliefs_.find(replica);
  return found == beliefs_.end() ? 0 : found->second.mine;
}

Policy& Dispatcher::policy_of(const Service& service) {
  auto& [kind, policy] = policies_[service.endpoint.index];
  if (policy == nullptr || kind != service.endpoint.policy) {
    kind = service.endpoint.policy;
    policy = make_policy(kind, hash64(static_cast<std::uint64_t>(self_), service.endpoint.index.value));
  }
  return *policy;
}

std::span<const Candidate> Dispatcher::candidates(const Service& service, std::span<const ReplicaId> avoid,
                                                  MonoTime now) {
  std::vector<Candidate>& out = candidates_;
  out.clear();
  for (const Site& site : service.sites) {
    if (!site.ready || lost_.contains(site.owner)) continue;
    if (std::find(avoid.begin(), avoid.end(), site.id) != avoid.end()) continue;
    if (site.owner == self_) {
      if (slots_.load(site.id).closed) continue;
      out.push_back({.id = site.id,
                     .outstanding = slots_.load(site.id).in_flight,
                     .free = slots_.has_free(site.id, now),
                     .local = !is_remote(site.id)});
      continue;
    }
    Belief belief;
    if (const auto found = beliefs_.find(site.id); found != beliefs_.end()) belief = found->second;
    const bool stale = now - belief.told > Duration(defaults::load_belief).count();
    if (belief.closed && !stale) continue;
    const std::uint32_t outstanding = belief.mine + (stale ? 0 : belief.others);
    out.push_back({.id = site.id,
                   .outstanding = outstanding,
                   .free = outstanding < site.concurrency && (stale || !belief.contended),
                   .local = false});
  }
  // The second choice of a service is for when its first is not there, or when the queue is long, which the home knows.
  if (const Preference prefer = service.endpoint.prefer; prefer != Preference::none) {
    const auto preferred = [&](const Candidate& c) { return is_remote(c.id) == (prefer == Preference::remote); };
    if (std::any_of(out.begin(), out.end(), preferred)) std::erase_if(out, std::not_fn(preferred));
  }
  return out;
}

Placement Dispatcher::started(const Demand& demand, const ReplicaId& replica, Rank owner, std::uint64_t reservation) {
  ++beliefs_[replica].mine;
  if (demand.affinity != nullptr) {
    if (const Service* service = table_.find(demand.service)) policy_of(*service).placed(replica, *demand.affinity);
  }
  return {.replica = replica, .owner = owner, .hold = Hold(*this, replica, owner, reservation)};
}

void Dispatcher::ask(std::uint64_t key, Waiter& waiter, const Service& service, MonoTime now) {
  const Rank home = service.endpoint.home;
  tickets_.erase(waiter.ticket);
  waiter.asked = -1;
  if (lost_.contains(home)) return;
  waiter.asked = home;
  waiter.ticket = next_number_++;
  tickets_.emplace(waiter.ticket, key);
  outbox_.send(home, SlotAsk{.ticket = waiter.ticket,
                             .service = waiter.demand.service,
                             .priority = waiter.demand.priority,
                             .waited_ms = whole_ms(now - waiter.demand.arrived),
                             .left_ms = whole_ms(waiter.demand.deadline - now),
                             .wanted_ms = waiter.patient_until > now ? whole_ms(waiter.patient_until - now) : 0,
                             .wanted = waiter.wanted});
}

void Dispatcher::withdraw(const Waiter& waiter) {
  if (waiter.asked < 0) return;
  outbox_.send(waiter.asked, SlotCancel{.ticket = waiter.ticket, .service = waiter.demand.service});
}

Dispatcher::Waiter Dispatcher::take(std::uint64_t key) {
  const auto found = waiters_.find(key);
  Waiter waiter = found->second;
  waiters_.erase(found);
  tickets_.erase(waiter.ticket);
  deadlines_.erase({waiter.demand.deadline, key});
  const auto waiting = waiting_.find(waiter.demand.service);
  if (--waiting->second == 0) waiting_.erase(waiting);
  return waiter;
}

void Dispatcher::finished(const ReplicaId& replica, Rank owner, std::uint64_t reservation) {
  const auto found = beliefs_.find(replica);
  if (found != beliefs_.end() && found->second.mine > 0) --found->second.mine;
  if (owner == self_) {
    slots_.release(replica);
  } else if (reservation != 0) {
    outbox_.send(owner, SlotReturn{.replica = replica, .reservations = {reservation}, .no_waiters = false});
  }
}

void Dispatcher::cancel(std::uint64_t waiter) {
  if (waiters_.contains(waiter)) withdraw(take(waiter));
}

}  // namespace trireme::proxy
