// Sockets of the native protocol's two ends: received bytes, waiting for more with a bounded spin, connecting and listening.
//
// Descriptors are non-blocking. Where the two sides share memory (rings.hpp), bytes go through that, and the socket wakes who
// sleeps. Each object here belongs to one thread at a time.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "core/spin.hpp"
#include "native/rings.hpp"

namespace trireme::native {

using Clock = std::chrono::steady_clock;

/// Received bytes that wait to be taken, contiguous.
class Inbox {
 public:
  std::string_view view() const { return {data_.get() + begin_, end_ - begin_}; }
  void consume(std::size_t bytes);
  void clear() { begin_ = end_ = 0; }
  /// Room behind the bytes held; never empty, as long as what is held is less than a frame.
  std::pair<char*, std::size_t> room();
  void commit(std::size_t bytes);

 private:
  std::unique_ptr<char[]> data_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  bool filled_ = false;  ///< the last read took all the room there was
};

/// Where a connection's bytes go: through its socket, or through memory once both sides have agreed on it. A view.
struct Wire {
  Wire(int number, frames::Rings* memory = nullptr, int* descriptor = nullptr)
      : socket(number), rings(memory), passed(descriptor) {}
  int socket;
  frames::Rings* rings;
  int* passed;  ///< where the first descriptor that comes with bytes goes; it was -1
};

/// Waits for bytes: looks for them for a while, giving the core to others in between, then sleeps.
class Waiter {
 public:
  explicit Waiter(std::chrono::nanoseconds spin) : spin_({.least = spin, .most = spin}) {}

  enum class Got {
    bytes,    ///< they are in the inbox
    nothing,  ///< woken, room to write, or the time is over
    end,      ///< the other side has closed the connection, or it is broken: errno, or 0
  };
  /// `wake` ends the sleep when it is readable; -1: nothing does. `until` max: for good. `to_write`: room to write does, too.
  Got receive(Wire wire, Inbox& in, int wake, bool to_write, Clock::time_point until);
  /// The next receive() looks once and then sleeps: who has much at a time to do is woken for much at a time.
  void rest() { resting_ = true; }
  /// Sleeps until there is room to write, or `wake` is readable.
  Got wait_for_room(Wire wire, int wake);

 private:
  static Got sleep(Wire wire, int wake, bool to_write, int timeout);

  Spin spin_;
  bool resting_ = false;
};

/// Waits until then while more want to be let in than there is room for. -1: errno says why.
int connect_to(const std::string& path, Clock::time_point until);
int listen_at(const std::string& path);
int make_eventfd();
/// Makes an eventfd readable, and no longer readable.
void raise_flag(int eventfd);
void lower_flag(int eventfd);

/// Sends what is taken at once. The count, or -1 with errno.
long send_some(Wire wire, std::string_view first, std::string_view second = {});

}  // namespace trireme::native
