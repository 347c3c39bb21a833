#include "proxy/admission/admission.hpp"

#include <algorithm>
#include <type_traits>
#include <utility>

namespace trireme::proxy {

namespace {

MonoTime earliest(MonoTime a, MonoTime b) {
  return a == 0 ? b : b == 0 ? a : std::min(a, b);
}

}  // namespace

Admission::Admission(Rank self, AdmissionOutbox& outbox)
    : self_(self),
      outbox_(outbox),
      slots_(self, outbox),
      reporter_(slots_, outbox),
      dispatcher_(self, table_, slots_, outbox) {
  slots_.on_change([this](const ReplicaId& replica) { reporter_.changed(replica); });
}

bool Admission::apply(EndpointEpoch epoch, MonoTime now) {
  std::vector<ServiceIndex> changed;
  for (const ServiceEndpoint& endpoint : epoch.changed) changed.push_back(endpoint.index);
  if (!table_.apply(std::move(epoch))) return false;
  for (const ServiceIndex index : changed) {
    const Service& service = *table_.find(index);
    slots_.apply(service);
    if (service.endpoint.home == self_) {
      queue(index, now).apply(service, now);
    } else if (const auto old = queues_.find(index); old != queues_.end()) {
      old->second.clear();
    }
    dispatcher_.apply(service, now);
  }
  return true;
}

void Admission::on_message(Rank from, const AdmissionMessage& message, MonoTime now) {
  std::visit(
      [&](const auto& m) {
        using T = std::decay_t<decltype(m)>;
        if constexpr (std::is_same_v<T, SlotAsk>) {
          queue(m.service, now).on_ask(from, m, now);
        } else if constexpr (std::is_same_v<T, SlotCancel>) {
          queue(m.service, now).on_cancel(from, m);
        } else if constexpr (std::is_same_v<T, SlotOffer>) {
          queue(m.replica.service, now).on_offer(from, m, now);
        } else if constexpr (std::is_same_v<T, SlotGrant>) {
          dispatcher_.on_grant(from, m, now);
        } else if constexpr (std::is_same_v<T, SlotWant>) {
          slots_.on_want(from, m);
        } else if constexpr (std::is_same_v<T, SlotReturn>) {
          slots_.on_return(from, m);
        } else {
          static_assert(std::is_same_v<T, Load>);
          for (const Load::Entry& entry : m.entries) {
            dispatcher_.on_load(entry.replica, entry.load, now);
          }
        }
      },
      message);
}

void Admission::on_rank_lost(Rank rank, MonoTime now) {
  dispatcher_.on_rank_lost(rank);
  for (auto& [index, queue] : queues_) queue.on_rank_lost(rank, now);
  reporter_.on_rank_lost(rank);
  slots_.on_rank_lost(rank);
}

MonoTime Admission::tick(MonoTime now) {
  MonoTime next = earliest(dispatcher_.tick(now), slots_.tick(now));
  for (auto& [index, queue] : queues_) next = earliest(next, queue.tick(now));
  return earliest(next, reporter_.tick(now));
}

std::size_t Admission::queued(ServiceIndex service) const {
  const auto found = queues_.find(service);
  return found == queues_.end() ? 0 : found->second.size();
}

ServiceQueue& Admission::queue(ServiceIndex service, MonoTime now) {
  const auto [it, made] = queues_.try_emplace(service, outbox_);
  if (made) {
    if (const Service* known = table_.find(service)) it->second.apply(*known, now);
  }
  return it->second;
}

}  // namespace trireme::proxy
