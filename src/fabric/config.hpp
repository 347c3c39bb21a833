// What a fabric is told, and what it counts.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/defaults.hpp"
#include "core/units.hpp"

namespace trireme {

struct FabricConfig {
  std::size_t frame_bytes = defaults::frame_bytes;
  std::uint32_t frame_credits = defaults::frame_credits;
  std::size_t max_message = defaults::max_message;
  std::size_t control_backlog = defaults::control_backlog;
  std::size_t epoch_inline = defaults::epoch_inline;
  Duration heartbeat_every = defaults::heartbeat_every;
  Duration heartbeat_lost = defaults::heartbeat_lost;
  Duration epoch_repair_after = defaults::epoch_repair_after;
};

struct FabricStats {
  std::uint64_t frames_sent = 0;
  std::uint64_t frames_received = 0;
  std::uint64_t bytes_sent = 0;
  std::uint64_t bytes_received = 0;
  std::uint64_t messages_sent = 0;
  std::uint64_t messages_received = 0;
  std::uint64_t credit_frames = 0;      ///< of frames_sent: those that only return credit
  std::uint64_t frames_mismatched = 0;  ///< dropped: another version or incarnation
  std::uint64_t frames_from_lost = 0;   ///< dropped: their sender is lost
  std::uint64_t messages_refused = 0;   ///< not sent: longer than max_message, or after the goodbye
  std::uint64_t broadcasts = 0;
  std::uint64_t epochs_repaired = 0;  ///< messages that brought epochs point to point
  std::uint64_t mpi_errors = 0;
};

}  // namespace trireme
