// What must reach a live run from another host goes through a folder in its run directory (DESIGN section 6).
//
// A command writes RUN/requests/NAME.json whole (a temporary file, then a rename); rank 0 looks for them about twice a second,
// takes them in the order of their names and removes each. There are no locks, so it works on parallel file systems.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/result.hpp"

namespace trireme {

/// A request to a run.
struct RunRequest {
  enum class Kind { drain, kill };
  Kind kind = Kind::drain;
  std::string reason;
};

/// Leaves a request for the run in `run_dir`.
Status leave_request(const std::string& run_dir, const RunRequest& request);

/// Takes the requests that have come; files that are no request are removed and reported in `rejected`.
std::vector<RunRequest> take_requests(const std::string& run_dir, std::vector<std::string>& rejected);

}  // namespace trireme
