// What passes between an agent and an executor over a unix socket (docs/spec/functions.md): the agent sends calls ahead, the
// executor makes them one after the other and sends their ends, both many in one write.
//
// A frame is {u32 length of what follows, u8 kind, u64 id} and a body, integers as they lie in memory: both ends are on one
// machine. Shared by both ends; the standard library alone.
//
// Ends that have gathered and are not sent yet lie in a file that the agent makes and the executor maps, SOCKET.NUMBER: u64 length,
// and as many bytes of frames. When the executor dies, of whatever, the agent reads them there: which calls were over, with their
// results, and so which one ran. What was sent as well is there twice at most, and the agent goes by the ids.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace trireme::executor {

enum class Kind : std::uint8_t {
  // To the executor.
  define = 1,  ///< id: number of a function; body: u32 length of the library, the library, the name
  call = 2,    ///< body: u32 number of the function, arguments as JSON
  skip = 3,    ///< do not make that call, if it has not begun
  // To the agent.
  hello = 16,    ///< id: what the executor was told to be; the first frame
  done = 17,     ///< body: i64 begun, i64 ended (nanoseconds since the epoch), result as JSON
  failed = 18,   ///< the same, with what went wrong in words
  skipped = 19,  ///< the call was not made
};

constexpr std::size_t header_bytes = 13;
constexpr std::size_t max_frame = 8u << 20;
constexpr std::size_t unsent_bytes = 64u << 10;  ///< of frames, in that file
constexpr std::size_t max_result = 1u << 20;     ///< of a call: a longer one is a failure
constexpr std::size_t max_words = 64u << 10;     ///< about a failure
constexpr std::size_t max_depth = 512;           ///< of lists and maps inside each other, in a result

struct Frame {
  Kind kind{};
  std::uint64_t id = 0;
  std::string_view body;
};

template <typename Integer>
void append_integer(std::string& out, Integer value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

/// The integer at the front of `body`, which it is cut off from; 0 where there is none.
template <typename Integer>
Integer take_integer(std::string_view& body) {
  Integer value = 0;
  if (body.size() < sizeof value) return value;
  std::memcpy(&value, body.data(), sizeof value);
  body.remove_prefix(sizeof value);
  return value;
}

/// Appends a frame whose body is the two texts one after the other.
inline void append_frame(std::string& out, Kind kind, std::uint64_t id, std::string_view body = {},
                         std::string_view more = {}) {
  append_integer(out, static_cast<std::uint32_t>(header_bytes - 4 + body.size() + more.size()));
  append_integer(out, static_cast<std::uint8_t>(kind));
  append_integer(out, id);
  out.append(body).append(more);
}

/// The file of an executor's unsent ends.
inline std::string unsent_path(const std::string& socket, std::uint64_t number) {
  return socket + "." + std::to_string(number);
}

/// Cuts a stream of bytes into frames.
class Reader {
 public:
  void feed(std::string_view bytes) {
    if (used_ > 0 && used_ == buffer_.size()) {
      buffer_.clear();
      used_ = 0;
    } else if (used_ > max_kept) {
      buffer_.erase(0, used_);
      used_ = 0;
    }
    buffer_.append(bytes);
  }
  /// The next whole frame, valid until the next feed(); none if it has not arrived.
  std::optional<Frame> next() {
    std::string_view rest = std::string_view(buffer_).substr(used_);
    if (rest.size() < header_bytes) return std::nullopt;
    const auto length = take_integer<std::uint32_t>(rest);
    if (length > max_frame || length < header_bytes - 4) {
      failed_ = true;
      return std::nullopt;
    }
    if (rest.size() < length) return std::nullopt;
    std::string_view frame = rest.substr(0, length);
    used_ += 4 + length;
    const auto kind = static_cast<Kind>(take_integer<std::uint8_t>(frame));
    const auto id = take_integer<std::uint64_t>(frame);
    return Frame{kind, id, frame};
  }
  /// What came is no frame: nothing follows.
  bool failed() const { return failed_; }

 private:
  static constexpr std::size_t max_kept = 1u << 20;
  std::string buffer_;
  std::size_t used_ = 0;
  bool failed_ = false;
};

}  // namespace trireme::executor
