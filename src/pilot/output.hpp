// Everything that leaves the pilot goes through this interface: the real one sends, writes and broadcasts; the tests' one
// keeps what it was given, so that they can assert the exact messages and that none is left over.
#pragma once

#include "core/endpoint.hpp"
#include "core/events.hpp"
#include "core/messages.hpp"
#include "core/start_order.hpp"

namespace trireme::pilot {

class Output {
 public:
  virtual ~Output() = default;
  virtual void send(Rank to, ToAgent message) = 0;
  /// The same for the most frequent message.
  virtual void start_task(Rank to, const StartOrder& order) { send(to, order.message()); }
  /// An event for the log; the edge gives it its time.
  virtual void record(EventBody event) = 0;
  /// What all ranks shall know of a service from now on. The edge collects these into epochs.
  virtual void publish(ServiceEndpoint service) = 0;
};

}  // namespace trireme::pilot
