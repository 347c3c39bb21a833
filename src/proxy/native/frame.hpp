// The frames of the native protocol as values (docs/spec/native.md): reading and writing, and nothing else.
//
// Pure. What is read is a view into the bytes given. Reading is strict: a head that it returns can be written as HTTP
// without a check, since names are tokens and values hold no control characters.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/http/head.hpp"

namespace trireme::proxy::native {

/// What a connection begins with, before its first frame. No HTTP request begins with a zero byte.
constexpr std::string_view preface{"\0TRIREME", 8};
constexpr std::uint16_t version = 1;
constexpr std::size_t header_bytes = 16;
constexpr std::size_t max_payload = 256u << 10;
constexpr std::size_t max_frame = header_bytes + max_payload;
/// A body whose length is not known beforehand.
constexpr std::uint64_t unknown_length = ~std::uint64_t{0};

enum class Type : std::uint8_t {
  hello = 1,
  welcome = 2,
  request = 3,
  response = 4,
  data = 5,
  window = 6,
  cancel = 7,
  failure = 8,
};

struct Frame {
  Type type = Type::data;
  bool end = false;      ///< the last of its sender for this request
  std::uint64_t id = 0;  ///< of the request; 0: of the connection
  std::string_view payload;
};

enum class Parsed { done, more, bad };
/// Takes the frame at the front of `in`; `consumed` is its size.
Parsed parse(std::string_view in, Frame& frame, std::size_t& consumed);
void append(std::string& out, const Frame& frame);
/// The header of a frame whose payload follows.
void append_header(std::string& out, Type type, bool end, std::uint64_t id, std::size_t payload);

struct Hello {
  std::uint16_t version = native::version;
  std::string_view token;
};
struct Welcome {
  std::uint16_t version = native::version;
  std::uint32_t window = 0;    ///< bytes of each body, in each direction, before any `window`
  std::uint32_t requests = 0;  ///< in progress at a time
};
struct Request {
  http::RequestHead head;
  std::string_view body;
};
struct Response {
  http::ResponseHead head;
  std::string_view body;
};
struct Failure {
  std::uint16_t status = 0;
  std::string_view words;
};

std::optional<Hello> read_hello(std::string_view payload);
std::optional<Welcome> read_welcome(std::string_view payload);
std::optional<Request> read_request(std::string_view payload);
std::optional<Response> read_response(std::string_view payload);
std::optional<std::uint64_t> read_window(std::string_view payload);
std::optional<Failure> read_failure(std::string_view payload);

void append_hello(std::string& out, const Hello& hello);
void append_welcome(std::string& out, const Welcome& welcome);
/// False, and nothing is written, where head and body are too long for a frame.
bool append_request(std::string& out, std::uint64_t id, const http::RequestHead& head, std::string_view body, bool end);
bool append_response(std::string& out, std::uint64_t id, const http::ResponseHead& head, std::string_view body,
                     bool end);
void append_window(std::string& out, std::uint64_t id, std::uint64_t bytes);
void append_failure(std::string& out, std::uint64_t id, std::uint16_t status, std::string_view words);
/// In as many frames as it takes.
void append_data(std::string& out, std::uint64_t id, std::string_view bytes, bool end);

}  // namespace trireme::proxy::native
