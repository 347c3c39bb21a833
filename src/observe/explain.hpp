// Why a task waits, failed or was skipped, from the events alone. Pure; reading the task's own output is the caller's part.
#pragma once

#include <string>
#include <vector>

#include "observe/run_view.hpp"

namespace trireme::observe {

/// One thing that a task waits for or that ended it.
struct Cause {
  enum class Kind : std::uint8_t { task, service, resources, run };
  Kind kind = Kind::task;
  std::string name;    ///< of the task, service or node; empty for `run`
  std::string detail;  ///< "is running", "needs 4 cores; node 0 (n000) has 2 cores free"
};
std::string_view to_string(Cause::Kind kind);

struct Explanation {
  std::string headline;       ///< "train[seed=1] waits for 2 of the tasks that it comes after"
  std::vector<Cause> causes;  ///< at most a few of each kind; the headline counts them all
  /// How its attempts went, one line each.
  std::vector<std::string> attempts;
};

Explanation explain(const RunView& run, const TaskRecord& task);

}  // namespace trireme::observe
