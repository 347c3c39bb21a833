// The index of a node's streamed output (docs/spec/output.md): one line of text per piece of the data file.
//
// Values and their text, without I/O. A line carries its own checksum, so that a torn or foreign one is known as such.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace trireme {

/// Which stream of which process wrote something.
struct OutputSource {
  std::string task;  ///< as in paths: path_of_id()
  std::uint32_t attempt = 0;
  std::uint32_t rank = 0;  ///< of a task with several
  bool is_stderr = false;
  bool operator==(const OutputSource&) const = default;
};

struct OutputRecord {
  OutputSource source;
  std::uint64_t offset = 0;  ///< in the data file
  std::uint64_t length = 0;
  std::uint32_t checksum = 0;  ///< CRC-32C of these bytes
  bool operator==(const OutputRecord&) const = default;
};

/// The first line of an index; readers pass over lines that begin with '#'.
constexpr std::string_view output_index_head =
    "# trireme output index 1: line-crc offset length data-crc stream rank attempt task\n";

/// With its line end.
std::string to_line(const OutputRecord& record);

/// Of a line without its end; none where it is damaged or no record.
std::optional<OutputRecord> parse_output_line(std::string_view line);

}  // namespace trireme
