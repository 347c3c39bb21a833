// How a fabric comes to its end in order: the goodbyes (docs/spec/messages.md, "Goodbye").
//
// Pure; no MPI, no clock. A rank that has nothing more to send says goodbye to rank 0 once everything it sent was taken in;
// rank 0, once all have, says it to everyone; then nothing is under way to anybody, and requests may be cancelled and
// communicators freed. Where a rank was lost or the deadline has passed, the close is not clean: such calls could hang.
#pragma once

#include <cstdint>

#include "fabric/epochs.hpp"

namespace trireme::fabric {

class Closing {
 public:
  enum class Stage : std::uint8_t { open, draining, said_goodbye, closed };
  /// What the fabric is to do now.
  enum class Step : std::uint8_t { wait, say_goodbye, finish };
  /// What a step depends on.
  struct Facts {
    bool drained = false;          ///< all that was sent has been taken in
    bool lossless = true;          ///< no rank was ever lost
    bool epochs_over = false;      ///< on rank 0: every epoch is acknowledged, and the last broadcast may start
    bool goodbyes_in = false;      ///< on rank 0: of all living ranks; elsewhere: of rank 0
    bool broadcasts_over = false;  ///< the last broadcast has come and gone
    bool pilot_lost = false;
  };

  explicit Closing(bool pilot) : pilot_(pilot) {}

  /// The first deadline counts.
  void begin(SteadyTime deadline);
  Step step(SteadyTime now, const Facts& facts);

  Stage stage() const { return stage_; }
  bool may_send() const { return stage_ <= Stage::draining; }
  bool begun() const { return stage_ != Stage::open; }
  bool closed() const { return stage_ == Stage::closed; }
  /// Once closed.
  bool clean() const { return clean_; }

 private:
  Step finish(bool clean);

  bool pilot_;
  Stage stage_ = Stage::open;
  SteadyTime deadline_;
  bool clean_ = false;
};

}  // namespace trireme::fabric
