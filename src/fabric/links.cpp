#include "fabric/links.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace trireme::fabric {

namespace {

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

}  // namespace

Links::Links(MPI_Comm frames, Rank rank, Rank size, std::uint64_t incarnation, Bells bells, const FabricConfig& config,
             FabricStats& stats)
    : config_(config),
      rank_(rank),
      size_(size),
      incarnation_(incarnation),
      peers_(static_cast<std::size_t>(size)),
      lost_(static_cast<std::size_t>(size), false),
      bells_(std::move(bells)),
      stats_(stats),
      channel_(frames, config.frame_bytes, std::min(defaults::frame_receives, config.frame_credits)) {}

Links::Peer& Links::peer(Rank rank) {
  auto& slot = peers_[index(rank)];
  if (!slot) slot = std::make_unique<Peer>(config_);
  return *slot;
}

/// flush() will look at that peer.
void Links::list(Rank rank) {
  Peer& listed = peer(rank);
  if (listed.listed) return;
  listed.listed = true;
  to_flush_.push_back(rank);
}

void Links::list_known() {
  for_each_living([this](Rank other) {
    if (peers_[index(other)]) list(other);
  });
}

void Links::enqueue(Rank to, MessageClass message_class, MessageKind kind, std::string payload) {
  OutLane& lane = peer(to).out[index_of(message_class)];
  lane.push(kind, std::move(payload));
  list(to);
  if (message_class == MessageClass::control && lane.backlog() > config_.control_backlog) {
    break_with(to, "it takes nothing in: too much is waiting for it");
  }
}

std::size_t Links::backlog(Rank to, MessageClass message_class) const {
  const auto& peer = peers_[index(to)];
  return peer ? peer->out[index_of(message_class)].backlog() : 0;
}

bool Links::drained() const {
  return broken_.empty() && channel_.sends_pending() == 0 && all_living([this](Rank other) {
           const auto& slot = peers_[index(other)];
           return !slot ||
                  std::all_of(slot->out.begin(), slot->out.end(), [](const OutLane& lane) { return lane.drained(); });
         });
}

bool Links::will_be_rung() const {
  bool owes = !to_flush_.empty();
  channel_.each_owed([&](Rank) { owes = true; });
  return bells_.everywhere && !owes;
}

void Links::ring(Rank rank) {
  if (auto& bell = bells_.of[index(rank)]) bell->ring();
}

// --- ranks that are lost -------------------------------------------------------------------------

void Links::break_with(Rank rank, std::string reason, bool told) {
  if (rank == rank_ || rank < 0 || rank >= size_ || is_lost(rank)) return;
  Peer& broken = peer(rank);
  if (broken.broken) return;
  broken.broken = true;
  broken_.push_back({rank, std::move(reason), told});
}

void Links::lose(Rank rank) {
  lost_[index(rank)] = true;
  ++view_;
  peers_[index(rank)].reset();
  channel_.abandon(rank);
  // Its last frames may hold on to as many receives as it had credit.
  channel_.add_receives(config_.frame_credits);
}

// --- what comes in -------------------------------------------------------------------------------

void Links::receive(const OnHeard& on_heard, const OnMessage& on_message) {
  channel_.receive([&](const FrameChannel::Arrival& arrival) { take(arrival, on_heard, on_message); });
}

void Links::take(const FrameChannel::Arrival& arrival, const OnHeard& on_heard, const OnMessage& on_message) {
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
  on_heard(from);

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
  const bool in_order =
      lane.accept(frame->header.sequence, frame->records, [&](const RecordHeader& header, std::string_view payload) {
        if (header.source == from && header.destination == rank_) return on_message(from, header, payload);
        break_with(from, "it sent a message that is not for this rank");
      });
  if (!in_order) break_with(from, "it sent a frame that cannot be read");
  list(from);
}

// --- what goes out -------------------------------------------------------------------------------

void Links::flush(bool all_credit) {
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
  const std::uint32_t owed_limit = all_credit ? 1 : std::max(config_.frame_credits / 2, 1u);
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
  reap();
}

void Links::progress() {
  // Those that take what was not sent yet have to look again, however far this look brought it.
  owed_.clear();
  channel_.each_owed([this](Rank to) { owed_.push_back(to); });
  reap();
  for (const Rank rank : owed_) ring(rank);
}

void Links::reap() {
  channel_.reap(failed_sends_);
  for (const Rank rank : std::exchange(failed_sends_, {})) {
    break_with(rank, "MPI cannot send to it");
  }
}

bool Links::send_frame(Rank to, MessageClass message_class) {
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

void Links::send_credit(Rank to) {
  if (peer(to).broken) return;
  FrameChannel::Buffer buffer = channel_.buffer();
  FrameWriter frame({buffer.get(), channel_.frame_bytes()});
  ++stats_.credit_frames;
  peer(to).to_ring = true;
  start_frame(to, frame, std::move(buffer), {});
}

void Links::start_frame(Rank to, FrameWriter& frame, FrameChannel::Buffer buffer, FrameHeader header) {
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

}  // namespace trireme::fabric
