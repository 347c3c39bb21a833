// A run as an instance in WfCommons' WfFormat 1.5: what depended on what, what each task took and where it ran.
#pragma once

#include <string>

#include "observe/run_view.hpp"

namespace trireme::observe {

/// Tasks that never ran have a runtime of 0. Ids in the instance are those of the run, as far as WfFormat's letters go.
std::string wfformat_json(const RunView& view);

}  // namespace trireme::observe
