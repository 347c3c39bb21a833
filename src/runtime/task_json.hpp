// Tasks and services as `/runtime` shows them (docs/spec/http.md).
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "core/run_info.hpp"
#include "observe/run_view.hpp"
#include "pilot/pilot.hpp"

namespace trireme {

nlohmann::ordered_json task_json(const pilot::Pilot& pilot, const observe::RunView& view, const RunInfo& info,
                                 TaskIndex task);
nlohmann::ordered_json service_json(const observe::ServiceRecord& service);
/// JSON as text; what is no UTF-8 is replaced.
std::string dump(const nlohmann::ordered_json& json);

}  // namespace trireme
