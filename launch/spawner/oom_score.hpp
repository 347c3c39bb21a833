// Whom the kernel ends first where memory runs out: a task, and not the runtime.
//
// A process inherits its score, so the spawner has the task's for the moment in which it makes one. That is two writes to an
// open file, where a child that set its own had to look it up and open it. Anyone may raise his score and take that back.
#pragma once

#include <string>

namespace trireme::spawner {

class OomScore {
 public:
  OomScore();
  ~OomScore();
  OomScore(const OomScore&) = delete;
  OomScore& operator=(const OomScore&) = delete;

  /// From here on, what this process starts is a task of that score. Best effort: it may be forbidden.
  void raise();
  /// This process has the score again that it had at first.
  void restore();

 private:
  int file_ = -1;  ///< none where there is nothing to raise
  std::string own_;
};

}  // namespace trireme::spawner
