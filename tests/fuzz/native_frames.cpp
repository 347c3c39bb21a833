// libFuzzer entry: any bytes as frames of the native protocol. What is read as a head is written and read again the same. The same bytes
// as what the other side does to the words of a ring: whatever they are, no more is read or taken than there is.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "native/ring.hpp"
#include "proxy/native/frame.hpp"

using namespace trireme::proxy::native;

namespace {

/// Nine bytes at a time: what is done, and a number that the other side writes, or that is a size.
void use_ring(std::string_view in) {
  constexpr std::size_t size = 256;
  RingHead head{};
  std::vector<char> bytes(size);  // on the heap, where the sanitizer sees what is beyond
  RingReader reader(head, bytes.data(), size);
  RingWriter writer(head, bytes.data(), size);
  bool broken = false;
  for (; in.size() >= 9; in.remove_prefix(9)) {
    std::uint64_t number = 0;
    std::memcpy(&number, in.data() + 1, sizeof number);
    const std::size_t length = number % (2 * size);
    switch (in.front() & 7) {
      case 0:
        head.written = number;
        broken = true;
        break;
      case 1:
        head.taken = number;
        broken = true;
        break;
      case 2:
        head.reader_sleeps = static_cast<std::uint32_t>(number);
        break;
      case 3:
        head.writer_waits = static_cast<std::uint32_t>(number);
        break;
      case 4:
      case 5: {
        const std::vector<char> what(length, in.front());
        const std::size_t first = number % (length + 1);
        const auto taken = writer.write({what.data(), first}, {what.data() + first, length - first});
        if (taken > static_cast<std::ptrdiff_t>(std::min(length, size)) || (!broken && taken < 0)) std::abort();
        writer.wakes_reader();
        if (taken >= 0 && taken < static_cast<std::ptrdiff_t>(length)) writer.wait_for_room();
        break;
      }
      default: {
        std::vector<char> to(length);
        const auto got = reader.read(to.data(), length);
        if (got > static_cast<std::ptrdiff_t>(std::min(length, size)) || (!broken && got < 0)) std::abort();
        reader.wakes_writer();
        if (reader.empty() && !reader.lie_down()) std::abort();
        reader.get_up();
      }
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view in(reinterpret_cast<const char*>(data), size);
  for (;;) {
    Frame frame;
    std::size_t consumed = 0;
    if (parse(in, frame, consumed) != Parsed::done) break;
    if (consumed < header_bytes || consumed > in.size() || consumed != header_bytes + frame.payload.size())
      std::abort();
    read_hello(frame.payload);
    read_welcome(frame.payload);
    read_window(frame.payload);
    read_failure(frame.payload);
    std::string out;
    Frame again;
    std::size_t length = 0;
    if (const auto request = read_request(frame.payload)) {
      if (!append_request(out, frame.id, request->head, request->body, frame.end)) std::abort();
      if (parse(out, again, length) != Parsed::done || length != out.size()) std::abort();
      const auto same = read_request(again.payload);
      if (!same || same->head != request->head || same->body != request->body) std::abort();
    }
    out.clear();
    if (const auto response = read_response(frame.payload)) {
      if (!append_response(out, frame.id, response->head, response->body, frame.end)) std::abort();
      if (parse(out, again, length) != Parsed::done || length != out.size()) std::abort();
      const auto same = read_response(again.payload);
      if (!same || same->head != response->head || same->body != response->body) std::abort();
    }
    in.remove_prefix(consumed);
  }
  use_ring({reinterpret_cast<const char*>(data), size});
  return 0;
}
