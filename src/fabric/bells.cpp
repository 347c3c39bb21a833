#include "fabric/bells.hpp"

namespace trireme::fabric {

Bells hang_bells(MPI_Comm comm, Rank rank, Rank size) {
  Bells bells{Doorbell::make(), {}, false};
  bells.of.resize(static_cast<std::size_t>(size));
  struct Entry {
    Rank rank = 0;
    BellAddress address;
  } self{rank, bells.own ? bells.own->address() : BellAddress{}};
  MPI_Comm host = MPI_COMM_NULL;
  int on_host = 0;
  if (MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &host) != MPI_SUCCESS) return bells;
  MPI_Comm_size(host, &on_host);
  std::vector<Entry> entries(static_cast<std::size_t>(on_host));
  bool all = MPI_Allgather(&self, sizeof self, MPI_BYTE, entries.data(), sizeof self, MPI_BYTE, host) == MPI_SUCCESS;
  for (const Entry& entry : entries) {
    if (!all || entry.rank == rank) continue;
    auto& bell = bells.of[static_cast<std::size_t>(entry.rank)];
    bell = BellPull::open(entry.address);
    all = bell.has_value();
  }
  const int mine = all && on_host == size ? 1 : 0;
  int least = 0;
  bells.everywhere = MPI_Allreduce(&mine, &least, 1, MPI_INT, MPI_MIN, comm) == MPI_SUCCESS && least == 1;
  MPI_Comm_free(&host);
  return bells;
}

}  // namespace trireme::fabric
