// The bytes of one segment file: a header, then records to its end. Pure; docs/spec/events.md is the contract.
//
//   header  magic[8] format:u32 number:u32 created:i64 run_id_length:u32 run_id checksum:u32
//   record  length:u32 kind:u16 version:u16 time:i64 checksum:u32 payload[length]
//
// Integers are little-endian. Checksums are CRC-32C: the header's over all that precedes it, a record's over length, kind,
// version, time and payload. A record is good only as a whole, so whatever a crash leaves is no record.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/units.hpp"

namespace trireme {

constexpr std::string_view segment_magic{"trireme\n", 8};
constexpr std::uint32_t segment_format = 1;
constexpr std::size_t record_header_bytes = 20;

struct SegmentHeader {
  std::uint32_t format = segment_format;
  std::uint32_t number = 0;
  WallTime created = 0;
  std::string run_id;
  bool operator==(const SegmentHeader&) const = default;
};

std::string encode_segment_header(const SegmentHeader& header);

struct ParsedSegmentHeader {
  SegmentHeader header;
  std::size_t bytes = 0;
};
/// Nothing where `bytes` does not begin with a whole, intact header.
std::optional<ParsedSegmentHeader> parse_segment_header(std::string_view bytes);

struct Record {
  std::uint16_t kind = 0;
  std::uint16_t version = 0;
  WallTime time = 0;
  std::string_view payload;
  std::size_t bytes() const { return record_header_bytes + payload.size(); }
};

/// Makes a record in place: begin_record appends room for its header and returns where it begins; the payload is appended
/// by the caller; end_record fills the header in.
std::size_t begin_record(std::string& out);
void end_record(std::string& out, std::size_t begin, std::uint16_t kind, std::uint16_t version, WallTime time);

/// Nothing where `bytes` does not begin with a whole, intact record.
std::optional<Record> parse_record(std::string_view bytes);

/// Where the next intact record begins in `bytes`, which begin with something that is none. Looks past the length that the
/// damaged record claims first, then byte by byte, with bounded effort. `near` is a time that the record's must be close
/// to (the segment's own), to tell chance from truth before checksums are computed.
std::optional<std::size_t> find_record(std::string_view bytes, WallTime near);

/// "00000012.log".
std::string segment_name(std::uint32_t number);
/// The number in such a name; nothing for other names.
std::optional<std::uint32_t> segment_number(std::string_view name);

}  // namespace trireme
