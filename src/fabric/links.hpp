// The links of a rank to the others: who still lives, what waits to be sent to whom, and the frames that carry it.
//
// Ties lanes (order, credit, chunks), the channel and the bells together; what messages mean is the fabric's affair. A rank with which
// a link is broken is not lost at once: it is listed until the fabric fetches it with take_broken(), so that nothing is torn away under
// a handler; until then nothing more is taken from it or sent to it. Belongs to the fabric's thread; nothing here blocks.
#pragma once

#include <mpi.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/ids.hpp"
#include "fabric/bells.hpp"
#include "fabric/channel.hpp"
#include "fabric/config.hpp"
#include "fabric/frame.hpp"
#include "fabric/inbox.hpp"
#include "fabric/outbox.hpp"

namespace trireme::fabric {

class Links {
 public:
  struct Broken {
    Rank rank = 0;
    std::string reason;
    bool told = false;  ///< by rank 0, which need not hear of it again
  };
  using OnHeard = std::function<void(Rank from)>;
  using OnMessage = std::function<void(Rank from, const RecordHeader& header, std::string_view payload)>;

  /// `stats` is the fabric's, and counts the frames.
  Links(MPI_Comm frames, Rank rank, Rank size, std::uint64_t incarnation, Bells bells, const FabricConfig& config,
        FabricStats& stats);

  bool is_lost(Rank rank) const { return lost_[index(rank)]; }
  /// No rank was ever lost.
  bool lossless() const { return view_ == 0; }
  /// Every other rank that is not lost.
  template <typename Each>
  void for_each_living(Each&& each) const {
    for (Rank other = 0; other < size_; ++other) {
      if (other != rank_ && !is_lost(other)) each(other);
    }
  }
  template <typename Test>
  bool all_living(Test&& test) const {
    bool all = true;
    for_each_living([&](Rank other) { all = all && test(other); });
    return all;
  }

  /// Puts a message in line for another rank. One that lets too much of class control pile up is broken with.
  void enqueue(Rank to, MessageClass message_class, MessageKind kind, std::string payload);
  /// Bytes that wait for that rank.
  std::size_t backlog(Rank to, MessageClass message_class) const;
  /// Tells of every frame that has arrived from a living rank, then of the messages that it completes.
  void receive(const OnHeard& on_heard, const OnMessage& on_message);
  /// Sends what may be sent; bulk within bounds. With `all_credit`, every credit that is owed too and not only when they are many.
  void flush(bool all_credit);
  /// flush() will look at all with whom anything was exchanged.
  void list_known();
  /// Looks after sends that are under way.
  void progress();
  /// Wakes that rank, where it is on this host.
  void ring(Rank rank);

  void break_with(Rank rank, std::string reason, bool told = false);
  std::vector<Broken> take_broken() { return std::exchange(broken_, {}); }
  /// That rank is named to MPI no more, and the view is numbered up.
  void lose(Rank rank);

  /// Something but heartbeats and credit has come in or gone out since the last call.
  bool take_news() { return std::exchange(news_, false); }
  /// All that was sent has been taken in.
  bool drained() const;
  /// Every rank can ring for this one, and MPI owes it nothing.
  bool will_be_rung() const;
  Doorbell* doorbell() { return bells_.own.get(); }
  /// Ends the receives; see FrameChannel::cancel().
  void cancel() { channel_.cancel(); }
  std::uint64_t mpi_errors() const { return channel_.errors(); }

 private:
  struct Peer {
    explicit Peer(const FabricConfig& config)
        : out{OutLane(config.frame_credits), OutLane(config.frame_credits)},
          in{InLane(config.frame_credits, config.max_message), InLane(config.frame_credits, config.max_message)} {}
    std::array<OutLane, message_classes> out;
    std::array<InLane, message_classes> in;
    bool listed = false;   ///< in to_flush_
    bool to_ring = false;  ///< something was sent that it should see at once
    bool broken = false;   ///< about to be lost
  };

  static std::size_t index(Rank rank) { return static_cast<std::size_t>(rank); }
  Peer& peer(Rank rank);
  void list(Rank rank);
  void take(const FrameChannel::Arrival& arrival, const OnHeard& on_heard, const OnMessage& on_message);
  bool send_frame(Rank to, MessageClass message_class);
  void send_credit(Rank to);
  void start_frame(Rank to, FrameWriter& frame, FrameChannel::Buffer buffer, FrameHeader header);
  void reap();

  FabricConfig config_;
  Rank rank_;
  Rank size_;
  std::uint64_t incarnation_;
  std::vector<std::unique_ptr<Peer>> peers_;  ///< made when first used
  std::vector<bool> lost_;
  std::uint32_t view_ = 0;
  Bells bells_;
  std::vector<Rank> to_flush_;
  std::vector<Broken> broken_;
  std::vector<Rank> failed_sends_;
  std::vector<Rank> owed_;
  bool news_ = false;
  FabricStats& stats_;
  FrameChannel channel_;
};

}  // namespace trireme::fabric
