// Where requests that came in at this rank go: chosen directly while a replica is believed free, else by the service's
// queue.
//
// A caller asks place(). It gets a Placement at once, or a Refusal, or waits: then exactly one of on_placed() and
// on_refused() comes later, unless the Ticket is destroyed before. A Placement carries a Hold, which keeps the request
// counted as in flight until it is destroyed, at whatever exit.
//
// Pure: messages go to an AdmissionOutbox, time is an argument. Belongs to the event loop.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <variant>
#include <vector>

#include "core/units.hpp"
#include "proxy/admission/messages.hpp"
#include "proxy/admission/slots.hpp"
#include "proxy/endpoints.hpp"
#include "proxy/policies/policy.hpp"

namespace trireme::proxy {

class Dispatcher;

/// A request in flight on a replica, as its ingress counts it. On the own rank it holds the slot; on another it may
/// hold a reservation, which is returned to the owner if use() was never called.
class Hold {
 public:
  Hold() = default;
  Hold(Hold&& other) noexcept { swap(other); }
  Hold& operator=(Hold&& other) noexcept {
    Hold(std::move(other)).swap(*this);
    return *this;
  }
  ~Hold();

  /// The reservation to send with the request; 0: none. From now on the owner accounts for it.
  std::uint64_t use();

 private:
  friend class Dispatcher;
  Hold(Dispatcher& dispatcher, const ReplicaId& replica, Rank owner, std::uint64_t reservation)
      : dispatcher_(&dispatcher), replica_(replica), owner_(owner), reservation_(reservation) {}
  void swap(Hold& other) noexcept {
    std::swap(dispatcher_, other.dispatcher_);
    std::swap(replica_, other.replica_);
    std::swap(owner_, other.owner_);
    std::swap(reservation_, other.reservation_);
  }

  Dispatcher* dispatcher_ = nullptr;
  ReplicaId replica_;
  Rank owner_ = 0;
  std::uint64_t reservation_ = 0;
};

struct Placement {
  ReplicaId replica;
  Rank owner = 0;
  Hold hold;
};

struct Refusal {
  enum class Why { full, dead, deadline };
  Why why = Why::full;
  std::uint32_t retry_after_s = 0;  ///< where it is full
};

/// What a request wants.
struct Demand {
  ServiceIndex service;
  Priority priority = Priority::normal;
  MonoTime arrived = 0;
  MonoTime deadline = 0;
  const Affinity* affinity = nullptr;  ///< outlives its Ticket; null: none
};

/// Who waits for a slot. Its Ticket may be destroyed from inside either call.
class SlotWaiter {
 public:
  virtual void on_placed(Placement placement) = 0;
  virtual void on_refused(Refusal refusal) = 0;

 protected:
  ~SlotWaiter() = default;
};

/// A request that waits. Destroying it while it waits gives the place in the queue up.
class Ticket {
 public:
  Ticket() = default;
  Ticket(Ticket&& other) noexcept { swap(other); }
  Ticket& operator=(Ticket&& other) noexcept {
    Ticket(std::move(other)).swap(*this);
    return *this;
  }
  ~Ticket();

 private:
  friend class Dispatcher;
  Ticket(Dispatcher& dispatcher, std::uint64_t waiter) : dispatcher_(&dispatcher), waiter_(waiter) {}
  void swap(Ticket& other) noexcept {
    std::swap(dispatcher_, other.dispatcher_);
    std::swap(waiter_, other.waiter_);
  }

  Dispatcher* dispatcher_ = nullptr;
  std::uint64_t waiter_ = 0;
};

class Dispatcher {
 public:
  /// `table` and `slots` are this rank's, and outlive it; it outlives all Holds and Tickets.
  Dispatcher(Rank self, const EndpointTable& table, Slots& slots, AdmissionOutbox& outbox);
  Dispatcher(const Dispatcher&) = delete;
  Dispatcher& operator=(const Dispatcher&) = delete;

  using Decision = std::variant<Placement, Refusal, Ticket>;
  /// Chooses among all replicas but those in `avoid`, or waits. The service is known and `waiter` outlives its Ticket.
  Decision place(const Demand& demand, std::span<const ReplicaId> avoid, SlotWaiter& waiter, MonoTime now);
  /// The owner of a replica that it was sent to refused: waits in the queue, with the request's age.
  Decision wait(const Demand& demand, const ReplicaId& refused, SlotWaiter& waiter, MonoTime now);

  /// The table has changed in this service.
  void apply(const Service& service, MonoTime now);
  void on_grant(Rank from, const SlotGrant& grant, MonoTime now);
  /// What an owner said of a replica's load.
  void on_load(const ReplicaId& replica, const LoadReport& load, MonoTime now);
  void on_rank_lost(Rank rank);
  /// Refuses what is past its deadline. Returns when to call again, or 0.
  MonoTime tick(MonoTime now);

  std::uint32_t waiting(ServiceIndex service) const;
  std::uint32_t outstanding(const ReplicaId& replica) const;

 private:
  friend class Hold;
  friend class Ticket;
  /// About a replica of another rank.
  struct Belief {
    std::uint32_t mine = 0;    ///< started here and not over
    std::uint32_t others = 0;  ///< what the owner counted beyond these when it last spoke
    bool contended = false;
    bool closed = false;
    MonoTime told = 0;
  };
  struct Waiter {
    Demand demand;
    SlotWaiter* waiter = nullptr;
    std::uint64_t ticket = 0;    ///< of the last ask
    Rank asked = -1;             ///< -1: the home is lost and the next epoch names another
    MonoTime patient_until = 0;  ///< only `wanted` will do; 0: any replica
    ReplicaId wanted;
  };

  Policy& policy_of(const Service& service);
  std::span<const Candidate> candidates(const Service& service, std::span<const ReplicaId> avoid, MonoTime now);
  Placement started(const Demand& demand, const ReplicaId& replica, Rank owner, std::uint64_t reservation);
  Decision enqueue(const Demand& demand, const ReplicaId* wanted, SlotWaiter& waiter, MonoTime now);
  void ask(std::uint64_t key, Waiter& waiter, const Service& service, MonoTime now);
  void withdraw(const Waiter& waiter);
  Waiter take(std::uint64_t key);
  void finished(const ReplicaId& replica, Rank owner, std::uint64_t reservation);
  void cancel(std::uint64_t waiter);

  Rank self_;
  const EndpointTable& table_;
  Slots& slots_;
  AdmissionOutbox& outbox_;
  std::map<ServiceIndex, std::pair<PolicyKind, std::unique_ptr<Policy>>> policies_;
  std::vector<Candidate> candidates_;  ///< of the request being placed
  std::map<ReplicaId, Belief> beliefs_;
  std::map<std::uint64_t, Waiter> waiters_;         ///< by the number in their Ticket
  std::map<std::uint64_t, std::uint64_t> tickets_;  ///< of asks, to those numbers
  std::map<ServiceIndex, std::uint32_t> waiting_;
  std::set<std::pair<MonoTime, std::uint64_t>> deadlines_;
  std::set<Rank> lost_;
  std::uint64_t next_number_ = 1;
};

}  // namespace trireme::proxy
