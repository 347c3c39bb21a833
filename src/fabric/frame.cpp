#include "fabric/frame.hpp"

#include <cassert>
#include <cstring>

namespace trireme::fabric {

std::optional<std::size_t> FrameWriter::room() const {
  const std::size_t left = space_.size() - used_;
  if (left < sizeof(RecordHeader)) return std::nullopt;
  return left - sizeof(RecordHeader);
}

void FrameWriter::add(RecordHeader header, std::string_view chunk) {
  assert(room() && chunk.size() <= *room());
  header.length = static_cast<std::uint32_t>(chunk.size());
  std::memcpy(space_.data() + used_, &header, sizeof header);
  used_ += sizeof header;
  if (!chunk.empty()) std::memcpy(space_.data() + used_, chunk.data(), chunk.size());
  used_ += chunk.size();
}

std::size_t FrameWriter::finish(FrameHeader header) {
  header.length = static_cast<std::uint32_t>(used_ - sizeof header);
  std::memcpy(space_.data(), &header, sizeof header);
  return used_;
}

std::optional<Frame> read_frame(std::string_view bytes) {
  Frame frame;
  if (bytes.size() < sizeof frame.header) return std::nullopt;
  std::memcpy(&frame.header, bytes.data(), sizeof frame.header);
  bytes.remove_prefix(sizeof frame.header);
  if (frame.header.version != wire_version || frame.header.length != bytes.size() ||
      index_of(frame.header.message_class) >= message_classes) {
    return std::nullopt;
  }
  frame.records = bytes;
  return frame;
}

std::optional<RecordHeader> RecordReader::next(std::string_view& chunk) {
  RecordHeader header;
  if (rest_.size() < sizeof header) return std::nullopt;
  std::memcpy(&header, rest_.data(), sizeof header);
  if (header.length > rest_.size() - sizeof header) return std::nullopt;
  chunk = rest_.substr(sizeof header, header.length);
  rest_.remove_prefix(sizeof header + header.length);
  return header;
}

}  // namespace trireme::fabric
