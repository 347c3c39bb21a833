// The tasks of a run by name: how many came to which end, how long they waited and ran, and what they made of what they had.
//
// Pure. In time proportional to the tasks; the JSON is bounded by defaults::report_task_names.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>

#include "observe/run_view.hpp"

namespace trireme::observe::report {

/// From its first part's start to the end of the last one; up to `present` while one still runs. One that never ran has no length.
struct AttemptTimes {
  WallTime ready = 0;  ///< 0: not known
  WallTime started = 0;
  WallTime ended = 0;
  bool over = true;
  bool lost = false;  ///< cut off with its node or with the run
};

/// Calls `visit` for each attempt that ran.
void each_attempt(const TaskRecord& task, WallTime present, const std::function<void(const AttemptTimes&)>& visit);

/// {"rows": […], "more", "all": {…}}
nlohmann::ordered_json tasks_json(const RunView& run, WallTime present);

}  // namespace trireme::observe::report
