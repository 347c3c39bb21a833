#include "fabric/closing.hpp"

namespace trireme::fabric {

void Closing::begin(SteadyTime deadline) {
  if (begun()) return;
  stage_ = Stage::draining;
  deadline_ = deadline;
}

Closing::Step Closing::step(SteadyTime now, const Facts& facts) {
  if (!begun() || closed()) return Step::wait;
  if (now >= deadline_) return finish(false);
  if (!facts.drained) return Step::wait;
  if (stage_ == Stage::said_goodbye) {
    const bool last_word = pilot_ || facts.goodbyes_in;
    const bool nothing_comes = facts.broadcasts_over || !facts.lossless;
    return last_word && nothing_comes ? finish(facts.lossless) : Step::wait;
  }
  if (facts.pilot_lost) return finish(false);
  if (pilot_ && !(facts.epochs_over && facts.goodbyes_in)) return Step::wait;
  stage_ = Stage::said_goodbye;
  return Step::say_goodbye;
}

Closing::Step Closing::finish(bool clean) {
  stage_ = Stage::closed;
  clean_ = clean;
  return Step::finish;
}

}  // namespace trireme::fabric
