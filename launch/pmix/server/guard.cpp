// What keeps libpmix alive when ranks die, and does not keep them waiting: two functions of the C library, put before libpmix and
// libevent by this program.
//
// libpmix 4.2's server does not stand ends of ranks at certain moments:
//  - A rank that dies while its connection is being accepted makes a send of libpmix's fail. Its way out of that releases the
//    rank's entry once too often, and the entry stays in the namespace's list. So a send to who is gone succeeds here; the read
//    that follows tells libpmix of the end, where it is prepared for it.
//  - A fence among ranks of one host that waits for one of them is completed when that one is lost, in an event of its own. Until
//    this event has its turn, the loss of another completes the fence once more, and the second completion works on what the
//    first has freed. Both losses have to be found by one look at the sockets for that. So a look finds one event at a time here,
//    and what follows from it has had its turn before the next look.
//
// In PMIx_Finalize a rank sends several small messages. Its socket has Nagle's algorithm on, so the second waits until the first is
// acknowledged, and the kernel at our end puts that off for 40 ms in the hope of an answer to carry it. So an acknowledgement is
// asked for before each read; libpmix has no setting for this.
//
// All hold for every thread of the process. The sources that show this: openpmix 4.2.2, src/mca/ptl/base/ptl_base_connection_hdlr.c
// and ptl_base_sendrecv.c.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>

extern "C" {

// NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name)
ssize_t send(int socket, const void* bytes, size_t size, int flags) {
  const ssize_t sent = ::sendto(socket, bytes, size, flags | MSG_NOSIGNAL, nullptr, 0);
  const bool gone = sent < 0 && (errno == EPIPE || errno == ECONNRESET);
  return gone ? static_cast<ssize_t>(size) : sent;
}

// NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name)
int epoll_wait(int epoll, epoll_event* events, int limit, int timeout_ms) {
  const int found = ::epoll_pwait(epoll, events, limit < 1 ? limit : 1, timeout_ms, nullptr);
  if (found > 0 && (events->events & EPOLLIN) != 0) {
    const int error = errno;
    const int yes = 1;
    // libevent keeps the descriptor in the event. Where it is no TCP socket this is refused, and nothing is lost.
    ::setsockopt(events->data.fd, IPPROTO_TCP, TCP_QUICKACK, &yes, sizeof yes);
    errno = error;
  }
  return found;
}
}
