// All of admission on one rank: the table, the slots it owns, the queues that it is home of, and its dispatcher.
//
// Pure, and so the whole protocol can be run over a made-up network (docs/spec/admission.md). Belongs to the event
// loop.
#pragma once

#include <map>

#include "core/units.hpp"
#include "proxy/admission/dispatcher.hpp"
#include "proxy/admission/load_reporter.hpp"
#include "proxy/admission/messages.hpp"
#include "proxy/admission/service_queue.hpp"
#include "proxy/admission/slots.hpp"
#include "proxy/endpoints.hpp"

namespace trireme::proxy {

class Admission {
 public:
  Admission(Rank self, AdmissionOutbox& outbox);

  /// False if the epoch is older than what is known.
  bool apply(EndpointEpoch epoch, MonoTime now);
  void on_message(Rank from, const AdmissionMessage& message, MonoTime now);
  void on_rank_lost(Rank rank, MonoTime now);
  /// Does what time has made due. Returns when to call again, or 0.
  MonoTime tick(MonoTime now);
  /// tick() should be called soon: something has become due otherwise than by time.
  bool pending() const { return reporter_.pending() || slots_.pending(); }

  const EndpointTable& table() const { return table_; }
  Slots& slots() { return slots_; }
  const Slots& slots() const { return slots_; }
  LoadReporter& reporter() { return reporter_; }
  Dispatcher& dispatcher() { return dispatcher_; }
  const Dispatcher& dispatcher() const { return dispatcher_; }
  /// How many wait in the queue that this rank keeps for the service.
  std::size_t queued(ServiceIndex service) const;

 private:
  ServiceQueue& queue(ServiceIndex service, MonoTime now);

  Rank self_;
  AdmissionOutbox& outbox_;
  EndpointTable table_;
  Slots slots_;
  LoadReporter reporter_;
  Dispatcher dispatcher_;
  std::map<ServiceIndex, ServiceQueue> queues_;
};

}  // namespace trireme::proxy
