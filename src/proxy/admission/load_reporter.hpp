// Tells other ranks how loaded this rank's replicas are: those that used a service here lately, when the load of one of its
// replicas has changed, at most one message per rank in an interval. So they know a change within that interval and the
// message's way.
//
// Pure: messages go to an AdmissionOutbox, time is an argument. Belongs to the event loop.
#pragma once

#include <map>
#include <set>

#include "core/units.hpp"
#include "proxy/admission/messages.hpp"
#include "proxy/admission/slots.hpp"

namespace trireme::proxy {

class LoadReporter {
 public:
  LoadReporter(const Slots& slots, AdmissionOutbox& outbox) : slots_(slots), outbox_(outbox) {}

  /// A request for the service came from that rank.
  void used(Rank by, ServiceIndex service, MonoTime now);
  /// The replica's load is another than before.
  void changed(const ReplicaId& replica);
  /// Sends what is due. Returns when to call again, or 0 when there is nothing to tell.
  MonoTime tick(MonoTime now);
  /// Something waits to be told, so tick() should be called.
  bool pending() const { return !changed_.empty(); }
  void on_rank_lost(Rank rank) { peers_.erase(rank); }

 private:
  struct Peer {
    std::map<ServiceIndex, MonoTime> used;
    std::set<ReplicaId> untold;
    MonoTime told = 0;
  };
  const Slots& slots_;
  AdmissionOutbox& outbox_;
  std::map<Rank, Peer> peers_;
  std::set<ReplicaId> changed_;
};

}  // namespace trireme::proxy
