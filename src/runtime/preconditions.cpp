#include "runtime/preconditions.hpp"

#include "node/spawner/locate.hpp"
#include "runtime/log.hpp"

namespace trireme {
namespace {

Error misuse(std::string what, std::string hint) {
  return {std::move(what), "", std::move(hint), ExitCode::usage};
}

}  // namespace

Status check_mpi(MPI_Comm comm) {
  int yes = 0;
  MPI_Initialized(&yes);
  if (yes == 0) return misuse("MPI is not initialised", "call MPI_Init_thread with MPI_THREAD_FUNNELED first");
  MPI_Finalized(&yes);
  if (yes != 0) return misuse("MPI has been finalised", "a run must end before MPI_Finalize");
  if (comm == MPI_COMM_NULL) {
    return misuse("this rank is not in the communicator: it is MPI_COMM_NULL", "call run() on its ranks alone");
  }
  MPI_Comm_test_inter(comm, &yes);
  if (yes != 0)
    return misuse("the runtime needs one group of ranks, and this is an intercommunicator",
                  "merge it with MPI_Intercomm_merge, or give the communicator of one side");
  int level = MPI_THREAD_SINGLE;
  MPI_Query_thread(&level);
  MPI_Is_thread_main(&yes);
  if (level < MPI_THREAD_SERIALIZED && yes == 0) {
    return misuse("only the thread that initialised MPI may call it, and so run()",
                  "call run() there, or initialise MPI with MPI_THREAD_MULTIPLE");
  }
  return {};
}

Status check_rank(const RunConfig& config) {
  int level = MPI_THREAD_SINGLE;
  MPI_Query_thread(&level);
  if (level < MPI_THREAD_FUNNELED) {
    return misuse("MPI was initialised for programs of one thread (MPI_THREAD_SINGLE), and the runtime has several",
                  "call MPI_Init_thread with MPI_THREAD_FUNNELED instead of MPI_Init");
  }
  if (!is_log_level(config.log_level)) {
    return misuse("\"" + config.log_level + "\" is no log level", "it is trace, debug, info, warn, error or off");
  }
  // Found missing later, it would be a rank's that the others have begun to serve with.
  auto spawner = locate_companion("trireme-spawner", "TRIREME_SPAWNER");
  return spawner ? Status{} : Status{spawner.error()};
}

}  // namespace trireme
