// The memory through which the two ends of a connection send each other bytes, instead of through its socket (docs/spec/native.md).
//
// The answerer makes it, and passes its descriptor with the welcome to a peer that has been let in; nobody else can reach it. It can
// be neither shrunk nor grown, which who maps it checks: reading it never fails. The socket stays open: a byte on it, of any value,
// is the bell that wakes who sleeps or waits for room, and its end is the end of the connection, after what is still in memory.
//
// One thread at a time sends and one receives; these may be two.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "native/ring.hpp"

namespace trireme::frames {

class Rings {
 public:
  /// Bytes of each direction: half a frame of a long body's at a time, and it stays in a core's cache.
  static constexpr std::size_t size = 64u << 10;

  /// Of the answerer; `descriptor` is what is to be passed on, and closed. Null: errno says why.
  static std::unique_ptr<Rings> make(int& descriptor);
  /// Of the caller; closes the descriptor. Null: it is not what was agreed on.
  static std::unique_ptr<Rings> attach(int descriptor);
  ~Rings();
  Rings(const Rings&) = delete;
  Rings& operator=(const Rings&) = delete;

  /// As sendmsg() without blocking: 0 where there is no room, and the bell rings once there is; -1 with errno.
  long send(int socket, std::string_view first, std::string_view second = {});
  /// As recv() without blocking: -1 with EAGAIN where there is nothing. 0 once answer_bell() has found the end.
  long receive(int socket, char* to, std::size_t most);
  /// Something can be received. Cheap.
  bool has_bytes() const { return !in_.empty(); }
  /// Before a sleep that the socket ends. False: something can be received already.
  bool lie_down() { return in_.lie_down(); }
  void get_up() { in_.get_up(); }
  /// The socket is readable: takes what has rung. False: that was its end.
  bool answer_bell(int socket);
  /// Nothing more comes than what is in memory.
  void end() { ended_ = true; }

 private:
  Rings(void* memory, bool answers);

  void* const memory_;
  RingReader in_;
  RingWriter out_;
  bool ended_ = false;  ///< the socket has
};

/// Sends bytes with a descriptor, all of them or none: false, with errno.
bool send_with_descriptor(int socket, std::string_view bytes, int descriptor);
/// As recv() without blocking; `descriptor` is one that came with the bytes, or -1.
long receive_with_descriptor(int socket, char* to, std::size_t most, int& descriptor);

}  // namespace trireme::frames
