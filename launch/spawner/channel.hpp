// The spawner's end of the socketpair: frames in, frames out, never blocking, and bounded both ways. While more reports wait
// to be written than output_limit, requests are neither read nor handed out; what the rank then sends stays in its socket.
#pragma once

#include <string>

#include "launch/spawner/protocol.hpp"

namespace trireme::spawner {

class Channel {
 public:
  /// Takes ownership of a connected stream socket.
  explicit Channel(int socket);
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  int socket() const { return socket_; }

  /// Reads once, as much as is there and room for.
  void receive();
  /// The next request, if one is whole and the rank reads its reports. Nonsense closes the channel.
  std::optional<Request> next();
  /// Whether next() would yield something without receive().
  bool has_next() const { return open_ && !congested() && reader_.ready(); }

  /// Queues a report; flush() sends it.
  template <typename Message>
  void send(const Message& report) {
    // A report is far smaller than a frame may be.
    if (open_) static_cast<void>(encode(report, output_));
  }
  /// Writes what the socket takes.
  void flush();

  bool wants_to_read() const { return open_ && !congested() && reader_.buffered() < input_limit; }
  bool wants_to_write() const { return open_ && !output_.empty(); }
  /// False from the moment on that the other end is gone or has broken the protocol.
  bool open() const { return open_; }
  void close() { open_ = false; }

 private:
  static constexpr std::size_t output_limit = 1u << 20;
  static constexpr std::size_t input_limit = max_frame + header_bytes;
  bool congested() const { return output_.size() > output_limit; }

  int socket_;
  bool open_ = true;
  FrameReader reader_;
  std::string output_;
  std::string chunk_;
};

}  // namespace trireme::spawner
