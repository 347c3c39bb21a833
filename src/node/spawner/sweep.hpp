// Ending what a dead spawner left behind.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace trireme {

struct Swept {
  std::size_t killed = 0;
  bool clean = false;  ///< the last look found none
};

/// KILL to every process of this user, but the calling one, in whose starting environment all these NAME=value stand; looks
/// again until it finds none, at most for a few seconds. Each look walks /proc (some 20 µs for a process), so this is for the
/// day when the spawner died, not for the ordinary end of a task.
Swept sweep(std::span<const std::string> marks);

/// All that carries TRIREME_RUN_ID=`run_id`. On a host with several ranks of a run this ends the tasks of all of them; give
/// sweep() a mark of the rank as well to spare the others.
Swept sweep_run(std::string_view run_id);

}  // namespace trireme
