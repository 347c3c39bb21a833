#include "native/socket.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <utility>

#include "native/codec.hpp"

namespace trireme::native {

namespace {

constexpr std::size_t inbox_first = 64u << 10;
constexpr std::size_t inbox_most = 1u << 20;

bool fill(sockaddr_un& address, const std::string& path) {
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return false;
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return true;
}

int give_up(int socket) {
  const int error = errno;
  ::close(socket);
  errno = error;
  return -1;
}

long receive_some(Wire wire, char* to, std::size_t most) {
  if (wire.rings != nullptr) return wire.rings->receive(wire.socket, to, most);
  if (wire.passed == nullptr) return ::recv(wire.socket, to, most, MSG_DONTWAIT);
  int descriptor = -1;
  const long got = frames::receive_with_descriptor(wire.socket, to, most, descriptor);
  if (*wire.passed < 0) std::swap(*wire.passed, descriptor);
  if (descriptor >= 0) ::close(descriptor);
  return got;
}

}  // namespace

void Inbox::consume(std::size_t bytes) {
  begin_ += bytes;
  if (begin_ == end_) begin_ = end_ = 0;
}

std::pair<char*, std::size_t> Inbox::room() {
  const std::size_t held = end_ - begin_;
  const bool grow = capacity_ < inbox_most && (capacity_ == 0 || filled_ || held * 2 > capacity_);
  if (grow) {
    const std::size_t capacity = capacity_ == 0 ? inbox_first : std::min(capacity_ * 4, inbox_most);
    std::unique_ptr<char[]> larger(new char[capacity]);
    if (held > 0) std::memcpy(larger.get(), data_.get() + begin_, held);
    data_ = std::move(larger);
    capacity_ = capacity;
    begin_ = 0;
    end_ = held;
    filled_ = false;
  } else if (begin_ > 0 && capacity_ - end_ < frames::max_frame) {
    std::memmove(data_.get(), data_.get() + begin_, held);
    begin_ = 0;
    end_ = held;
  }
  return {data_.get() + end_, capacity_ - end_};
}

void Inbox::commit(std::size_t bytes) {
  end_ += bytes;
  filled_ = end_ == capacity_;
}

Waiter::Got Waiter::receive(Wire wire, Inbox& in, int wake, bool to_write, Clock::time_point until) {
  const auto [room, size] = in.room();
  const bool spins = !to_write && !std::exchange(resting_, false);
  bool began = false;
  bool slept = false;
  for (;;) {
    const long got = receive_some(wire, room, size);
    if (got > 0) {
      in.commit(static_cast<std::size_t>(got));
      return Got::bytes;
    }
    if (got == 0) {
      errno = 0;
      return Got::end;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) return Got::end;
    if (slept) return Got::nothing;
    if (spins) {
      const auto now = Clock::now();
      if (!std::exchange(began, true)) spin_.active(now);
      if (spin_.looks(now)) {
        ::sched_yield();
        spin_.yielded(now, Clock::now());
        continue;
      }
    }
    int timeout = -1;
    if (until != Clock::time_point::max()) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
      timeout = static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
    }
    const bool sleeps = wire.rings == nullptr || wire.rings->lie_down();
    const Got woken = sleeps ? sleep(wire, wake, to_write, timeout) : Got::bytes;
    if (wire.rings != nullptr) wire.rings->get_up();
    if (woken == Got::nothing) return Got::nothing;
    slept = true;
  }
}

/// Until something has come, there is room to write, or the time is over: `bytes`; or until `wake` is readable: `nothing`.
Waiter::Got Waiter::sleep(Wire wire, int wake, bool to_write, int timeout) {
  // Through memory, room to write is told by the bell.
  const bool room_of_socket = to_write && wire.rings == nullptr;
  pollfd waits[2] = {{wire.socket, static_cast<short>(POLLIN | (room_of_socket ? POLLOUT : 0)), 0}, {wake, POLLIN, 0}};
  if (::poll(waits, 2, timeout) <= 0) return Got::bytes;
  if (wire.rings != nullptr && waits[0].revents != 0) wire.rings->answer_bell(wire.socket);
  return waits[1].revents != 0 ? Got::nothing : Got::bytes;
}

Waiter::Got Waiter::wait_for_room(Wire wire, int wake) {
  const bool bell = wire.rings != nullptr;
  pollfd waits[2] = {{wire.socket, static_cast<short>(bell ? POLLIN : POLLOUT), 0}, {wake, POLLIN, 0}};
  ::poll(waits, 2, -1);
  errno = 0;
  if (bell && waits[0].revents != 0) return wire.rings->answer_bell(wire.socket) ? Got::nothing : Got::end;
  return (waits[0].revents & (POLLERR | POLLHUP)) != 0 ? Got::end : Got::nothing;
}

int connect_to(const std::string& path, Clock::time_point until) {
  using namespace std::chrono;
  sockaddr_un address{};
  if (!fill(address, path)) return -1;
  const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return -1;
  // One that does not block would fail where the backlog is full, without a way to wait for room.
  int result = -1;
  do {
    const auto left = std::clamp<microseconds>(ceil<microseconds>(until - Clock::now()), 1us, 60s);
    const timeval patience{.tv_sec = left / 1s, .tv_usec = (left % 1s).count()};
    ::setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    result = ::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  } while (result != 0 && (errno == EINTR || errno == EAGAIN) && Clock::now() < until);
  if (result != 0 || ::fcntl(socket, F_SETFL, O_NONBLOCK) != 0) return give_up(socket);
  return socket;
}

int listen_at(const std::string& path) {
  sockaddr_un address{};
  if (!fill(address, path)) return -1;
  const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (socket < 0) return -1;
  if (::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::chmod(path.c_str(), 0600) != 0 || ::listen(socket, 64) != 0) {
    return give_up(socket);
  }
  return socket;
}

int make_eventfd() {
  return ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

void raise_flag(int eventfd) {
  const std::uint64_t one = 1;
  if (::write(eventfd, &one, sizeof one) < 0) return;  // it is raised already
}

void lower_flag(int eventfd) {
  std::uint64_t count = 0;
  if (::read(eventfd, &count, sizeof count) < 0) return;  // it was not raised
}

long send_some(Wire wire, std::string_view first, std::string_view second) {
  if (wire.rings != nullptr) return wire.rings->send(wire.socket, first, second);
  iovec parts[2] = {{const_cast<char*>(first.data()), first.size()}, {const_cast<char*>(second.data()), second.size()}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = second.empty() ? 1 : 2;
  for (;;) {
    const ssize_t sent = ::sendmsg(wire.socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) return sent;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
    if (errno != EINTR) return -1;
  }
}

}  // namespace trireme::native
