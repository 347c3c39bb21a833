// Bytes as a segment of the event log: parsing, resynchronising and decoding neither fail nor take more than their share.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "journal/codec.hpp"
#include "journal/export_json.hpp"
#include "journal/segment.hpp"
#include "observe/run_view.hpp"

namespace {

using namespace trireme;

/// What a reader does with the bytes of one segment.
void read_segment(std::string_view bytes, JsonLines& lines, observe::RunView& view) {
  const auto header = parse_segment_header(bytes);
  if (header) bytes.remove_prefix(header->bytes);
  const WallTime near = header ? header->header.created : 0;
  while (!bytes.empty()) {
    const auto record = parse_record(bytes);
    if (!record) {
      const auto next = find_record(bytes, near);
      if (!next) return;
      if (*next == 0 || *next >= bytes.size()) std::abort();
      bytes.remove_prefix(*next);
      continue;
    }
    const auto body = decode_event({record->kind, record->version}, record->payload);
    if (body.ok()) {
      const Event event{record->time, *body};
      static_cast<void>(lines.line(event));
      view.apply(event);
    }
    bytes.remove_prefix(record->bytes());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  JsonLines lines;
  observe::RunView view;
  read_segment(bytes, lines, view);

  // The same bytes as the payload of an intact record, which a checksum would keep a fuzzer from making.
  if (size < 3) return 0;
  const auto kind = static_cast<std::uint16_t>(data[0] % (last_kind + 2));
  const auto version = static_cast<std::uint16_t>(data[1] % 3);
  std::string segment = encode_segment_header({.number = 0, .created = 1, .run_id = "run"});
  const std::size_t begin = begin_record(segment);
  segment += bytes.substr(2);
  end_record(segment, begin, kind, version, 1);
  read_segment(segment, lines, view);
  return 0;
}
