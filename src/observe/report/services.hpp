// The services of a run: how their replicas came to be there, and how their requests fared.
//
// Pure. Bounded by defaults::report_services and defaults::report_replicas.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "observe/report/notes.hpp"
#include "observe/run_view.hpp"

namespace trireme::observe::report {

/// {"rows": […], "more"}
nlohmann::ordered_json services_json(const RunView& run, const Notes& notes);

}  // namespace trireme::observe::report
