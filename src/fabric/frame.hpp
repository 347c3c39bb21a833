// Frames and the records in them: their layout, writing and reading (docs/spec/messages.md,
// "Frames").
//
// Pure; no MPI. Reading never goes beyond the bytes it was given, whatever they hold.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "core/ids.hpp"
#include "fabric/transport.hpp"

namespace trireme::fabric {

constexpr std::uint8_t wire_version = 4;
/// Of the credited frames of each lane. Close to where it wraps, so that this happens in every run and not after weeks.
constexpr std::uint32_t first_sequence = 0xffffff00;
constexpr std::size_t message_classes = 2;
constexpr std::size_t index_of(MessageClass message_class) {
  return static_cast<std::size_t>(message_class);
}

/// What belongs to one hop.
struct FrameHeader {
  static constexpr std::uint16_t credited = 1;

  std::uint8_t version = wire_version;
  MessageClass message_class = MessageClass::control;
  std::uint16_t flags = 0;
  std::uint32_t view = 0;
  std::uint64_t incarnation = 0;
  Rank sender = 0;
  std::uint32_t sequence = 0;
  std::array<std::uint32_t, message_classes> taken{};
  std::uint32_t length = 0;
  std::uint32_t reserved = 0;
};
static_assert(sizeof(FrameHeader) == 40);

/// What belongs to a message from end to end.
struct RecordHeader {
  static constexpr std::uint8_t first = 1;
  static constexpr std::uint8_t last = 2;

  MessageKind kind{};
  std::uint8_t flags = 0;
  std::uint8_t hops = 0;
  Rank source = 0;
  Rank destination = 0;
  std::uint32_t length = 0;
  std::uint32_t total = 0;
};
static_assert(sizeof(RecordHeader) == 20);

/// Packs records into a buffer behind room for the frame header.
class FrameWriter {
 public:
  explicit FrameWriter(std::span<char> space) : space_(space) {}
  bool empty() const { return used_ == sizeof(FrameHeader); }
  /// Payload bytes that one more record could carry; none if not even its header fits.
  std::optional<std::size_t> room() const;
  /// `chunk` is at most room(); header.length is set from it.
  void add(RecordHeader header, std::string_view chunk);
  /// Writes the frame header, with its length set, and returns the bytes of the whole frame.
  std::size_t finish(FrameHeader header);
  /// What has been added.
  std::string_view records() const { return {space_.data() + sizeof(FrameHeader), used_ - sizeof(FrameHeader)}; }

 private:
  std::span<char> space_;
  std::size_t used_ = sizeof(FrameHeader);
};

struct Frame {
  FrameHeader header;
  std::string_view records;
};
/// Splits a frame; none if it is shorter than it says or of another version.
std::optional<Frame> read_frame(std::string_view bytes);

/// Goes through the records of a frame.
class RecordReader {
 public:
  explicit RecordReader(std::string_view records) : rest_(records) {}
  bool at_end() const { return rest_.empty(); }
  /// The next record; none if what is left is not a record.
  std::optional<RecordHeader> next(std::string_view& chunk);

 private:
  std::string_view rest_;
};

}  // namespace trireme::fabric
