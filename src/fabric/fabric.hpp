// The fabric of one rank: messages, epochs and the liveness of ranks over MPI.
//
// It belongs to the rank's event-loop thread, which is MPI's one thread; nothing is global, so a
// process may have several fabrics, each over its own communicator. Only create() blocks. All that
// happens is told from inside poll(); the handler may call anything here but poll().
// docs/spec/messages.md is the contract.
//
// The parts: frame (layout), outbox and inbox (order, credit, chunks), epochs, liveness, closing are pure; channel and broadcast are
// the edge to MPI, doorbell wakes ranks of this host; links ties together what carries messages between two ranks, and fabric.cpp the rest.
#pragma once

#include <mpi.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "core/defaults.hpp"
#include "core/result.hpp"
#include "core/units.hpp"
#include "fabric/config.hpp"
#include "fabric/doorbell.hpp"
#include "fabric/transport.hpp"

namespace trireme {

class Fabric final : public Transport {
 public:
  /// Collective over `comm`, which stays the caller's: the fabric works on duplicates. All ranks
  /// must give the same config.
  static Result<std::unique_ptr<Fabric>> create(MPI_Comm comm, const FabricConfig& config = {});
  /// Makes no MPI call. After anything but a clean close, buffers that MPI may still use are left
  /// to it.
  ~Fabric() override;

  Rank rank() const override;
  Rank size() const override;
  void send(Rank to, MessageClass message_class, MessageKind kind, std::string payload) override;
  std::size_t backlog(Rank to, MessageClass message_class) const override;
  bool is_lost(Rank rank) const override;

  /// On rank 0: gives the epoch its number and brings it to every rank, this one too.
  std::uint64_t publish(std::string payload);

  /// Moves everything on and tells the handler what has happened. Never blocks. Returns whether
  /// anything happened that more may follow on: heartbeats alone are nothing.
  bool poll(TransportHandler& handler);

  /// What ends a sleep when a rank of this host sends; null where there is none. answer() it, then poll().
  fabric::Doorbell* doorbell();
  /// Whatever may come now comes with a ring: all ranks are on one host, and MPI owes this rank nothing.
  bool will_be_rung() const;

  /// This rank has nothing more to send. To be called on every rank, followed by poll() until
  /// closed().
  void begin_close(Duration deadline = defaults::finalize_deadline);
  bool closed() const;
  /// Once closed: everything was delivered everywhere and MPI_Finalize may be called. Otherwise a
  /// rank was lost or the deadline passed, and the process should end without MPI_Finalize.
  bool clean() const;

  /// When something came from that rank last; the beginning, if nothing ever did.
  std::chrono::steady_clock::time_point last_heard(Rank rank) const;
  /// Rank 0 has heard this rank at this time or later, by this rank's clock: what leases count from.
  std::chrono::steady_clock::time_point heard_by_pilot() const;

  FabricStats stats() const;

 private:
  class Impl;
  explicit Fabric(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace trireme
