// What waits to be sent to one peer in one class, and how much of it may be sent.
//
// Pure; no MPI. A lane hands out frames while fewer than `credits` of them are unacknowledged; the
// rest waits. The peer says how many frames it has taken in since the start (a wrapping counter, so
// a repeated or late word does no harm).
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

#include "fabric/frame.hpp"

namespace trireme::fabric {

class OutLane {
 public:
  explicit OutLane(std::uint32_t credits) : credits_(credits) {}

  void push(MessageKind kind, std::string payload);
  /// Bytes that wait, with what their headers will take.
  std::size_t backlog() const { return backlog_; }
  bool can_send() const { return !queue_.empty() && in_flight() < credits_; }
  std::uint32_t in_flight() const { return sent_ - taken_; }
  /// Nothing waits and the peer has taken in everything.
  bool drained() const { return queue_.empty() && in_flight() == 0; }

  /// Packs as much as fits into the frame and returns the frame's sequence number; call it when
  /// can_send().
  std::uint32_t fill(FrameWriter& frame, Rank source, Rank destination);
  /// The peer has taken in `taken` frames; false if it claims more than were sent.
  bool acknowledge(std::uint32_t taken);

 private:
  struct Message {
    MessageKind kind;
    std::string payload;
    std::size_t offset = 0;
  };
  std::uint32_t credits_;
  std::uint32_t sent_ = first_sequence;
  std::uint32_t taken_ = first_sequence;
  std::size_t backlog_ = 0;
  std::deque<Message> queue_;
};

}  // namespace trireme::fabric
