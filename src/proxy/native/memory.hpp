// How a stream's bytes go through memory that is shared with the other side (native/rings.hpp), on the event loop: what comes is
// looked for while the loop is polled, and else the bell, which is an edge of the socket, says so. Belongs to the event loop.
#pragma once

#include <memory>
#include <utility>

#include "native/rings.hpp"
#include "proxy/http/stream.hpp"

namespace trireme::proxy::native {

class Memory final : public http::Channel {
 public:
  explicit Memory(std::unique_ptr<frames::Rings> rings) : rings_(std::move(rings)) {}

  long receive(int socket, char* to, std::size_t most) override { return rings_->receive(socket, to, most); }
  long send(int socket, std::string_view bytes) override { return rings_->send(socket, bytes); }

  bool has_bytes(const http::Stream& stream) const { return !stream.readable() && rings_->has_bytes(); }
  /// What has come already and is not read yet needs no bell.
  bool lie_down(const http::Stream& stream) {
    if (rings_->lie_down() || stream.readable()) return true;
    rings_->get_up();
    return false;
  }
  /// An edge of the socket, as it is to be understood of the memory.
  http::Ready heard(int socket, http::Ready ready) {
    if (ready.gone) {
      rings_->end();
    } else if (ready.in) {
      rings_->answer_bell(socket);
    }
    const bool any = ready.in || ready.bytes;
    return {.in = any, .out = any, .gone = ready.gone};
  }

 private:
  const std::unique_ptr<frames::Rings> rings_;
};

/// The socket, with the descriptor that may come with a welcome.
class AwaitedMemory final : public http::Channel {
 public:
  long receive(int socket, char* to, std::size_t most) override {
    int descriptor = -1;
    const long got = frames::receive_with_descriptor(socket, to, most, descriptor);
    http::Descriptor came(descriptor);
    if (!came_) came_ = std::move(came);
    return got;
  }
  long send(int socket, std::string_view bytes) override;
  /// Null: nothing came that can be used.
  std::unique_ptr<frames::Rings> take();

 private:
  http::Descriptor came_;
};

}  // namespace trireme::proxy::native
