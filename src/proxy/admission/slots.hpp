// The slots of the replicas that this rank owns: the truth about how many requests each has in flight.
//
// A slot is free, in use, or reserved (offered to the service's home, which grants or returns it). Invariants: in use
// plus reserved never exceed the replica's concurrency; while a replica is contended and open, none of its slots is
// free, because each is offered as it becomes free. So nobody who comes directly overtakes those who wait at the home.
//
// What the owner knows of a replica's health stands in the way of admission here: its breaker, a rest that it has asked
// for, and the limit of an endpoint's requests per minute.
//
// Pure: messages go to an AdmissionOutbox, time is an argument. Belongs to the event loop.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "core/units.hpp"
#include "proxy/admission/messages.hpp"
#include "proxy/endpoints.hpp"
#include "proxy/health/breaker.hpp"
#include "proxy/health/evidence.hpp"
#include "proxy/health/rate_limit.hpp"

namespace trireme::proxy {

/// How a replica of this rank is, for people and metrics.
struct SiteHealth {
  bool open = false;  ///< it may be given requests
  Breaker::State breaker = Breaker::State::closed;
  bool resting = false;  ///< it has asked for that, or its requests per minute are used up
  std::uint32_t times_opened = 0;
};

class Slots {
 public:
  Slots(Rank self, AdmissionOutbox& outbox) : self_(self), outbox_(outbox) {}
  Slots(const Slots&) = delete;
  Slots& operator=(const Slots&) = delete;

  /// The service as an epoch describes it now. Replicas that it does not name are forgotten, their drains are done.
  void apply(const Service& service);
  /// Takes a slot directly. A refusal for want of a free one makes the replica contended.
  bool admit(const ReplicaId& id, MonoTime now);
  /// Takes the reserved slot; if the reservation is not there any more, the same as admit().
  bool redeem(const ReplicaId& id, std::uint64_t reservation, MonoTime now);
  /// Gives back a slot that admit() or redeem() gave, once each.
  void release(const ReplicaId& id);

  /// What an attempt at the replica says of it. To be told before the attempt's slot is released.
  void judge(const ReplicaId& id, const Evidence& evidence, MonoTime now);
  /// Does what time has made due: back-offs and rests that are over, offers of endpoints with a limit per minute.
  /// Returns when to call again, or 0.
  MonoTime tick(MonoTime now);
  /// tick() should be called soon.
  bool pending() const { return due_; }
  /// No request is admitted any more; `done` is called once none is in flight, at once if none is.
  void drain(const ReplicaId& id, std::function<void()> done);

  void on_want(Rank from, const SlotWant& want);
  void on_return(Rank from, const SlotReturn& back);
  void on_rank_lost(Rank rank);

  LoadReport load(const ReplicaId& id) const;
  bool has_free(const ReplicaId& id, MonoTime now);
  SiteHealth health(const ReplicaId& id) const;
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
    Breaker breaker;
    std::optional<RateLimit> limit;
    std::uint32_t in_use = 0;
    std::map<std::uint64_t, MonoTime> reserved;  ///< and since when, where there is a limit per minute
    std::vector<std::function<void()>> drained;

    bool open() const { return ready && !draining && rests_until == 0 && breaker.state() != Breaker::State::open; }
    std::size_t used() const { return in_use + reserved.size(); }
    std::size_t room() const;
    std::size_t room(MonoTime now);
    bool unreserve(std::uint64_t reservation);
    void take_back();
  };
  static void begin(Replica& replica, MonoTime now);
  void offer_free(const ReplicaId& id, Replica& replica);
  void offer(const ReplicaId& id, Replica& replica, std::size_t slots, MonoTime now);
  void changed(const ReplicaId& id) const;
  void finish_drain(Replica& replica);

  Rank self_;
  AdmissionOutbox& outbox_;
  std::map<ReplicaId, Replica> replicas_;
  /// Wants that came before the epoch that names their replica, by service and replica, with the attempt and the home.
  std::map<std::pair<ServiceIndex, std::uint32_t>, std::pair<std::uint32_t, Rank>> early_wants_;
  std::uint64_t next_reservation_ = 1;
  bool due_ = false;
  std::function<void(const ReplicaId&)> changed_;
};

}  // namespace trireme::proxy
