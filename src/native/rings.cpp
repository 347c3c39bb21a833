#include "native/rings.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <new>

namespace trireme::frames {

namespace {

// The heads of both directions, the caller's first, then their bytes.
constexpr std::size_t heads_bytes = 4096;
constexpr std::size_t memory_bytes = heads_bytes + 2 * Rings::size;
constexpr int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
static_assert(2 * sizeof(RingHead) <= heads_bytes);

RingHead& head_of(void* memory, bool of_answerer) {
  return *std::launder(reinterpret_cast<RingHead*>(static_cast<char*>(memory) + (of_answerer ? sizeof(RingHead) : 0)));
}

char* bytes_of(void* memory, bool of_answerer) {
  return static_cast<char*>(memory) + heads_bytes + (of_answerer ? Rings::size : 0);
}

void* map(int descriptor) {
  void* const memory = ::mmap(nullptr, memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

bool ring_bell(int socket) {
  for (;;) {
    if (::send(socket, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1) return true;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return true;  // so many rings have not been heard yet
    if (errno != EINTR) return false;
  }
}

}  // namespace

// ---- Making and mapping -------------------------------------------------------------------------

Rings::Rings(void* memory, bool answers)
    : memory_(memory),
      in_(head_of(memory, !answers), bytes_of(memory, !answers), size),
      out_(head_of(memory, answers), bytes_of(memory, answers), size) {}

Rings::~Rings() {
  ::munmap(memory_, memory_bytes);
}

std::unique_ptr<Rings> Rings::make(int& descriptor) {
  const int made = ::memfd_create("trireme-native", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (made < 0) return nullptr;
  void* memory = nullptr;
  if (::ftruncate(made, memory_bytes) == 0 && ::fcntl(made, F_ADD_SEALS, seals) == 0) memory = map(made);
  if (memory == nullptr) {
    const int error = errno;
    ::close(made);
    errno = error;
    return nullptr;
  }
  for (const bool of_answerer : {false, true}) {
    // Lock-free words, so that the other side's need no construction.
    ::new (static_cast<void*>(static_cast<char*>(memory) + (of_answerer ? sizeof(RingHead) : 0))) RingHead{};
    head_of(memory, of_answerer).reader_sleeps = 1;  // until whoever reads gets up by itself
  }
  descriptor = made;
  return std::unique_ptr<Rings>(new Rings(memory, true));
}

std::unique_ptr<Rings> Rings::attach(int descriptor) {
  if (descriptor < 0) return nullptr;
  struct stat status {};
  const int sealed = ::fcntl(descriptor, F_GET_SEALS);
  const bool good = sealed >= 0 && (sealed & seals) == seals && ::fstat(descriptor, &status) == 0 &&
                    status.st_size == static_cast<off_t>(memory_bytes);
  void* const memory = good ? map(descriptor) : nullptr;
  ::close(descriptor);
  if (memory == nullptr) return nullptr;
  return std::unique_ptr<Rings>(new Rings(memory, false));
}

// ---- Bytes and bells ----------------------------------------------------------------------------

long Rings::send(int socket, std::string_view first, std::string_view second) {
  const std::size_t wanted = first.size() + second.size();
  std::size_t sent = 0;
  bool rings = false;
  do {
    const auto in_first = std::min(sent, first.size());
    const std::ptrdiff_t written = out_.write(first.substr(in_first), second.substr(sent - in_first));
    if (written < 0) {
      errno = EPROTO;
      return -1;
    }
    sent += static_cast<std::size_t>(written);
    rings = (written > 0 && out_.wakes_reader()) || rings;
  } while (sent < wanted && !out_.wait_for_room());
  if (rings && !ring_bell(socket)) return -1;
  return static_cast<long>(sent);
}

long Rings::receive(int socket, char* to, std::size_t most) {
  const std::ptrdiff_t got = in_.read(to, most);
  if (got < 0) {
    errno = EPROTO;
    return -1;
  }
  if (got == 0) {
    errno = EAGAIN;
    return ended_ ? 0 : -1;
  }
  // Where nobody is there any more to hear it, the socket says so at the next sleep.
  if (in_.wakes_writer()) ring_bell(socket);
  return static_cast<long>(got);
}

bool Rings::answer_bell(int socket) {
  std::array<char, 256> rung;
  for (;;) {
    const ssize_t got = ::recv(socket, rung.data(), rung.size(), MSG_DONTWAIT);
    if (got > 0) return true;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return true;
    ended_ = true;
    return false;
  }
}

// ---- Descriptors --------------------------------------------------------------------------------

bool send_with_descriptor(int socket, std::string_view bytes, int descriptor) {
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
  for (;;) {
    const ssize_t sent = ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent == static_cast<ssize_t>(bytes.size())) return true;
    if (sent >= 0) errno = EAGAIN;
    if (sent >= 0 || errno != EINTR) return false;
  }
}

long receive_with_descriptor(int socket, char* to, std::size_t most, int& descriptor) {
  descriptor = -1;
  iovec part{to, most};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = CMSG_LEN(sizeof(int));  // so that there is room for one, and the kernel closes others
  const ssize_t got = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got <= 0) return got;
  const cmsghdr* const header = CMSG_FIRSTHDR(&message);
  if (header != nullptr && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
      header->cmsg_len == CMSG_LEN(sizeof(int))) {
    std::memcpy(&descriptor, CMSG_DATA(header), sizeof descriptor);
  }
  return got;
}

}  // namespace trireme::frames
