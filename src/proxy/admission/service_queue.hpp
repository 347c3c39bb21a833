// The one queue of a service, on its home rank: who waits, in which order, and who gets the next free slot.
//
// Strict priority classes; within a class the oldest first, where age counts from when the request came in at its
// ingress. An offered slot is granted or returned at once: the home never holds one. Bounded by the service's `queue`.
//
// One who wants a certain replica is passed over by the others' slots until its patience ends. A replica is summoned only
// while somebody waits who would take it.
//
// Where the service prefers its replicas to its remote endpoints, or the other way round, the others are its second choice:
// they are summoned, and their slots granted, only while the queue is long, which is while more wait than the first choice
// has slots, or somebody waits for longer than defaults::spill_after.
//
// Pure: messages go to an AdmissionOutbox, time is an argument. Belongs to the event loop.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <utility>

#include "core/units.hpp"
#include "proxy/admission/messages.hpp"
#include "proxy/endpoints.hpp"

namespace trireme::proxy {

class ServiceQueue {
 public:
  explicit ServiceQueue(AdmissionOutbox& outbox) : outbox_(outbox) {}
  ServiceQueue(const ServiceQueue&) = delete;
  ServiceQueue& operator=(const ServiceQueue&) = delete;

  /// The service as it is now. Summons replicas that became ready; if it is dead, all that wait are told.
  void apply(const Service& service, MonoTime now);
  /// Another rank is the home now; the ingresses ask there.
  void clear();

  void on_ask(Rank from, const SlotAsk& ask, MonoTime now);
  void on_cancel(Rank from, const SlotCancel& cancel);
  void on_offer(Rank from, const SlotOffer& offer, MonoTime now);
  void on_rank_lost(Rank rank, MonoTime now);
  /// Those whose patience has ended take any replica from now on, and the second choice is summoned for those who have
  /// waited for long. Returns when to call again, or 0.
  MonoTime tick(MonoTime now);

  std::size_t size() const { return places_.size(); }

 private:
  using Asker = std::pair<Rank, std::uint64_t>;  ///< ingress and ticket
  struct Place {                                 ///< in the order of its class
    MonoTime since = 0;
    std::uint64_t number = 0;
    auto operator<=>(const Place&) const = default;
  };
  struct Waiter {
    Asker asker;
    MonoTime deadline = 0;
    MonoTime patient_until = 0;  ///< 0: takes any replica
    ReplicaId wanted;
  };
  Waiter& waiter(const Asker& asker);
  void remove(const Asker& asker);
  bool pop(const ReplicaId& replica, MonoTime now, Asker& first);
  void end_patience(Waiter& waiter);
  void end_patience_for_absent();
  void summon(MonoTime now);
  bool is_second_choice(const ReplicaId& id) const;
  bool is_long(MonoTime now) const;
  MonoTime oldest() const;
  std::uint32_t retry_after() const;
  void refuse(const Asker& asker, SlotGrant::Verdict verdict);

  AdmissionOutbox& outbox_;
  std::uint32_t limit_ = defaults::queue;
  bool dead_ = false;
  std::array<std::map<Place, Waiter>, priorities> classes_;
  std::map<Asker, std::pair<std::size_t, Place>> places_;
  std::set<std::pair<MonoTime, Asker>> patient_;  ///< who waits for a certain replica, by when that ends
  std::map<ReplicaId, std::size_t> wanting_;      ///< how many of them wait for each
  std::uint64_t next_number_ = 0;
  std::map<ReplicaId, Rank> ready_;           ///< replicas that can be summoned, and their owners
  Preference preference_ = Preference::none;  ///< none too where only one of the two is there
  std::size_t first_choice_slots_ = 0;
  std::set<ReplicaId> summoned_;  ///< told slot_want, and not told no_waiters since
  MonoTime last_grant_ = 0;
  double grant_interval_s_ = 0;  ///< smoothed; 0: not known
};

}  // namespace trireme::proxy
