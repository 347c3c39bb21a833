// Everything that leaves the pilot goes through this interface: the real one sends, writes and broadcasts; the tests' one
// keeps what it was given, so that they can assert the exact messages and that none is left over.
#pragma once

#include <span>

#include "core/endpoint.hpp"
#include "core/events.hpp"
#include "core/messages.hpp"
#include "core/task_family.hpp"

namespace trireme::pilot {

/// The order to start a part of an attempt. The task is written out only where it is wanted.
struct StartOrder {
  AttemptId id;
  std::uint32_t first_rank = 0;
  std::uint32_t local_ranks = 1;
  const TaskFamily& family;
  std::uint32_t instance = 0;
  std::span<const RankBlock> layout;  ///< of an MPI task
  bool ahead = false;                 ///< of its turn

  StartTask message() const {
    return {.id = id,
            .first_rank = first_rank,
            .local_ranks = local_ranks,
            .task = family.instance(instance),
            .layout = {layout.begin(), layout.end()},
            .ahead = ahead};
  }
};

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
