// All that a report tells of a run, as JSON (docs/spec/report.md). The page shows it, `trireme report --json` prints it.
//
// Pure. Everything is from the event log: a view and Notes that were both shown all events. Of bounded size, whatever the run's: what
// is listed has a bound, and says how much it leaves out.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "observe/report/notes.hpp"
#include "observe/run_view.hpp"

namespace trireme::observe::report {

/// `state` is the run's, as `trireme status` says it; what has not ended is told up to `present`. The notes are closed.
nlohmann::ordered_json report_json(const RunView& run, const Notes& notes, const std::string& state, WallTime present);

}  // namespace trireme::observe::report
