// Making one child.
//
// The child is cloned with CLONE_VM and CLONE_VFORK onto a stack of its own: nothing is copied, the spawner stands still until
// the child has called exec or given up, and a failure reaches the spawner through the memory that both share, so that it
// cannot be confused with what the program itself returns. All that needs memory (paths to try, argument vectors, masks) is
// made before; between clone and exec the child makes system calls and nothing else. It inherits the spawner's default signal
// dispositions, so only the mask has to be emptied; every descriptor of the spawner beyond its stdio closes at exec. It inherits
// its cores too, and its score: the spawner takes both for the moment. (A child that moved itself had to wait for its first turn
// on the other core while the spawner waited for it: on a busy machine that was three times slower.)
//
// It leads a process group and no session: a session would cost it a scheduling group of the kernel's own, made and torn down
// with it, which is a tenth of what a small program costs in all.
#pragma once

#include <sys/types.h>

#include <variant>
#include <vector>

#include "launch/spawner/oom_score.hpp"
#include "launch/spawner/protocol.hpp"

namespace trireme::spawner {

/// Starts children; owns the stack that they begin on.
class Launcher {
 public:
  Launcher();
  ~Launcher();
  Launcher(const Launcher&) = delete;
  Launcher& operator=(const Launcher&) = delete;

  /// The pid of the process, which is also its process group; or why there is none.
  std::variant<pid_t, Failed> launch(const Spawn& spawn);

  struct Plan;  ///< of one child; child.cpp alone knows it

 private:
  pid_t make_process(Plan& plan);

  char* stack_ = nullptr;
  OomScore oom_score_;
  std::vector<unsigned long> all_cores_;  ///< the spawner's own mask, which it has outside of launch()
};

}  // namespace trireme::spawner
