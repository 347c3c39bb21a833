// Acknowledges at once what a rank sends to libpmix: 40 ms less for each MPI task.
//
// In PMIx_Finalize a client sends five small messages one after the other. Its socket, which is in the rank's process and out of our
// reach, has Nagle's algorithm on: the second waits until the first is acknowledged, and the kernel at our end puts that off for
// 40 ms in the hope of an answer to carry it. So an acknowledgement is asked for after each read of a connection that was accepted.
// The kernel forgets that wish by itself, which is why it is said each time.
//
// libpmix 4.2 and 5 have no setting for this, and it calls accept() and read() of the C library. A program's own functions of these
// names come before the library's, for all in its process; these do the same system calls.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>

namespace {

/// Of the connections that were accepted, by descriptor; those beyond are as they were.
constexpr std::size_t most_descriptors = 16384;
std::array<std::atomic<bool>, most_descriptors>& accepted() {
  static std::array<std::atomic<bool>, most_descriptors> flags{};
  return flags;
}

}  // namespace

extern "C" {

int accept(int listener, sockaddr* address, socklen_t* size) {
  const long made = ::syscall(SYS_accept4, listener, address, size, 0);
  const auto at = static_cast<std::size_t>(made);
  if (made >= 0 && at < most_descriptors) accepted()[at].store(true, std::memory_order_relaxed);
  return static_cast<int>(made);
}

ssize_t read(int file, void* data, std::size_t size) {
  const long got = ::syscall(SYS_read, file, data, size);
  const auto at = static_cast<std::size_t>(file);
  if (got <= 0 || file < 0 || at >= most_descriptors || !accepted()[at].load(std::memory_order_relaxed)) return got;
  const int yes = 1;
  // The descriptor may be another file's by now: then this is refused, and it is left in peace.
  if (::setsockopt(file, IPPROTO_TCP, TCP_QUICKACK, &yes, sizeof yes) != 0) {
    accepted()[at].store(false, std::memory_order_relaxed);
  }
  return got;
}

}  // extern "C"
