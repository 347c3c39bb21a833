// One rank of a run: its fabric, agent and proxy on one event loop, and on rank 0 the pilot.
//
// The thread that calls serve() owns all of it and makes all MPI calls. Messages are handed to the part that their kind
// belongs to; the pilot, which has a thread of its own, is reached through its inbox, and its batches come back by a post to
// the loop. A rank's life: join, serve until the pilot says that the run is over (or is lost), end what still runs, say
// goodbye.
#pragma once

#include <mpi.h>

#include <memory>
#include <string>

#include "core/run_info.hpp"
#include "journal/writer.hpp"
#include "runtime/bootstrap.hpp"
#include "runtime/config.hpp"
#include "runtime/pilot_edge.hpp"

namespace trireme {

/// How a rank's part in a run ended.
struct RankEnd {
  ExitCode code = ExitCode::done;
  bool clean = true;           ///< MPI_Finalize may be called
  std::string text;            ///< on rank 0: the summary for people
  std::string json;            ///< on rank 0: the content of summary.json
  std::optional<Error> error;  ///< why the runtime itself could not go on
};

class RankLoop {
 public:
  /// Collective over `comm`. `journal` is the run's log on rank 0 and null elsewhere.
  static Result<std::unique_ptr<RankLoop>> create(MPI_Comm comm, const Place& place, const RunConfig& config,
                                                  const RunInfo& info, std::unique_ptr<JournalWriter> journal);
  ~RankLoop();

  /// Where drivers submit; null beyond rank 0.
  PilotEdge* pilot();
  /// The unix socket of this rank's proxy.
  const std::string& proxy_socket() const;

  /// Serves until the run is over. Called once.
  RankEnd serve();

 private:
  class Impl;
  explicit RankLoop(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace trireme
