// Frames over MPI, point to point: receives that are always open, sends that own their buffers.
//
// The edge to MPI; it knows nothing of what frames hold. Nothing here blocks, except cancel() for
// as long as MPI takes to give up receives that nobody will match. Requests that are stuck with a
// lost rank are never tested again, and their buffers are kept for MPI to write to or read from:
// that is why the destructor gives up buffers instead of freeing them, unless cancel() has been
// called.
#pragma once

#include <mpi.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "core/ids.hpp"
#include "fabric/frame.hpp"

namespace trireme::fabric {

class FrameChannel {
 public:
  using Buffer = std::unique_ptr<char[]>;
  struct Arrival {
    Rank from = 0;
    MessageClass message_class{};
    std::string_view bytes;
  };

  FrameChannel(MPI_Comm comm, std::size_t frame_bytes, std::size_t receives_per_class);
  ~FrameChannel();
  FrameChannel(const FrameChannel&) = delete;
  FrameChannel& operator=(const FrameChannel&) = delete;

  /// Opens more receives of each class.
  void add_receives(std::size_t per_class);

  /// Calls `on_frame(Arrival)` for each frame that has arrived, control first; returns how many.
  template <typename OnFrame>
  std::size_t receive(OnFrame&& on_frame) {
    const std::span<const std::size_t> arrived = test_receives();
    for (const std::size_t slot : arrived) {
      on_frame(Arrival{
          receives_[slot].from, receives_[slot].message_class, {receives_[slot].buffer.get(), receives_[slot].length}});
      open(slot);
    }
    return arrived.size();
  }

  /// A buffer of frame_bytes for send().
  Buffer buffer();
  std::size_t frame_bytes() const { return frame_bytes_; }
  /// Starts sending. False if MPI reports an error for `to`. Between two sends to one rank there must be a progress().
  [[nodiscard]] bool send(Rank to, MessageClass message_class, Buffer buffer, std::size_t length);
  /// Lets MPI work, whatever is complete already (a test that finds something complete may not). When a connection breaks
  /// under a send, the TCP of Open MPI 4 leaves an event behind that its next progress clears away; a second send before
  /// that ties its list of events into a ring, in which this rank would be caught for ever.
  void progress();
  /// Gives back the buffers of finished sends; ranks for which MPI reported an error are added to
  /// `failed`. Returns how many have finished.
  std::size_t reap(std::vector<Rank>& failed);
  std::size_t sends_pending() const { return send_requests_.size(); }
  /// Those to which a send is under way that MPI moves on only while this rank looks.
  template <typename Each>
  void each_owed(Each&& each) const {
    for (const Send& send : sends_) each(send.to);
  }

  /// Leaves alone what is on its way to `rank`.
  void abandon(Rank rank);
  /// Ends the receives. Only when no rank is lost and nothing is on the way any more.
  void cancel();

  std::uint64_t errors() const { return errors_; }

 private:
  struct Receive {
    MessageClass message_class{};
    Buffer buffer;
    Rank from = 0;
    std::size_t length = 0;
  };
  struct Send {
    Rank to = 0;
    Buffer buffer;
  };
  void open(std::size_t slot);
  std::span<const std::size_t> test_receives();

  MPI_Comm comm_;
  std::size_t frame_bytes_;
  // Requests and what belongs to them have the same index; MPI wants the requests in one array.
  std::vector<MPI_Request> receive_requests_;
  std::vector<Receive> receives_;
  std::vector<MPI_Request> send_requests_;
  std::vector<Send> sends_;
  std::vector<int> indices_;
  std::vector<MPI_Status> statuses_;
  std::vector<std::size_t> arrived_;
  std::vector<Buffer> spare_;
  std::vector<Buffer> abandoned_;
  std::uint64_t errors_ = 0;
  bool cancelled_ = false;
};

}  // namespace trireme::fabric
