// The frames of the native protocol (docs/spec/native.md): reading and writing, and nothing else.
//
// Pure, and without any dependency, because clients and services in C++ are built from it too. What is read is a view into
// the bytes given; nothing is allocated. Reading is strict: names of headers are tokens, values hold no control characters.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace trireme::frames {

/// What a connection begins with, before its first frame. No HTTP request begins with a zero byte.
constexpr std::string_view preface{"\0TRIREME", 8};
constexpr std::uint16_t first_version = 1;
constexpr std::uint16_t version = 2;  ///< the highest: after the welcome bytes go through memory (rings.hpp)
constexpr std::size_t header_bytes = 16;
constexpr std::size_t max_payload = 256u << 10;
constexpr std::size_t max_frame = header_bytes + max_payload;
/// Of a long body, in one frame: a reader goes on with one while the next is on its way, and it stays in a core's cache.
constexpr std::size_t data_piece = 64u << 10;
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
/// Writes the size of the frame that has been written behind `begin`; takes back one that is too long: then false.
bool seal(std::string& out, std::size_t begin);

template <typename T>
void put(std::string& out, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof bytes);
}

/// A header of a request or an answer.
struct Field {
  std::string_view name;
  std::string_view value;
};
void put_field(std::string& out, const Field& field);

/// Headers as they stand in a frame, checked: each `next` takes one off the front.
class Fields {
 public:
  Fields() = default;
  Fields(std::string_view bytes, std::uint16_t count) : bytes_(bytes), count_(count) {}
  std::uint16_t count() const { return count_; }
  std::string_view bytes() const { return bytes_; }
  bool next(Field& field);

 private:
  std::string_view bytes_;
  std::uint16_t count_ = 0;
};
/// The first value of a header, compared without regard to case.
std::optional<std::string_view> find(Fields fields, std::string_view name);
bool same_name(std::string_view a, std::string_view b);
/// What frames say themselves, or what is for one hop of HTTP: no header of a frame.
bool is_framing(std::string_view name);

struct Hello {
  std::uint16_t version = frames::version;
  std::string_view token;
};
struct Welcome {
  std::uint16_t version = frames::version;
  std::uint32_t window = 0;    ///< bytes of each body, in each direction, before any `window`
  std::uint32_t requests = 0;  ///< in progress at a time
};
struct RequestView {
  std::uint64_t length = 0;
  std::string_view method;
  std::string_view target;
  Fields headers;
  std::string_view body;
};
struct ResponseView {
  std::uint64_t length = 0;
  std::uint16_t status = 0;
  Fields headers;
  std::string_view body;
};
struct Failure {
  std::uint16_t status = 0;
  std::string_view words;
};

std::optional<Hello> read_hello(std::string_view payload);
std::optional<Welcome> read_welcome(std::string_view payload);
std::optional<RequestView> view_request(std::string_view payload);
std::optional<ResponseView> view_response(std::string_view payload);
std::optional<std::uint64_t> read_window(std::string_view payload);
std::optional<Failure> read_failure(std::string_view payload);

void append_hello(std::string& out, const Hello& hello);
void append_welcome(std::string& out, const Welcome& welcome);
/// The beginning of a request up to its headers; put_field() for each and then the body follow, and seal().
void begin_request(std::string& out, std::uint64_t id, bool end, std::uint64_t length, std::string_view method,
                   std::string_view target, std::uint16_t headers);
void begin_response(std::string& out, std::uint64_t id, bool end, std::uint64_t length, std::uint16_t status,
                    std::uint16_t headers);
void append_window(std::string& out, std::uint64_t id, std::uint64_t bytes);
void append_failure(std::string& out, std::uint64_t id, std::uint16_t status, std::string_view words);
/// In as many frames as it takes.
void append_data(std::string& out, std::uint64_t id, std::string_view bytes, bool end);

}  // namespace trireme::frames
