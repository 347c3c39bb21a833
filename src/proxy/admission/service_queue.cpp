#include "proxy/admission/service_queue.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace trireme::proxy {

namespace {

constexpr double smoothing = 0.1;
constexpr double longest_retry_after_s = 60;

}  // namespace

void ServiceQueue::apply(const Service& service, MonoTime now) {
  limit_ = service.endpoint.queue;
  dead_ = service.dead();
  ready_.clear();
  for (const Site& site : service.sites) {
    if (site.ready) ready_.emplace(site.id, site.owner);
  }
  preference_ = service.endpoint.prefer;
  first_choice_slots_ = 0;
  bool any_second = false;
  for (const Site& site : service.sites) {
    if (!site.ready) continue;
    if (is_second_choice(site.id)) {
      any_second = true;
    } else {
      first_choice_slots_ += site.concurrency;
    }
  }
  if (first_choice_slots_ == 0 || !any_second) preference_ = Preference::none;
  std::erase_if(summoned_, [&](const ReplicaId& id) { return !ready_.contains(id); });
  if (dead_) {
    for (const auto& [asker, place] : places_) refuse(asker, SlotGrant::Verdict::dead);
    clear();
  } else if (size() > 0) {
    end_patience_for_absent();
    summon(now);
  }
}

void ServiceQueue::clear() {
  summoned_.clear();
  for (auto& waiting : classes_) waiting.clear();
  places_.clear();
  patient_.clear();
  wanting_.clear();
}

void ServiceQueue::on_ask(Rank from, const SlotAsk& ask, MonoTime now) {
  const Asker asker{from, ask.ticket};
  if (dead_) return refuse(asker, SlotGrant::Verdict::dead);
  if (size() >= limit_) return refuse(asker, SlotGrant::Verdict::full);
  if (places_.contains(asker)) return;
  const std::size_t priority = std::min<std::size_t>(static_cast<std::size_t>(ask.priority), priorities - 1);
  const Place place{now - ask.waited_ms * millisecond, next_number_++};
  Waiter waiter{.asker = asker, .deadline = now + ask.left_ms * millisecond, .patient_until = 0, .wanted = ask.wanted};
  if (ask.wanted_ms > 0 && ready_.contains(ask.wanted)) {
    waiter.patient_until = now + ask.wanted_ms * millisecond;
    patient_.emplace(waiter.patient_until, asker);
    ++wanting_[ask.wanted];
  }
  classes_[priority].emplace(place, waiter);
  places_.emplace(asker, std::pair{priority, place});
  summon(now);
}

void ServiceQueue::on_cancel(Rank from, const SlotCancel& cancel) {
  remove({from, cancel.ticket});
}

void ServiceQueue::on_offer(Rank from, const SlotOffer& offer, MonoTime now) {
  SlotReturn back{.replica = offer.replica, .reservations = {}, .no_waiters = true};
  for (const std::uint64_t reservation : offer.reservations) {
    Asker first;
    const bool refused = is_second_choice(offer.replica) && !is_long(now);
    if (refused || !pop(offer.replica, now, first)) {
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

void ServiceQueue::on_rank_lost(Rank rank, MonoTime now) {
  for (auto it = places_.begin(); it != places_.end();) {
    const Asker asker = (it++)->first;
    if (asker.first == rank) remove(asker);
  }
  std::erase_if(ready_, [&](const auto& replica) { return replica.second == rank; });
  std::erase_if(summoned_, [&](const ReplicaId& id) { return !ready_.contains(id); });
  end_patience_for_absent();
  if (size() > 0) summon(now);
}

MonoTime ServiceQueue::tick(MonoTime now) {
  bool ended = false;
  while (!patient_.empty() && patient_.begin()->first <= now) {
    end_patience(waiter(patient_.begin()->second));
    ended = true;
  }
  MonoTime next = patient_.empty() ? 0 : patient_.begin()->first;
  if (preference_ != Preference::none && size() > 0) {
    const MonoTime spill = oldest() + Duration(defaults::spill_after).count();
    if (spill > now) next = next == 0 ? spill : std::min(next, spill);
    ended = ended || is_long(now);
  }
  if (ended) summon(now);
  return next;
}

ServiceQueue::Waiter& ServiceQueue::waiter(const Asker& asker) {
  const auto& [priority, place] = places_.at(asker);
  return classes_[priority].at(place);
}

bool ServiceQueue::is_second_choice(const ReplicaId& id) const {
  return preference_ != Preference::none && is_remote(id) != (preference_ == Preference::remote);
}

bool ServiceQueue::is_long(MonoTime now) const {
  return size() > first_choice_slots_ || (size() > 0 && now - oldest() >= Duration(defaults::spill_after).count());
}

MonoTime ServiceQueue::oldest() const {
  MonoTime oldest = std::numeric_limits<MonoTime>::max();
  for (const auto& waiting : classes_) {
    if (!waiting.empty()) oldest = std::min(oldest, waiting.begin()->first.since);
  }
  return oldest;
}

void ServiceQueue::remove(const Asker& asker) {
  const auto found = places_.find(asker);
  if (found == places_.end()) return;
  const auto [priority, place] = found->second;
  const auto waiter = classes_[priority].find(place);
  end_patience(waiter->second);
  classes_[priority].erase(waiter);
  places_.erase(found);
}

/// The first who takes that replica.
bool ServiceQueue::pop(const ReplicaId& replica, MonoTime now, Asker& first) {
  for (auto& waiting : classes_) {
    for (auto it = waiting.begin(); it != waiting.end();) {
      const Waiter waiter = (it++)->second;
      const bool answered = waiter.deadline < now;  // by its ingress
      if (!answered && waiter.patient_until > now && waiter.wanted != replica) continue;
      remove(waiter.asker);
      if (answered) continue;
      first = waiter.asker;
      return true;
    }
  }
  return false;
}

void ServiceQueue::end_patience(Waiter& waiter) {
  if (waiter.patient_until == 0) return;
  patient_.erase({waiter.patient_until, waiter.asker});
  waiter.patient_until = 0;
  const auto count = wanting_.find(waiter.wanted);
  if (--count->second == 0) wanting_.erase(count);
}

/// Who waits for a replica that is not ready any more takes any.
void ServiceQueue::end_patience_for_absent() {
  for (auto it = patient_.begin(); it != patient_.end();) {
    Waiter& patient = waiter((it++)->second);
    if (!ready_.contains(patient.wanted)) end_patience(patient);
  }
}

void ServiceQueue::summon(MonoTime now) {
  const bool everybody = is_long(now);
  const bool any = places_.size() > patient_.size();
  for (const auto& [id, owner] : ready_) {
    if (!any && !wanting_.contains(id)) continue;
    if (!everybody && is_second_choice(id)) continue;
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
