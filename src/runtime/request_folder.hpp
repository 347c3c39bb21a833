// What must reach a live run from another host goes through a folder in its run directory (DESIGN section 6).
//
// A command writes RUN/requests/NAME.json whole (a temporary file, then a rename); rank 0 looks for them about twice a second,
// takes them in the order of their names and removes each. A request that wants an answer names the file for it, which is
// written the same way under RUN/requests/answers/ and removed by the one who asked, who also takes a request back that was not taken
// in time. services/python/trireme/_folder.py asks in the same way. There are no locks, so it works on parallel file systems. Who
// can write to the run directory may ask anything of the run.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.hpp"
#include "core/units.hpp"

namespace trireme {

/// A request to a run.
struct RunRequest {
  enum class Kind { drain, kill, call };
  Kind kind = Kind::drain;
  std::string reason;
  // Of a call: what `/runtime` takes.
  std::string method;
  std::string target;
  std::string body;
  std::string answer;    ///< name of the file that the answer goes to
  WallTime expires = 0;  ///< nobody waits for it any more
};

struct FolderAnswer {
  int status = 0;
  std::string body;
};

/// Leaves a request for the run in `run_dir`.
Status leave_request(const std::string& run_dir, const RunRequest& request);

/// Leaves a call and waits for its answer; an Error when there is none before the deadline.
Result<FolderAnswer> call_through_folder(const std::string& run_dir, std::string method, std::string target,
                                         std::string body, std::chrono::nanoseconds deadline);

/// Takes the requests that have come; files that are no request are removed and reported in `rejected`.
std::vector<RunRequest> take_requests(const std::string& run_dir, std::vector<std::string>& rejected);

/// Answers a call, in the file that it named.
Status leave_answer(const std::string& run_dir, const std::string& name, const FolderAnswer& answer);

}  // namespace trireme
