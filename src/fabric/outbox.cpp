#include "fabric/outbox.hpp"

#include <algorithm>
#include <utility>

namespace trireme::fabric {

void OutLane::push(MessageKind kind, std::string payload) {
  backlog_ += payload.size() + sizeof(RecordHeader);
  queue_.push_back({kind, std::move(payload)});
}

std::uint32_t OutLane::fill(FrameWriter& frame, Rank source, Rank destination) {
  while (!queue_.empty()) {
    Message& message = queue_.front();
    const std::size_t left = message.payload.size() - message.offset;
    const auto room = frame.room();
    if (!room || (*room == 0 && left > 0)) break;
    const std::size_t length = std::min(left, *room);
    const bool last = length == left;
    RecordHeader header{.kind = message.kind,
                        .flags = 0,
                        .hops = 0,
                        .source = source,
                        .destination = destination,
                        .length = 0,
                        .total = static_cast<std::uint32_t>(message.payload.size())};
    if (message.offset == 0) header.flags |= RecordHeader::first;
    if (last) header.flags |= RecordHeader::last;
    frame.add(header, std::string_view(message.payload).substr(message.offset, length));
    message.offset += length;
    backlog_ -= length;
    if (!last) break;
    backlog_ -= sizeof(RecordHeader);
    queue_.pop_front();
  }
  return sent_++;
}

bool OutLane::acknowledge(std::uint32_t taken) {
  // Distances are taken modulo 2^32: what lies behind `taken_` is an old word, and far beyond it a
  // wrong one.
  const std::uint32_t gain = taken - taken_;
  if (gain <= in_flight()) {
    taken_ = taken;
    return true;
  }
  return gain > UINT32_MAX / 2;
}

}  // namespace trireme::fabric
