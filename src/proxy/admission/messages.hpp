// What proxies say to each other to admit requests (docs/spec/admission.md). Plain values; all of the control class.
#pragma once

#include <cstdint>
#include <variant>
#include <vector>

#include "core/ids.hpp"

namespace trireme::proxy {

enum class Priority : std::uint8_t { high = 0, normal = 1, low = 2 };
constexpr std::size_t priorities = 3;

/// What a replica's owner says of its load.
struct LoadReport {
  std::uint32_t in_flight = 0;  ///< slots in use or reserved
  bool contended = false;       ///< no slot is given directly: ask the home
  bool closed = false;          ///< nobody is admitted at the moment, for its health or because it ends
  bool operator==(const LoadReport&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(in_flight, contended, closed);
  }
};

/// Ingress to home: wants a slot.
struct SlotAsk {
  std::uint64_t ticket = 0;
  ServiceIndex service;
  Priority priority = Priority::normal;
  std::uint32_t waited_ms = 0;  ///< since the request came in
  std::uint32_t left_ms = 0;    ///< until its deadline
  std::uint32_t wanted_ms = 0;  ///< for so long only `wanted` will do
  ReplicaId wanted{};
  bool operator==(const SlotAsk&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(ticket, service, priority, waited_ms, left_ms, wanted_ms, wanted);
  }
};

/// Ingress to home: the client has gone or its deadline has passed.
struct SlotCancel {
  std::uint64_t ticket = 0;
  ServiceIndex service;
  bool operator==(const SlotCancel&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(ticket, service);
  }
};

/// Home to ingress: the answer to an ask.
struct SlotGrant {
  enum class Verdict : std::uint8_t { granted, full, dead };
  std::uint64_t ticket = 0;
  Verdict verdict = Verdict::granted;
  ReplicaId replica;
  Rank owner = 0;
  std::uint64_t reservation = 0;  ///< to be used or returned
  std::uint32_t retry_after_s = 0;
  bool operator==(const SlotGrant&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(ticket, verdict, replica, owner, reservation, retry_after_s);
  }
};

/// Home to owner: requests wait; offer every slot of this replica that is or becomes free.
struct SlotWant {
  ReplicaId replica;
  bool operator==(const SlotWant&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(replica);
  }
};

/// Owner to home: these slots are reserved for whom you name.
struct SlotOffer {
  ReplicaId replica;
  std::vector<std::uint64_t> reservations;
  bool operator==(const SlotOffer&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(replica, reservations);
  }
};

/// Home or ingress to owner: these slots are not needed.
struct SlotReturn {
  ReplicaId replica;
  std::vector<std::uint64_t> reservations;
  bool no_waiters = false;  ///< from the home only: its queue is empty, give slots directly again
  bool operator==(const SlotReturn&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(replica, reservations, no_waiters);
  }
};

/// Owner to those who used its replicas lately.
struct Load {
  struct Entry {
    ReplicaId replica;
    LoadReport load;
    bool operator==(const Entry&) const = default;
    template <typename Archive>
    void serialize(Archive& archive) {
      archive(replica, load);
    }
  };
  std::vector<Entry> entries;
  bool operator==(const Load&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(entries);
  }
};

using AdmissionMessage = std::variant<SlotAsk, SlotCancel, SlotGrant, SlotWant, SlotOffer, SlotReturn, Load>;

/// Where messages go; to the own rank too, where they are delivered later, never from inside send(). Messages from one
/// rank to another arrive in order, each once, unless one of the two is lost.
class AdmissionOutbox {
 public:
  virtual void send(Rank to, AdmissionMessage message) = 0;

 protected:
  ~AdmissionOutbox() = default;
};

}  // namespace trireme::proxy
