#include "proxy/native/memory.hpp"

#include <sys/socket.h>

namespace trireme::proxy::native {

long AwaitedMemory::send(int socket, std::string_view bytes) {
  return ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
}

std::unique_ptr<frames::Rings> AwaitedMemory::take() {
  return frames::Rings::attach(came_.release());
}

}  // namespace trireme::proxy::native
