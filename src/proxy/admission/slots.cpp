#include "proxy/admission/slots.hpp"

#include <algorithm>
#include <utility>

namespace trireme::proxy {

std::size_t Slots::Replica::room() const {
  if (!open() || used() >= concurrency) return 0;
  if (breaker.state() == Breaker::State::half_open) return breaker.trying() ? 0 : 1;
  return concurrency - used();
}

std::size_t Slots::Replica::room(MonoTime now) {
  return limit ? std::min<std::size_t>(room(), limit->room(now)) : room();
}

/// What is reserved is not any more; who comes with such a reservation is treated as one without.
void Slots::Replica::take_back() {
  while (!reserved.empty()) unreserve(reserved.begin()->first);
}

/// False if it is not reserved any more.
bool Slots::Replica::unreserve(std::uint64_t reservation) {
  const auto found = reserved.find(reservation);
  if (found == reserved.end()) return false;
  if (limit) limit->give_back(found->second);
  breaker.end_trial();
  reserved.erase(found);
  return true;
}

void Slots::apply(const Service& service) {
  const ServiceIndex index = service.endpoint.index;
  for (auto it = replicas_.begin(); it != replicas_.end();) {
    const Site* site = it->first.service == index ? service.find(it->first) : nullptr;
    if (it->first.service != index || (site != nullptr && site->owner == self_)) {
      ++it;
      continue;
    }
    const auto drained = std::move(it->second.drained);
    it = replicas_.erase(it);
    for (const auto& done : drained) done();
  }
  for (const Site& site : service.sites) {
    if (site.owner != self_) continue;
    Replica& replica = replicas_[site.id];
    replica.concurrency = site.concurrency;
    replica.ready = site.ready;
    if (site.per_minute == 0) {
      replica.limit.reset();
    } else if (!replica.limit || replica.limit->per_minute() != site.per_minute) {
      replica.limit.emplace(site.per_minute);
    }
    if (replica.home != service.endpoint.home) {
      replica.take_back();
      replica.home = service.endpoint.home;
    }
    const auto early = early_wants_.find({index, site.id.replica});
    if (early != early_wants_.end() && early->second.first <= site.id.attempt) {
      if (early->second.first == site.id.attempt) {
        replica.contended = true;
        replica.home = early->second.second;
      }
      early_wants_.erase(early);
    }
    offer_free(site.id, replica);
  }
}

bool Slots::admit(const ReplicaId& id, MonoTime now) {
  const auto found = replicas_.find(id);
  if (found == replicas_.end() || !found->second.open()) return false;
  Replica& replica = found->second;
  if (replica.contended || replica.room(now) == 0) {
    due_ = due_ || replica.limit.has_value();
    if (!replica.contended) {
      replica.contended = true;
      changed(id);
    }
    return false;
  }
  begin(replica, now);
  changed(id);
  return true;
}

/// A request has its slot.
void Slots::begin(Replica& replica, MonoTime now) {
  ++replica.in_use;
  if (replica.limit) replica.limit->take(now);
  replica.breaker.begin_trial();
}

bool Slots::redeem(const ReplicaId& id, std::uint64_t reservation, MonoTime now) {
  const auto found = replicas_.find(id);
  if (found == replicas_.end() || !found->second.unreserve(reservation)) return admit(id, now);
  begin(found->second, now);
  return true;
}

void Slots::release(const ReplicaId& id) {
  const auto found = replicas_.find(id);
  if (found == replicas_.end() || found->second.in_use == 0) return;
  Replica& replica = found->second;
  --replica.in_use;
  replica.breaker.end_trial();  // if it had said something, judge() has been told
  offer_free(id, replica);
  changed(id);
  finish_drain(replica);
}

void Slots::judge(const ReplicaId& id, const Evidence& evidence, MonoTime now) {
  const auto found = replicas_.find(id);
  if (found == replicas_.end()) return;
  Replica& replica = found->second;
  const bool was_open = replica.open();
  const Breaker::State before = replica.breaker.state();
  switch (evidence.kind) {
    case Evidence::Kind::none:
      return;
    case Evidence::Kind::alive:
      replica.breaker.on_alive();
      break;
    case Evidence::Kind::trouble:
      replica.breaker.on_trouble(now);
      break;
    case Evidence::Kind::proof:
      replica.breaker.on_proof(now);
      break;
    case Evidence::Kind::busy:
      replica.breaker.on_alive();
      replica.rests_until = std::max(replica.rests_until, now + evidence.rest.count());
      break;
  }
  if (was_open && !replica.open()) {
    replica.take_back();
    due_ = true;
    changed(id);
  } else if (before != replica.breaker.state()) {
    offer_free(id, replica);
    changed(id);
  }
}

MonoTime Slots::tick(MonoTime now) {
  due_ = false;
  MonoTime next = 0;
  const auto wake = [&next](MonoTime time) {
    if (time != 0 && (next == 0 || time < next)) next = time;
  };
  for (auto& [id, replica] : replicas_) {
    const bool was_open = replica.open();
    if (replica.rests_until <= now) replica.rests_until = 0;
    replica.breaker.on_time(now);
    wake(replica.rests_until);
    wake(replica.breaker.opens_until());
    if (!was_open && replica.open()) {
      offer_free(id, replica);
      changed(id);
    }
    if (!replica.limit || !replica.contended) continue;
    offer(id, replica, replica.room(now), now);
    if (replica.room() > 0) wake(replica.limit->next());
  }
  due_ = false;
  return next;
}

void Slots::drain(const ReplicaId& id, std::function<void()> done) {
  const auto found = replicas_.find(id);
  if (found == replicas_.end()) {
    done();
    return;
  }
  Replica& replica = found->second;
  replica.draining = true;
  replica.take_back();
  replica.drained.push_back(std::move(done));
  changed(id);
  finish_drain(replica);
}

void Slots::on_want(Rank from, const SlotWant& want) {
  const auto found = replicas_.find(want.replica);
  if (found == replicas_.end()) {
    auto& early = early_wants_[{want.replica.service, want.replica.replica}];
    if (early.first <= want.replica.attempt) early = {want.replica.attempt, from};
    return;
  }
  Replica& replica = found->second;
  replica.home = from;
  if (!replica.contended) {
    replica.contended = true;
    changed(want.replica);
  }
  offer_free(want.replica, replica);
}

void Slots::on_return(Rank from, const SlotReturn& back) {
  const auto found = replicas_.find(back.replica);
  if (found == replicas_.end()) return;
  Replica& replica = found->second;
  for (const std::uint64_t reservation : back.reservations) {
    replica.unreserve(reservation);
  }
  if (back.no_waiters && from == replica.home) replica.contended = false;
  offer_free(back.replica, replica);
  changed(back.replica);
}

void Slots::on_rank_lost(Rank rank) {
  for (auto& [id, replica] : replicas_) {
    const bool orphaned = replica.home == rank && replica.contended;
    if (!orphaned && replica.reserved.empty()) continue;
    replica.take_back();
    if (orphaned) replica.contended = false;
    offer_free(id, replica);
    changed(id);
  }
  std::erase_if(early_wants_, [&](const auto& early) { return early.second.second == rank; });
}

LoadReport Slots::load(const ReplicaId& id) const {
  const auto found = replicas_.find(id);
  if (found == replicas_.end()) return {.in_flight = 0, .contended = true};
  const Replica& replica = found->second;
  return {.in_flight = static_cast<std::uint32_t>(replica.used()),
          .contended = replica.contended || !replica.open(),
          .closed = !replica.open()};
}

bool Slots::has_free(const ReplicaId& id, MonoTime now) {
  const auto found = replicas_.find(id);
  return found != replicas_.end() && !found->second.contended && found->second.room(now) > 0;
}

SiteHealth Slots::health(const ReplicaId& id) const {
  const auto found = replicas_.find(id);
  if (found == replicas_.end()) return {};
  const Replica& replica = found->second;
  return {.open = replica.open(),
          .breaker = replica.breaker.state(),
          .resting = replica.rests_until != 0 || (replica.limit && replica.limit->next() != 0),
          .times_opened = replica.breaker.times_opened()};
}

std::uint32_t Slots::in_use(const ReplicaId& id) const {
  const auto found = replicas_.find(id);
  return found == replicas_.end() ? 0 : found->second.in_use;
}

/// Offers what is free while it is contended. Where time limits how much that is, tick() does it, which knows the time.
void Slots::offer_free(const ReplicaId& id, Replica& replica) {
  if (!replica.contended) return;
  if (replica.limit) {
    due_ = true;
  } else {
    offer(id, replica, replica.room(), 0);
  }
}

void Slots::offer(const ReplicaId& id, Replica& replica, std::size_t slots, MonoTime now) {
  if (slots == 0) return;
  SlotOffer offer{.replica = id, .reservations = {}};
  for (std::size_t i = 0; i < slots; ++i) {
    replica.reserved.emplace(next_reservation_, now);
    if (replica.limit) replica.limit->take(now);
    offer.reservations.push_back(next_reservation_++);
  }
  replica.breaker.begin_trial();
  outbox_.send(replica.home, std::move(offer));
}

void Slots::changed(const ReplicaId& id) const {
  if (changed_) changed_(id);
}

void Slots::finish_drain(Replica& replica) {
  if (!replica.draining || replica.in_use > 0) return;
  const auto drained = std::move(replica.drained);
  replica.drained.clear();
  for (const auto& done : drained) done();
}

}  // namespace trireme::proxy
