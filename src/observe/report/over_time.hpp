// The numbers of a run over its time, for charts: what was in use, what ran and ended, and what services worked on.
//
// Pure. From the times of attempts and replicas, so as exact for a run of a second as for one of a month; requests from samples.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "observe/report/notes.hpp"
#include "observe/run_view.hpp"

namespace trireme::observe::report {

/// Means of bins of `bin_s` seconds; rates of ends of bins of `rate_bin_s`. Empty for a run of no length.
nlohmann::ordered_json over_time_json(const RunView& run, const Notes& notes, WallTime present);

}  // namespace trireme::observe::report
