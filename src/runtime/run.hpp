// A whole run on the ranks of a communicator: what the command line and the public API have in common.
#pragma once

#include <mpi.h>

#include <functional>
#include <optional>
#include <string>

#include "core/result.hpp"
#include "runtime/config.hpp"
#include "runtime/pilot_edge.hpp"

namespace trireme {

/// What the driver of a run, on rank 0 and in a thread of its own, works with.
struct DriverContext {
  PilotEdge& pilot;
  const std::string& run_dir;
  const std::string& folder;  ///< that relative paths are meant from
  const std::string& proxy_socket;
  const std::string& token;
};

/// How a run ended, on each rank.
struct RunEnd {
  ExitCode code = ExitCode::done;
  std::string run_dir;
  std::string text;            ///< on rank 0: the summary for people
  std::string json;            ///< on rank 0: the content of summary.json
  std::optional<Error> error;  ///< why the runtime itself could not go on
  bool clean = true;           ///< MPI_Finalize may be called
};

/// Collective over `comm`. `prepare` is called on rank 0 alone, before anything else; it completes the config, and its error is
/// every rank's. `drive` is called on rank 0 when all nodes have joined; when it has returned, the run ends once all that was
/// submitted has ended. An Error says that the run did not begin.
Result<RunEnd> run_on(MPI_Comm comm, RunConfig config, const std::function<Status(RunConfig&)>& prepare,
                      const std::function<Status(DriverContext&)>& drive);

}  // namespace trireme
