// Epochs by non-blocking MPI broadcast from rank 0, on a communicator of their own.
//
// The edge to MPI. Rank 0 starts one broadcast at a time; every other rank has the next one's first
// part open always. What comes or goes is a batch of epochs as bytes. After abandon() no MPI call
// is made and the buffers stay as they are.
#pragma once

#include <mpi.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace trireme::fabric {

class EpochBroadcast {
 public:
  struct Config {
    std::uint64_t incarnation = 0;
    std::size_t first_bytes = 0;  ///< of the first part, header and all; the same on all ranks
    std::size_t max_bytes = 0;    ///< of a batch
  };
  EpochBroadcast(MPI_Comm comm, bool root, const Config& config);
  ~EpochBroadcast();
  EpochBroadcast(const EpochBroadcast&) = delete;
  EpochBroadcast& operator=(const EpochBroadcast&) = delete;

  /// On rank 0: a broadcast may be started.
  bool ready() const { return !in_progress_ && !closed_ && !abandoned_; }
  /// On rank 0. `last` tells the others that no more will come.
  void start(std::string batch, bool last);
  /// Moves things on. On the other ranks calls `on_batch` for a batch that is complete. True if
  /// anything was completed.
  bool progress(const std::function<void(std::string_view batch)>& on_batch);

  /// The last broadcast is over, here.
  bool closed() const { return closed_ && !in_progress_; }
  void abandon() { abandoned_ = true; }

 private:
  struct Buffers {
    std::string first;
    std::string rest;
  };
  void open();
  void begin(std::string& part, MPI_Request& request);

  MPI_Comm comm_;
  bool root_;
  Config config_;
  std::unique_ptr<Buffers> buffers_;
  MPI_Request first_request_ = MPI_REQUEST_NULL;
  MPI_Request rest_request_ = MPI_REQUEST_NULL;
  bool has_rest_ = false;
  bool in_progress_ = false;
  bool closed_ = false;
  bool abandoned_ = false;
};

}  // namespace trireme::fabric
