#include "fabric/inbox.hpp"

#include <utility>

namespace trireme::fabric {

bool InLane::accept(std::uint32_t sequence, std::string_view records, const Deliver& deliver) {
  const std::uint32_t ahead = sequence - expected_;
  if (ahead >= credits_) return false;
  if (ahead > 0) return early_.emplace(sequence, records).second;
  if (!take(records, deliver)) return false;
  for (auto next = early_.find(expected_); next != early_.end(); next = early_.find(expected_)) {
    const std::string held = std::move(next->second);
    early_.erase(next);
    if (!take(held, deliver)) return false;
  }
  return true;
}

bool InLane::take(std::string_view records, const Deliver& deliver) {
  RecordReader reader(records);
  while (!reader.at_end()) {
    std::string_view chunk;
    const auto header = reader.next(chunk);
    if (!header) return false;
    const bool first = (header->flags & RecordHeader::first) != 0;
    const bool last = (header->flags & RecordHeader::last) != 0;
    if (first == open_ || header->total > max_message_) return false;
    if (first && last) {
      if (chunk.size() != header->total) return false;
      deliver(*header, chunk);
      continue;
    }
    if (first) {
      open_ = true;
      open_header_ = *header;
      partial_.reserve(header->total);
    } else if (header->kind != open_header_.kind || header->total != open_header_.total) {
      return false;
    }
    if (chunk.size() > open_header_.total - partial_.size()) return false;
    partial_.append(chunk);
    if (!last) continue;
    if (partial_.size() != open_header_.total) return false;
    open_ = false;
    const std::string message = std::exchange(partial_, {});
    deliver(open_header_, message);
  }
  ++expected_;
  return true;
}

}  // namespace trireme::fabric
