#include "fabric/fabric.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <deque>
#include <limits>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "fabric/bells.hpp"
#include "fabric/broadcast.hpp"
#include "fabric/channel.hpp"
#include "fabric/closing.hpp"
#include "fabric/epochs.hpp"
#include "fabric/frame.hpp"
#include "fabric/inbox.hpp"
#include "fabric/liveness.hpp"
#include "fabric/outbox.hpp"

namespace trireme {

using namespace fabric;

namespace {

constexpr std::uint16_t first_foreign_kind = 16;
constexpr std::size_t repair_bytes = 1u << 20;
constexpr std::size_t epoch_overhead = 64;
constexpr auto classes = std::array{MessageClass::control, MessageClass::bulk};

bool only_heartbeats(std::string_view records) {
  RecordReader reader(records);
  std::string_view chunk;
  while (!reader.at_end()) {
    const auto header = reader.next(chunk);
    if (!header || header->kind != MessageKind::heartbeat) return false;
  }
  return true;
}

template <typename T>
std::string bytes_of(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

template <typename T>
std::optional<T> value_of(std::string_view& bytes) {
  T value{};
  if (bytes.size() < sizeof value) return std::nullopt;
  std::memcpy(&value, bytes.data(), sizeof value);
  bytes.remove_prefix(sizeof value);
  return value;
}

std::string mpi_text(int rc) {
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(rc, text.data(), &length);
  return {text.data(), static_cast<std::size_t>(length)};
}

std::uint64_t draw_incarnation() {
  std::random_device source;
  return (std::uint64_t{source()} << 32) | source();
}

}  // namespace

class Fabric::Impl {
 public:
  Impl(MPI_Comm frames, MPI_Comm epochs, Rank rank, Rank size, std::uint64_t incarnation, Bells bells,
       const FabricConfig& config)
      : config_(config),
        frames_comm_(frames),
        epochs_comm_(epochs),
        rank_(rank),
        size_(size),
        incarnation_(incarnation),
        now_(std::chrono::steady_clock::now()),
        heard_(static_cast<std::size_t>(size), now_),
        heard_by_pilot_(now_),
        peers_(static_cast<std::size_t>(size)),
        lost_(static_cast<std::size_t>(size), false),
        bells_(std::move(bells)),
        closing_(rank == pilot_rank),
        watch_(config.heartbeat_every, config.heartbeat_lost, now_),
        log_(size),
        channel_(frames, config.frame_bytes, std::min(defaults::frame_receives, config.frame_credits)),
        broadcast_(epochs, rank == pilot_rank,
                   {.incarnation = incarnation, .first_bytes = config.epoch_inline, .max_bytes = config.max_message}) {
    if (is_pilot()) {
      for_each_living([this](Rank other) { watch_.watch(other, now_); });
    } else {
      watch_.watch(pilot_rank, now_);
    }
  }

  Rank rank() const { return rank_; }
  Rank size() const { return size_; }
  bool is_lost(Rank rank) const { return lost_[index(rank)]; }
  bool closed() const { return closing_.closed(); }
  bool clean() const { return closing_.clean(); }
  SteadyTime last_heard(Rank rank) const { return heard_[index(rank)]; }
  SteadyTime heard_by_pilot() const { return is_pilot() ? std::chrono::steady_clock::now() : heard_by_pilot_; }

  void send(Rank to, MessageClass message_class, MessageKind kind, std::string payload) {
    assert(to >= 0 && to < size_);
    if (is_lost(to)) return;
    if (payload.size() > config_.max_message || !closing_.may_send()) {
      ++stats_.messages_refused;
      return;
    }
    ++stats_.messages_sent;
    if (to == rank_) {
      own_backlog_[index_of(message_class)] += payload.size();
      own_messages_.push_back({message_class, kind, std::move(payload)});
      return;
    }
    enqueue(to, message_class, kind, std::move(payload));
  }

  std::size_t backlog(Rank to, MessageClass message_class) const {
    if (to == rank_) return own_backlog_[index_of(message_class)];
    const auto& peer = peers_[index(to)];
    return peer ? peer->out[index_of(message_class)].backlog() : 0;
  }

  std::uint64_t publish(std::string payload) {
    assert(is_pilot());
    if (payload.size() + epoch_overhead > config_.max_message || !closing_.may_send()) {
      ++stats_.messages_refused;
      return 0;
    }
    own_epochs_.push_back(payload);
    return log_.publish(std::move(payload), std::chrono::steady_clock::now());
  }

  bool poll(TransportHandler& handler);

  Doorbell* doorbell() { return bells_.own.get(); }
  bool will_be_rung() const {
    bool owes = !to_flush_.empty() || !own_messages_.empty() || !own_epochs_.empty() || closing_.begun() ||
                (is_pilot() && lossless() && !broadcast_.ready());
    channel_.each_owed([&](Rank) { owes = true; });
    return bells_.everywhere && !owes;
  }

  void begin_close(Duration deadline) {
    if (closing_.begun()) return;
    closing_.begin(std::chrono::steady_clock::now() + deadline);
    for_each_living([this](Rank other) {
      if (peers_[index(other)]) list(other);
    });
  }

  FabricStats stats() const {
    FabricStats stats = stats_;
    stats.mpi_errors = channel_.errors();
    return stats;
  }

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
    bool said_goodbye = false;
    SteadyTime::rep stamp = 0;  ///< on rank 0: of its last heartbeat, by its own clock
  };
  struct OwnMessage {
    MessageClass message_class;
    MessageKind kind;
    std::string payload;
  };
  struct Loss {
    Rank rank;
    std::string reason;
    bool told = false;  ///< by rank 0, which need not hear of it again
  };

  static std::size_t index(Rank rank) { return static_cast<std::size_t>(rank); }
  bool is_pilot() const { return rank_ == pilot_rank; }
  bool lossless() const { return view_ == 0; }

  /// Every other rank that is not lost.
  template <typename Each>
  void for_each_living(Each&& each) {
    for (Rank other = 0; other < size_; ++other) {
      if (other != rank_ && !is_lost(other)) each(other);
    }
  }
  template <typename Test>
  bool all_living(Test&& test) {
    bool all = true;
    for_each_living([&](Rank other) { all = all && test(other); });
    return all;
  }

  Peer& peer(Rank rank) {
    auto& slot = peers_[index(rank)];
    if (!slot) slot = std::make_unique<Peer>(config_);
    return *slot;
  }

  /// flush() will look at that peer.
  void list(Rank rank) {
    Peer& listed = peer(rank);
    if (listed.listed) return;
    listed.listed = true;
    to_flush_.push_back(rank);
  }

  void enqueue(Rank to, MessageClass message_class, MessageKind kind, std::string payload) {
    Peer& to_peer = peer(to);
    OutLane& lane = to_peer.out[index_of(message_class)];
    lane.push(kind, std::move(payload));
    list(to);
    if (message_class == MessageClass::control && lane.backlog() > config_.control_backlog) {
      break_with(to, "it takes nothing in: too much is waiting for it");
    }
  }

  /// Losses are worked off at one place in poll(), so that nothing is torn away under a handler.
  void break_with(Rank rank, std::string reason, bool told = false) {
    if (rank == rank_ || rank < 0 || rank >= size_ || is_lost(rank)) return;
    Peer& broken = peer(rank);
    if (broken.broken) return;
    broken.broken = true;
    losses_.push_back({rank, std::move(reason), told});
  }

  bool deliver_own(TransportHandler& handler);
  void take_frame(const FrameChannel::Arrival& arrival, TransportHandler& handler);
  void take_record(Rank from, const RecordHeader& header, std::string_view payload, TransportHandler& handler);
  void take_stamp(Rank from, SteadyTime::rep stamp);
  void take_epochs(std::string_view data, TransportHandler& handler);
  bool move_epochs(TransportHandler& handler);
  void repair(Rank rank, SteadyTime cutoff);
  void tick();
  void lose(Loss loss);
  bool work_off_losses(TransportHandler& handler);
  void flush();
  void reap_sends();
  void ring(Rank rank);
  bool send_frame(Rank to, MessageClass message_class);
  void send_credit(Rank to);
  void start_frame(Rank to, FrameWriter& frame, FrameChannel::Buffer buffer, FrameHeader header);
  bool drained();
  void close_step();

  FabricConfig config_;
  MPI_Comm frames_comm_;
  MPI_Comm epochs_comm_;
  Rank rank_;
  Rank size_;
  std::uint64_t incarnation_;
  SteadyTime now_;  ///< of the current poll

  std::vector<SteadyTime> heard_;  ///< when each rank was heard last
  SteadyTime heard_by_pilot_;      ///< rank 0 has heard this rank since

  std::vector<std::unique_ptr<Peer>> peers_;  ///< made when first used
  std::vector<bool> lost_;
  Bells bells_;
  std::uint32_t view_ = 0;
  std::vector<Rank> to_flush_;
  std::vector<Loss> losses_;
  std::vector<Rank> failed_sends_;
  std::vector<Rank> owed_;

  std::deque<OwnMessage> own_messages_;
  std::array<std::size_t, message_classes> own_backlog_{};

  Closing closing_;
  RankWatch watch_;
  EpochLog log_;                        ///< rank 0
  std::deque<std::string> own_epochs_;  ///< rank 0: published, not delivered here yet
  std::uint64_t reported_ack_ = 0;      ///< rank 0
  std::uint64_t repaired_ = 0;          ///< rank 0, after a loss: last epoch sent to all
  EpochReceiver receiver_;
  SteadyTime looked_at_broadcast_;
  bool news_ = false;               ///< something but heartbeats came in or went out at this poll
  std::uint64_t acknowledged_ = 0;  ///< last epoch that this rank has acknowledged

  bool pilot_said_goodbye_ = false;

  FabricStats stats_;
  FrameChannel channel_;
  EpochBroadcast broadcast_;
};

bool Fabric::Impl::poll(TransportHandler& handler) {
  if (closed()) return false;
  now_ = std::chrono::steady_clock::now();
  bool active = deliver_own(handler);
  news_ = false;
  channel_.receive([&](const FrameChannel::Arrival& arrival) { take_frame(arrival, handler); });
  active |= move_epochs(handler);
  tick();
  // Those that take what was not sent yet have to look again, however far this look brought it.
  owed_.clear();
  channel_.each_owed([this](Rank to) { owed_.push_back(to); });
  reap_sends();
  for (const Rank rank : owed_) ring(rank);
  active |= work_off_losses(handler);
  flush();
  if (closing_.begun()) close_step();
  // Heartbeats and returned credit are no activity: an idle rank would be woken by them again and again.
  return active || news_;
}

bool Fabric::Impl::deliver_own(TransportHandler& handler) {
  if (own_messages_.empty()) return false;  // an empty deque is not free to make
  // What handlers send now is for the next poll.
  const std::deque<OwnMessage> messages = std::exchange(own_messages_, {});
  for (const OwnMessage& message : messages) {
    own_backlog_[index_of(message.message_class)] -= message.payload.size();
    ++stats_.messages_received;
    handler.on_message(rank_, message.kind, message.payload);
  }
  return true;
}

void Fabric::Impl::take_frame(const FrameChannel::Arrival& arrival, TransportHandler& handler) {
  const auto frame = read_frame(arrival.bytes);
  const Rank from = arrival.from;
  if (!frame || frame->header.incarnation != incarnation_ || frame->header.sender != from ||
      frame->header.message_class != arrival.message_class) {
    ++stats_.frames_mismatched;
    return;
  }
  if (is_lost(from) || peer(from).broken) {
    ++stats_.frames_from_lost;
    return;
  }
  ++stats_.frames_received;
  stats_.bytes_received += arrival.bytes.size();
  watch_.heard(from, now_);
  heard_[index(from)] = now_;

  Peer& sender = peer(from);
  for (const MessageClass message_class : classes) {
    const std::size_t c = index_of(message_class);
    if (!sender.out[c].acknowledge(frame->header.taken[c])) {
      break_with(from, "it acknowledges frames that were never sent");
    }
    if (sender.out[c].can_send()) list(from);
  }
  if ((frame->header.flags & FrameHeader::credited) == 0) return;
  news_ |= !only_heartbeats(frame->records);
  InLane& lane = sender.in[index_of(arrival.message_class)];
  const bool in_order = lane.accept(
      frame->header.sequence, frame->records,
      [&](const RecordHeader& header, std::string_view payload) { take_record(from, header, payload, handler); });
  if (!in_order) break_with(from, "it sent a frame that cannot be read");
  list(from);
}

void Fabric::Impl::take_record(Rank from, const RecordHeader& header, std::string_view payload,
                               TransportHandler& handler) {
  if (header.source != from || header.destination != rank_) {
    break_with(from, "it sent a message that is not for this rank");
    return;
  }
  if (static_cast<std::uint16_t>(header.kind) >= first_foreign_kind) {
    ++stats_.messages_received;
    handler.on_message(from, header.kind, payload);
    return;
  }
  switch (header.kind) {
    case MessageKind::heartbeat:
    case MessageKind::epoch_ack:
      if (const auto held = value_of<std::uint64_t>(payload); held && is_pilot()) {
        log_.acknowledge(from, *held);
        repair(from, now_ - config_.epoch_repair_after);
      }
      if (const auto stamp = value_of<SteadyTime::rep>(payload)) take_stamp(from, *stamp);
      break;
    case MessageKind::epoch_repair:
      take_epochs(payload, handler);
      break;
    case MessageKind::goodbye:
      peer(from).said_goodbye = true;
      if (from == pilot_rank) pilot_said_goodbye_ = true;
      watch_.forget(from);
      break;
    case MessageKind::view:
      if (const auto rank = value_of<Rank>(payload)) {
        break_with(*rank, std::string(payload), from == pilot_rank);
      }
      break;
    default:
      break;
  }
}

/// Each rank stamps its heartbeats by its own clock, and rank 0 gives the stamp back with its own: however long a message was
/// on its way, what comes back is a time after which rank 0 has heard this rank.
void Fabric::Impl::take_stamp(Rank from, SteadyTime::rep stamp) {
  if (is_pilot()) {
    peer(from).stamp = stamp;
  } else if (from == pilot_rank && stamp != 0) {
    heard_by_pilot_ = std::clamp(SteadyTime(SteadyTime::duration(stamp)), heard_by_pilot_, now_);
  }
}

void Fabric::Impl::take_epochs(std::string_view data, TransportHandler& handler) {
  read_epochs(data, [&](std::uint64_t number, std::string_view payload) {
    receiver_.accept(number, payload,
                     [&](std::uint64_t next, std::string_view next_payload) { handler.on_epoch(next, next_payload); });
  });
}

bool Fabric::Impl::move_epochs(TransportHandler& handler) {
  bool active = false;
  while (!own_epochs_.empty()) {
    const std::string payload = std::move(own_epochs_.front());
    own_epochs_.pop_front();
    const std::uint64_t number = receiver_.held() + 1;
    receiver_.accept(number, payload,
                     [&](std::uint64_t next, std::string_view next_payload) { handler.on_epoch(next, next_payload); });
    log_.acknowledge(rank_, number);
    active = true;
  }
  if (size_ > 1 && lossless()) {
    // MPI moves a broadcast on by itself; looking less often whether one has come halves what a rank costs that waits. But it is
    // looked at when a sleep ends, for it may be what has ended that, and where the next broadcast waits for the end of this one.
    const bool look = is_pilot() || now_ - looked_at_broadcast_ >= defaults::broadcast_look_every;
    if (look) looked_at_broadcast_ = now_;
    active |= look && broadcast_.progress([&](std::string_view batch) { take_epochs(batch, handler); });
    if (is_pilot() && broadcast_.ready()) {
      // Half the limit leaves room for what append_epoch adds.
      if (std::string batch = log_.take_batch(config_.max_message / 2); !batch.empty()) {
        broadcast_.start(std::move(batch), false);
        for_each_living([this](Rank to) { ring(to); });
        ++stats_.broadcasts;
        active = true;
      }
    }
  } else if (is_pilot() && repaired_ < log_.last()) {
    repaired_ = log_.last();
    for_each_living([this](Rank other) { repair(other, SteadyTime::max()); });
  }
  if (!is_pilot() && acknowledged_ < receiver_.held() && !is_lost(pilot_rank)) {
    acknowledged_ = receiver_.held();
    enqueue(pilot_rank, MessageClass::control, MessageKind::epoch_ack, bytes_of(acknowledged_));
    active = true;
  }
  while (is_pilot() && reported_ack_ < log_.acknowledged()) {
    handler.on_epoch_acknowledged(++reported_ack_);
    active = true;
  }
  return active;
}

void Fabric::Impl::repair(Rank rank, SteadyTime cutoff) {
  for (std::string& message : log_.repair(rank, cutoff, repair_bytes)) {
    ++stats_.epochs_repaired;
    enqueue(rank, MessageClass::control, MessageKind::epoch_repair, std::move(message));
  }
}

void Fabric::Impl::tick() {
  const RankWatch::Tick tick = watch_.tick(now_);
  for (const Rank rank : tick.silent) {
    break_with(rank, "nothing was heard from it for " + format_duration(config_.heartbeat_lost));
  }
  if (!tick.beat || !closing_.may_send()) return;
  if (is_pilot()) {
    // To those too that have said goodbye: they wait for ours, however long we need.
    for_each_living([this](Rank to) {
      enqueue(to, MessageClass::control, MessageKind::heartbeat, bytes_of(log_.last()) + bytes_of(peer(to).stamp));
    });
  } else if (!is_lost(pilot_rank)) {
    enqueue(pilot_rank, MessageClass::control, MessageKind::heartbeat,
            bytes_of(receiver_.held()) + bytes_of(now_.time_since_epoch().count()));
  }
}

void Fabric::Impl::lose(Loss loss) {
  lost_[index(loss.rank)] = true;
  ++view_;
  watch_.forget(loss.rank);
  peers_[index(loss.rank)].reset();
  channel_.abandon(loss.rank);
  // Its last frames may hold on to as many receives as it had credit.
  channel_.add_receives(config_.frame_credits);
  broadcast_.abandon();
  const std::string word = bytes_of(loss.rank) + loss.reason;
  if (is_pilot()) {
    log_.forget(loss.rank);
    for_each_living([&](Rank other) {
      enqueue(other, MessageClass::control, MessageKind::view, word);
      repair(other, SteadyTime::max());
    });
    repaired_ = log_.last();
  } else if (!loss.told && loss.rank != pilot_rank && !is_lost(pilot_rank)) {
    enqueue(pilot_rank, MessageClass::control, MessageKind::view, word);
  }
}

bool Fabric::Impl::work_off_losses(TransportHandler& handler) {
  if (losses_.empty()) return false;
  for (Loss& loss : std::exchange(losses_, {})) {
    lose(loss);
    handler.on_rank_lost(loss.rank, loss.reason);
  }
  return true;
}

void Fabric::Impl::flush() {
  if (to_flush_.empty()) return;
  std::vector<Rank> ranks = std::exchange(to_flush_, {});
  std::erase_if(ranks, [this](Rank rank) { return is_lost(rank); });
  // Nobody is always last when there is more bulk than one poll may send.
  std::rotate(ranks.begin(), ranks.begin() + (ranks.empty() ? 0 : 1), ranks.end());
  std::uint32_t budget = defaults::bulk_frames_per_poll;
  for (bool more = true; more;) {
    more = false;
    for (const Rank rank : ranks) {
      if (send_frame(rank, MessageClass::control)) {
        more = true;
      } else if (budget > 0 && send_frame(rank, MessageClass::bulk)) {
        --budget;
        more = true;
      }
    }
    if (more) channel_.progress();
  }
  const std::uint32_t owed_limit = !closing_.begun() ? std::max(config_.frame_credits / 2, 1u) : 1;
  bool credit_sent = false;
  for (const Rank rank : ranks) {
    Peer& flushed = peer(rank);
    flushed.listed = false;
    if (std::any_of(flushed.in.begin(), flushed.in.end(),
                    [owed_limit](const InLane& lane) { return lane.owed() >= owed_limit; })) {
      send_credit(rank);
      credit_sent = true;
    }
    if (std::any_of(flushed.out.begin(), flushed.out.end(), [](const OutLane& lane) { return lane.can_send(); })) {
      list(rank);
    }
  }
  if (credit_sent) channel_.progress();
  for (const Rank rank : ranks) {
    if (std::exchange(peer(rank).to_ring, false)) ring(rank);
  }
  reap_sends();
}

void Fabric::Impl::reap_sends() {
  channel_.reap(failed_sends_);
  for (const Rank rank : std::exchange(failed_sends_, {})) {
    break_with(rank, "MPI cannot send to it");
  }
}

bool Fabric::Impl::send_frame(Rank to, MessageClass message_class) {
  OutLane& lane = peer(to).out[index_of(message_class)];
  if (peer(to).broken || !lane.can_send()) return false;
  FrameChannel::Buffer buffer = channel_.buffer();
  FrameWriter frame({buffer.get(), channel_.frame_bytes()});
  const std::uint32_t sequence = lane.fill(frame, rank_, to);
  if (!only_heartbeats(frame.records())) news_ = peer(to).to_ring = true;
  start_frame(to, frame, std::move(buffer),
              {.message_class = message_class, .flags = FrameHeader::credited, .sequence = sequence});
  return true;
}

void Fabric::Impl::send_credit(Rank to) {
  if (peer(to).broken) return;
  FrameChannel::Buffer buffer = channel_.buffer();
  FrameWriter frame({buffer.get(), channel_.frame_bytes()});
  ++stats_.credit_frames;
  peer(to).to_ring = true;
  start_frame(to, frame, std::move(buffer), {});
}

void Fabric::Impl::start_frame(Rank to, FrameWriter& frame, FrameChannel::Buffer buffer, FrameHeader header) {
  Peer& to_peer = peer(to);
  header.view = view_;
  header.incarnation = incarnation_;
  header.sender = rank_;
  for (std::size_t c = 0; c < message_classes; ++c) {
    header.taken[c] = to_peer.in[c].taken();
    to_peer.in[c].tell();
  }
  const std::size_t length = frame.finish(header);
  ++stats_.frames_sent;
  stats_.bytes_sent += length;
  if (!channel_.send(to, header.message_class, std::move(buffer), length)) {
    break_with(to, "MPI cannot send to it");
  }
}

void Fabric::Impl::ring(Rank rank) {
  if (auto& bell = bells_.of[index(rank)]) bell->ring();
}

bool Fabric::Impl::drained() {
  return own_messages_.empty() && losses_.empty() && channel_.sends_pending() == 0 && all_living([this](Rank other) {
           const auto& slot = peers_[index(other)];
           return !slot ||
                  std::all_of(slot->out.begin(), slot->out.end(), [](const OutLane& lane) { return lane.drained(); });
         });
}

void Fabric::Impl::close_step() {
  const bool epochs_over =
      is_pilot() && own_epochs_.empty() && log_.acknowledged() == log_.last() && (broadcast_.ready() || !lossless());
  const bool goodbyes_in =
      is_pilot() ? all_living([this](Rank other) { return peer(other).said_goodbye; }) : pilot_said_goodbye_;
  const auto step = closing_.step(now_, {.drained = drained(),
                                         .lossless = lossless(),
                                         .epochs_over = epochs_over,
                                         .goodbyes_in = goodbyes_in,
                                         .broadcasts_over = size_ == 1 || broadcast_.closed(),
                                         .pilot_lost = is_lost(pilot_rank)});
  if (step == Closing::Step::say_goodbye) {
    const auto goodbye = [this](Rank to) { enqueue(to, MessageClass::control, MessageKind::goodbye, {}); };
    if (!is_pilot()) return goodbye(pilot_rank);
    for_each_living(goodbye);
    if (size_ > 1 && lossless()) {
      broadcast_.start({}, true);
      for_each_living([this](Rank to) { ring(to); });
    }
  } else if (step == Closing::Step::finish && clean()) {
    channel_.cancel();
    MPI_Comm_free(&frames_comm_);
    MPI_Comm_free(&epochs_comm_);
  }
}

Result<std::unique_ptr<Fabric>> Fabric::create(MPI_Comm comm, const FabricConfig& config) {
  int initialized = 0;
  MPI_Initialized(&initialized);
  if (initialized == 0) {
    return Error{.what = "MPI is not initialised", .where = "the fabric", .hint = "call MPI_Init_thread first"};
  }
  MPI_Comm frames = MPI_COMM_NULL;
  MPI_Comm epochs = MPI_COMM_NULL;
  for (MPI_Comm* copy : {&frames, &epochs}) {
    if (const int rc = MPI_Comm_dup(comm, copy); rc != MPI_SUCCESS) {
      return Error{.what = "cannot duplicate the communicator: " + mpi_text(rc), .where = "the fabric", .hint = {}};
    }
    MPI_Comm_set_errhandler(*copy, MPI_ERRORS_RETURN);
  }
  int rank = 0;
  int size = 1;
  MPI_Comm_rank(frames, &rank);
  MPI_Comm_size(frames, &size);
  std::uint64_t incarnation = rank == pilot_rank ? draw_incarnation() : 0;
  if (const int rc = MPI_Bcast(&incarnation, 1, MPI_UINT64_T, pilot_rank, frames); rc != MPI_SUCCESS) {
    return Error{.what = "cannot agree with the other ranks: " + mpi_text(rc), .where = "the fabric", .hint = {}};
  }
  return std::unique_ptr<Fabric>(new Fabric(
      std::make_unique<Impl>(frames, epochs, rank, size, incarnation, hang_bells(frames, rank, size), config)));
}

Fabric::Fabric(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Fabric::~Fabric() = default;

Rank Fabric::rank() const {
  return impl_->rank();
}
Rank Fabric::size() const {
  return impl_->size();
}
void Fabric::send(Rank to, MessageClass message_class, MessageKind kind, std::string payload) {
  impl_->send(to, message_class, kind, std::move(payload));
}
std::size_t Fabric::backlog(Rank to, MessageClass message_class) const {
  return impl_->backlog(to, message_class);
}
bool Fabric::is_lost(Rank rank) const {
  return impl_->is_lost(rank);
}
std::uint64_t Fabric::publish(std::string payload) {
  return impl_->publish(std::move(payload));
}
bool Fabric::poll(TransportHandler& handler) {
  return impl_->poll(handler);
}
void Fabric::begin_close(Duration deadline) {
  impl_->begin_close(deadline);
}
bool Fabric::closed() const {
  return impl_->closed();
}
bool Fabric::clean() const {
  return impl_->clean();
}
SteadyTime Fabric::last_heard(Rank rank) const {
  return impl_->last_heard(rank);
}
SteadyTime Fabric::heard_by_pilot() const {
  return impl_->heard_by_pilot();
}
Doorbell* Fabric::doorbell() {
  return impl_->doorbell();
}
bool Fabric::will_be_rung() const {
  return impl_->will_be_rung();
}
FabricStats Fabric::stats() const {
  return impl_->stats();
}

}  // namespace trireme
