// A run as an instance in WfCommons' WfFormat 1.5: what depended on what, what each task took and where it ran.
#pragma once

#include <iosfwd>

#include "observe/run_view.hpp"

namespace trireme::observe {

/// Tasks that never ran have a runtime of 0. Ids in the instance are those of the run, as far as WfFormat's letters go.
/// Written task by task: a run of millions never stands in memory as text.
void write_wfformat(const RunView& view, std::ostream& out);

}  // namespace trireme::observe
