#include "proxy/admission/service_queue.hpp"

#include <algorithm>
#include <cmath>

namespace trireme::proxy {

namespace {

constexpr MonoTime ms = 1'000'000;
constexpr double smoothing = 0.1;
constexpr double longest_retry_after_s = 60;

}  // namespace

void ServiceQueue::apply(const Service& service) {
  limit_ = service.endpoint.queue;
  dead_ = service.dead();
  ready_.clear();
  for (const Site& site : service.sites) {
    if (site.ready) ready_.emplace(site.id, site.owner);
  }
  std::erase_if(summoned_, [&](const ReplicaId& id) { return !ready_.contains(id); });
  if (dead_) {
    for (const auto& [asker, place] : places_) refuse(asker, SlotGrant::Verdict::dead);
    clear();
  } else if (size() > 0) {
    summon();
  }
}

void ServiceQueue::clear() {
  summoned_.clear();
  for (auto& waiting : classes_) waiting.clear();
  places_.clear();
}

void ServiceQueue::on_ask(Rank from, const SlotAsk& ask, MonoTime now) {
  const Asker asker{from, ask.ticket};
  if (dead_) return refuse(asker, SlotGrant::Verdict::dead);
  if (size() >= limit_) return refuse(asker, SlotGrant::Verdict::full);
  if (places_.contains(asker)) return;
  const std::size_t priority = std::min<std::size_t>(static_cast<std::size_t>(ask.priority), priorities - 1);
  const Place place{now - ask.waited_ms * ms, next_number_++};
  classes_[priority].emplace(place, Waiter{asker, now + ask.left_ms * ms});
  places_.emplace(asker, std::pair{priority, place});
  summon();
}

void ServiceQueue::on_cancel(Rank from, const SlotCancel& cancel) {
  remove({from, cancel.ticket});
}

void ServiceQueue::on_offer(Rank from, const SlotOffer& offer, MonoTime now) {
  SlotReturn back{.replica = offer.replica, .reservations = {}, .no_waiters = true};
  for (const std::uint64_t reservation : offer.reservations) {
    Asker first;
    if (!pop(now, first)) {
      back.reservations.push_back(reservation);
      continue;
    }
    if (last_grant_ != 0) {
      const double interval = seconds(Duration(now - last_grant_));
      grant_interval_s_ += (interval - grant_interval_s_) * (grant_interval_s_ == 0 ? 1 : smoothing);
    }
    last_grant_ = now;
    outbox_.send(first.first, SlotGrant{.ticket = first.second,
                                        .verdict = SlotGrant::Verdict::granted,
                                        .replica = offer.replica,
                                        .owner = from,
                                        .reservation = reservation,
                                        .retry_after_s = 0});
  }
  if (back.reservations.empty()) {
    if (ready_.contains(offer.replica)) summoned_.insert(offer.replica);
    return;
  }
  summoned_.erase(offer.replica);
  outbox_.send(from, std::move(back));
}

void ServiceQueue::on_rank_lost(Rank rank) {
  for (auto it = places_.begin(); it != places_.end();) {
    if (it->first.first == rank) {
      classes_[it->second.first].erase(it->second.second);
      it = places_.erase(it);
    } else {
      ++it;
    }
  }
  std::erase_if(ready_, [&](const auto& replica) { return replica.second == rank; });
  std::erase_if(summoned_, [&](const ReplicaId& id) { return !ready_.contains(id); });
}

void ServiceQueue::remove(const Asker& asker) {
  const auto found = places_.find(asker);
  if (found == places_.end()) return;
  classes_[found->second.first].erase(found->second.second);
  places_.erase(found);
}

bool ServiceQueue::pop(MonoTime now, Asker& first) {
  for (auto& waiting : classes_) {
    while (!waiting.empty()) {
      const Waiter waiter = waiting.begin()->second;
      remove(waiter.asker);
      if (waiter.deadline < now) continue;  // its ingress has answered it
      first = waiter.asker;
      return true;
    }
  }
  return false;
}

void ServiceQueue::summon() {
  for (const auto& [id, owner] : ready_) {
    if (summoned_.insert(id).second) outbox_.send(owner, SlotWant{.replica = id});
  }
}

std::uint32_t ServiceQueue::retry_after() const {
  const double wait = std::ceil(static_cast<double>(size()) * grant_interval_s_);
  return static_cast<std::uint32_t>(std::clamp(wait, 1.0, longest_retry_after_s));
}

void ServiceQueue::refuse(const Asker& asker, SlotGrant::Verdict verdict) {
  SlotGrant answer;
  answer.ticket = asker.second;
  answer.verdict = verdict;
  answer.retry_after_s = retry_after();
  outbox_.send(asker.first, answer);
}

}  // namespace trireme::proxy
