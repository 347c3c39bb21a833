// A non-blocking stream socket with the bytes that wait on either side of it.
//
// One class serves TCP and unix sockets, because after accept or connect they differ in nothing: it works on the descriptor
// itself rather than on a variant of Asio's socket types. It tries a read or write first and remembers what the kernel said;
// the edges from the Loop say when to try again. A read that returned less than there was room for has emptied the socket,
// so it is not tried again before the next edge.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "proxy/http/loop.hpp"

namespace trireme::proxy::http {

/// Owns a file descriptor.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor() { close(); }

  int get() const { return number_; }
  int release() { return std::exchange(number_, -1); }
  explicit operator bool() const { return number_ >= 0; }
  void close();

 private:
  int number_ = -1;
};

/// Received bytes that wait to be taken, contiguous.
class InputBuffer {
 public:
  std::string_view view() const { return {data_.get() + begin_, end_ - begin_}; }
  std::size_t size() const { return end_ - begin_; }
  bool empty() const { return begin_ == end_; }
  void consume(std::size_t bytes);
  /// Room behind the bytes held, so that at most `limit` are held in all; empty when that many are. Views become invalid.
  std::pair<char*, std::size_t> room(std::size_t limit);
  void commit(std::size_t bytes) {
    end_ += bytes;
    filled_ = end_ == capacity_;
  }
  /// Gives memory back that only a large body needed. The buffer is empty.
  void shrink();

 private:
  void move_to(std::size_t capacity);

  std::unique_ptr<char[]> data_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  bool filled_ = false;  ///< the last read took all the room there was: a larger buffer saves reads
};

/// A way for a stream's bytes beside its socket. Its calls are as send() and recv() without blocking, with their errno; an edge of
/// the socket says when to try again.
class Channel {
 public:
  virtual ~Channel() = default;
  virtual long receive(int socket, char* to, std::size_t most) = 0;
  virtual long send(int socket, std::string_view bytes) = 0;
};

class Stream {
 public:
  enum class Io {
    progress,  ///< bytes were moved, or there was nothing to do
    blocked,   ///< the kernel has no bytes, or no room, until the next edge
    full,      ///< the input buffer has no room
    eof,       ///< the other side will send no more
    failed,    ///< the connection is broken; error() is its errno
  };

  Stream() = default;
  /// `connected` false: nothing is tried before the first edge.
  explicit Stream(Descriptor descriptor, bool connected = true)
      : descriptor_(std::move(descriptor)), readable_(connected), writable_(connected) {}

  int descriptor() const { return descriptor_.get(); }
  /// From here on bytes go that way.
  void use(std::unique_ptr<Channel> channel) { channel_ = std::move(channel); }
  /// Notes what an edge said.
  void note(Ready ready);
  /// The other side closed its writing end, or the connection failed. Bytes that it sent before may still be unread.
  bool gone() const { return gone_; }
  /// A read may find something.
  bool readable() const { return readable_; }
  /// Reads once into the buffer, which holds at most `limit` bytes after it.
  Io read(InputBuffer& in, std::size_t limit);

  /// Bytes that are written before all others, at the next write.
  std::string& pending() { return out_; }
  /// How many bytes wait for the kernel to have room.
  std::size_t unsent() const { return out_.size() - sent_; }
  /// Writes what is pending and then the pieces, in one call where possible; what the kernel does not take is copied and
  /// becomes pending.
  Io write(std::initializer_list<std::string_view> pieces = {});
  int error() const { return error_; }

  /// Ends the writing side only.
  void shut_down_writing();
  /// The close that follows will tell the other side that the connection was broken off (TCP only).
  void make_close_abortive();
  void close();

 private:
  Descriptor descriptor_;
  std::unique_ptr<Channel> channel_;  ///< null: the socket
  bool readable_ = false;
  bool writable_ = false;
  bool gone_ = false;
  int error_ = 0;
  std::string out_;
  std::size_t sent_ = 0;  ///< of out_
};

}  // namespace trireme::proxy::http
