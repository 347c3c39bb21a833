#include "proxy/admission/slots.hpp"

#include <algorithm>
#include <utility>

namespace trireme::proxy {

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
    if (replica.home != service.endpoint.home) {
      replica.reserved.clear();
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

bool Slots::admit(const ReplicaId& id) {
  const auto found = replicas_.find(id);
  if (found == replicas_.end() || !found->second.open()) return false;
  Replica& replica = found->second;
  if (replica.contended || replica.used() >= replica.concurrency) {
    if (!replica.contended) {
      replica.contended = true;
      changed(id);
    }
    return false;
  }
  ++replica.in_use;
  changed(id);
  return true;
}

bool Slots::redeem(const ReplicaId& id, std::uint64_t reservation) {
  const auto found = replicas_.find(id);
  if (found == replicas_.end() || found->second.reserved.erase(reservation) == 0) return admit(id);
  ++found->second.in_use;
  return true;
}

void Slots::release(const ReplicaId& id) {
  const auto found = replicas_.find(id);
  if (found == replicas_.end() || found->second.in_use == 0) return;
  Replica& replica = found->second;
  --replica.in_use;
  offer_free(id, replica);
  changed(id);
  finish_drain(replica);
}

void Slots::rest(const ReplicaId& id, MonoTime until) {
  const auto found = replicas_.find(id);
  if (found != replicas_.end()) found->second.rests_until = until;
}

MonoTime Slots::tick(MonoTime now) {
  MonoTime next = 0;
  for (auto& [id, replica] : replicas_) {
    if (replica.rests_until == 0) continue;
    if (replica.rests_until <= now) {
      replica.rests_until = 0;
      offer_free(id, replica);
    } else if (next == 0 || replica.rests_until < next) {
      next = replica.rests_until;
    }
  }
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
  replica.reserved.clear();
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
  for (const std::uint64_t reservation : back.reservations) replica.reserved.erase(reservation);
  if (back.no_waiters && from == replica.home) replica.contended = false;
  offer_free(back.replica, replica);
  changed(back.replica);
}

void Slots::on_rank_lost(Rank rank) {
  for (auto& [id, replica] : replicas_) {
    const bool orphaned = replica.home == rank && replica.contended;
    if (!orphaned && replica.reserved.empty()) continue;
    replica.reserved.clear();
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
  return {.in_flight = static_cast<std::uint32_t>(replica.used()), .contended = replica.contended || !replica.open()};
}

bool Slots::has_free(const ReplicaId& id) const {
  const auto found = replicas_.find(id);
  return found != replicas_.end() && found->second.open() && !found->second.contended &&
         found->second.used() < found->second.concurrency;
}

std::uint32_t Slots::in_use(const ReplicaId& id) const {
  const auto found = replicas_.find(id);
  return found == replicas_.end() ? 0 : found->second.in_use;
}

void Slots::offer_free(const ReplicaId& id, Replica& replica) {
  if (!replica.contended || !replica.open()) return;
  SlotOffer offer{.replica = id, .reservations = {}};
  while (replica.used() < replica.concurrency) {
    replica.reserved.insert(next_reservation_);
    offer.reservations.push_back(next_reservation_++);
  }
  if (!offer.reservations.empty()) outbox_.send(replica.home, std::move(offer));
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
