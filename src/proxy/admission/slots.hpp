// The slots of the replicas that this rank owns: the truth about how many requests each has in flight.
//
// A slot is free, in use, or reserved (offered to the service's home, which grants or returns it). Invariants: in use
// plus reserved never exceed the replica's concurrency; while a replica is contended and open, none of its slots is
// free, because each is offered as it becomes free. So nobody who comes directly overtakes those who wait at the home.
//
// Pure: messages go to an AdmissionOutbox, time is an argument. Belongs to the event loop.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <vector>

#include "core/units.hpp"
#include "proxy/admission/messages.hpp"
#include "proxy/endpoints.hpp"

namespace trireme::proxy {

class Slots {
 public:
  Slots(Rank self, AdmissionOutbox& outbox) : self_(self), outbox_(outbox) {}
  Slots(const Slots&) = delete;
  Slots& operator=(const Slots&) = delete;

  /// The service as an epoch describes it now. Replicas that it does not name are forgotten, their drains are done.
  void apply(const Service& service);
  /// Takes a slot directly. A refusal for want of a free one makes the replica contended.
  bool admit(const ReplicaId& id);
  /// Takes the reserved slot; if the reservation is not there any more, the same as admit().
  bool redeem(const ReplicaId& id, std::uint64_t reservation);
  /// Gives back a slot that admit() or redeem() gave, once each.
  void release(const ReplicaId& id);

  /// The replica could not be reached: it is not offered before `until`.
  void rest(const ReplicaId& id, MonoTime until);
  /// Offers what has rested. Returns when to call again, or 0.
  MonoTime tick(MonoTime now);
  /// No request is admitted any more; `done` is called once none is in flight, at once if none is.
  void drain(const ReplicaId& id, std::function<void()> done);

  void on_want(Rank from, const SlotWant& want);
  void on_return(Rank from, const SlotReturn& back);
  void on_rank_lost(Rank rank);

  LoadReport load(const ReplicaId& id) const;
  bool has_free(const ReplicaId& id) const;
  std::uint32_t in_use(const ReplicaId& id) const;
  /// Called with each replica whose load has changed.
  void on_change(std::function<void(const ReplicaId&)> callback) { changed_ = std::move(callback); }

 private:
  struct Replica {
    std::uint32_t concurrency = 1;
    Rank home = 0;
    bool ready = false;
    bool draining = false;
    bool contended = false;
    MonoTime rests_until = 0;
    std::uint32_t in_use = 0;
    std::set<std::uint64_t> reserved;
    std::vector<std::function<void()>> drained;

    bool open() const { return ready && !draining && rests_until == 0; }
    std::size_t used() const { return in_use + reserved.size(); }
  };
  void offer_free(const ReplicaId& id, Replica& replica);
  void changed(const ReplicaId& id) const;
  void finish_drain(Replica& replica);

  Rank self_;
  AdmissionOutbox& outbox_;
  std::map<ReplicaId, Replica> replicas_;
  /// Wants that came before the epoch that names their replica, by service and replica, with the attempt and the home.
  std::map<std::pair<ServiceIndex, std::uint32_t>, std::pair<std::uint32_t, Rank>> early_wants_;
  std::uint64_t next_reservation_ = 1;
  std::function<void(const ReplicaId&)> changed_;
};

}  // namespace trireme::proxy
