// libFuzzer entry: any bytes as frames of the native protocol. What is read as a head is written and read again the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "proxy/native/frame.hpp"

using namespace trireme::proxy::native;

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
  return 0;
}
