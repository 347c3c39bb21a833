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
#include "fabric/closing.hpp"
#include "fabric/epochs.hpp"
#include "fabric/frame.hpp"
#include "fabric/links.hpp"
#include "fabric/liveness.hpp"

namespace trireme {

using namespace fabric;

namespace {

constexpr std::uint16_t first_foreign_kind = 16;
constexpr std::size_t repair_bytes = 1u << 20;
constexpr std::size_t epoch_overhead = 64;

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
        now_(std::chrono::steady_clock::now()),
        heard_(static_cast<std::size_t>(size), now_),
        heard_by_pilot_(now_),
        said_goodbye_(static_cast<std::size_t>(size), false),
        stamps_(static_cast<std::size_t>(size), 0),
        closing_(rank == pilot_rank),
        watch_(config.heartbeat_every, config.heartbeat_lost, now_),
        log_(size),
        links_(frames, rank, size, incarnation, std::move(bells), config, stats_),
        broadcast_(epochs, rank == pilot_rank,
                   {.incarnation = incarnation, .first_bytes = config.epoch_inline, .max_bytes = config.max_message}) {
    if (is_pilot()) {
      links_.for_each_living([this](Rank other) { watch_.watch(other, now_); });
    } else {
      watch_.watch(pilot_rank, now_);
    }
  }

  Rank rank() const { return rank_; }
  Rank size() const { return size_; }
  bool is_lost(Rank rank) const { return links_.is_lost(rank); }
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
    links_.enqueue(to, message_class, kind, std::move(payload));
  }

  std::size_t backlog(Rank to, MessageClass message_class) const {
    if (to == rank_) return own_backlog_[index_of(message_class)];
    return links_.backlog(to, message_class);
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

  Doorbell* doorbell() { return links_.doorbell(); }
  bool will_be_rung() const {
    return links_.will_be_rung() && own_messages_.empty() && own_epochs_.empty() && !closing_.begun() &&
           !(is_pilot() && links_.lossless() && !broadcast_.ready());
  }

  void begin_close(Duration deadline) {
    if (closing_.begun()) return;
    closing_.begin(std::chrono::steady_clock::now() + deadline);
    links_.list_known();
  }

  FabricStats stats() const {
    FabricStats stats = stats_;
    stats.mpi_errors = links_.mpi_errors();
    return stats;
  }

 private:
  struct OwnMessage {
    MessageClass message_class;
    MessageKind kind;
    std::string payload;
  };

  static std::size_t index(Rank rank) { return static_cast<std::size_t>(rank); }
  bool is_pilot() const { return rank_ == pilot_rank; }
  void tell(Rank to, MessageKind kind, std::string payload) {
    links_.enqueue(to, MessageClass::control, kind, std::move(payload));
  }

  bool deliver_own(TransportHandler& handler);
  void take_record(Rank from, const RecordHeader& header, std::string_view payload, TransportHandler& handler);
  void take_stamp(Rank from, SteadyTime::rep stamp);
  void take_epochs(std::string_view data, TransportHandler& handler);
  bool move_epochs(TransportHandler& handler);
  void repair(Rank rank, SteadyTime cutoff);
  void tick();
  void lose(const Links::Broken& loss);
  bool work_off_losses(TransportHandler& handler);
  void close_step();

  FabricConfig config_;
  MPI_Comm frames_comm_;
  MPI_Comm epochs_comm_;
  Rank rank_;
  Rank size_;
  SteadyTime now_;  ///< of the current poll

  std::vector<SteadyTime> heard_;  ///< when each rank was heard last
  SteadyTime heard_by_pilot_;      ///< rank 0 has heard this rank since

  std::vector<bool> said_goodbye_;
  std::vector<SteadyTime::rep> stamps_;  ///< rank 0: of the last heartbeat of each rank, by its own clock

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
  std::uint64_t acknowledged_ = 0;  ///< last epoch that this rank has acknowledged

  FabricStats stats_;
  Links links_;
  EpochBroadcast broadcast_;
};

bool Fabric::Impl::poll(TransportHandler& handler) {
  if (closed()) return false;
  now_ = std::chrono::steady_clock::now();
  bool active = deliver_own(handler);
  links_.receive(
      [this](Rank from) {
        watch_.heard(from, now_);
        heard_[index(from)] = now_;
      },
      [this, &handler](Rank from, const RecordHeader& header, std::string_view payload) {
        take_record(from, header, payload, handler);
      });
  active |= move_epochs(handler);
  tick();
  links_.progress();
  active |= work_off_losses(handler);
  links_.flush(closing_.begun());
  if (closing_.begun()) close_step();
  // Heartbeats and returned credit are no activity: an idle rank would be woken by them again and again.
  return links_.take_news() || active;
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

void Fabric::Impl::take_record(Rank from, const RecordHeader& header, std::string_view payload,
                               TransportHandler& handler) {
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
      said_goodbye_[index(from)] = true;
      watch_.forget(from);
      break;
    case MessageKind::view:
      if (const auto rank = value_of<Rank>(payload)) {
        links_.break_with(*rank, std::string(payload), from == pilot_rank);
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
    stamps_[index(from)] = stamp;
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
  if (size_ > 1 && links_.lossless()) {
    // MPI moves a broadcast on by itself; looking less often whether one has come halves what a rank costs that waits. But it is
    // looked at when a sleep ends, for it may be what has ended that, and where the next broadcast waits for the end of this one.
    const bool look = is_pilot() || now_ - looked_at_broadcast_ >= defaults::broadcast_look_every;
    if (look) looked_at_broadcast_ = now_;
    active |= look && broadcast_.progress([&](std::string_view batch) { take_epochs(batch, handler); });
    if (is_pilot() && broadcast_.ready()) {
      // Half the limit leaves room for what append_epoch adds.
      if (std::string batch = log_.take_batch(config_.max_message / 2); !batch.empty()) {
        broadcast_.start(std::move(batch), false);
        links_.for_each_living([this](Rank to) { links_.ring(to); });
        ++stats_.broadcasts;
        active = true;
      }
    }
  } else if (is_pilot() && repaired_ < log_.last()) {
    repaired_ = log_.last();
    links_.for_each_living([this](Rank other) { repair(other, SteadyTime::max()); });
  }
  if (!is_pilot() && acknowledged_ < receiver_.held() && !is_lost(pilot_rank)) {
    acknowledged_ = receiver_.held();
    tell(pilot_rank, MessageKind::epoch_ack, bytes_of(acknowledged_));
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
    tell(rank, MessageKind::epoch_repair, std::move(message));
  }
}

void Fabric::Impl::tick() {
  const RankWatch::Tick tick = watch_.tick(now_);
  for (const Rank rank : tick.silent) {
    links_.break_with(rank, "nothing was heard from it for " + format_duration(config_.heartbeat_lost));
  }
  if (!tick.beat || !closing_.may_send()) return;
  if (is_pilot()) {
    // To those too that have said goodbye: they wait for ours, however long we need.
    links_.for_each_living(
        [this](Rank to) { tell(to, MessageKind::heartbeat, bytes_of(log_.last()) + bytes_of(stamps_[index(to)])); });
  } else if (!is_lost(pilot_rank)) {
    tell(pilot_rank, MessageKind::heartbeat, bytes_of(receiver_.held()) + bytes_of(now_.time_since_epoch().count()));
  }
}

void Fabric::Impl::lose(const Links::Broken& loss) {
  watch_.forget(loss.rank);
  links_.lose(loss.rank);
  broadcast_.abandon();
  const std::string word = bytes_of(loss.rank) + loss.reason;
  if (is_pilot()) {
    log_.forget(loss.rank);
    links_.for_each_living([&](Rank other) {
      tell(other, MessageKind::view, word);
      repair(other, SteadyTime::max());
    });
    repaired_ = log_.last();
  } else if (!loss.told && loss.rank != pilot_rank && !is_lost(pilot_rank)) {
    tell(pilot_rank, MessageKind::view, word);
  }
}

bool Fabric::Impl::work_off_losses(TransportHandler& handler) {
  const std::vector<Links::Broken> broken = links_.take_broken();
  for (const Links::Broken& loss : broken) {
    lose(loss);
    handler.on_rank_lost(loss.rank, loss.reason);
  }
  return !broken.empty();
}

void Fabric::Impl::close_step() {
  const bool epochs_over = is_pilot() && own_epochs_.empty() && log_.acknowledged() == log_.last() &&
                           (broadcast_.ready() || !links_.lossless());
  const bool goodbyes_in = is_pilot() ? links_.all_living([this](Rank other) { return said_goodbye_[index(other)]; })
                                      : said_goodbye_[pilot_rank];
  const auto step = closing_.step(now_, {.drained = own_messages_.empty() && links_.drained(),
                                         .lossless = links_.lossless(),
                                         .epochs_over = epochs_over,
                                         .goodbyes_in = goodbyes_in,
                                         .broadcasts_over = size_ == 1 || broadcast_.closed(),
                                         .pilot_lost = is_lost(pilot_rank)});
  if (step == Closing::Step::say_goodbye) {
    const auto goodbye = [this](Rank to) { tell(to, MessageKind::goodbye, {}); };
    if (!is_pilot()) return goodbye(pilot_rank);
    links_.for_each_living(goodbye);
    if (size_ > 1 && links_.lossless()) {
      broadcast_.start({}, true);
      links_.for_each_living([this](Rank to) { links_.ring(to); });
    }
  } else if (step == Closing::Step::finish && clean()) {
    links_.cancel();
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
