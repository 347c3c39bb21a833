#include "proxy/http/stream.hpp"

#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <span>

namespace trireme::proxy::http {

namespace {

constexpr std::size_t first_capacity = 8u << 10;
constexpr std::size_t kept_capacity = 64u << 10;
constexpr std::size_t compact_above = 64u << 10;
constexpr std::size_t joined_below = 4u << 10;  ///< the kernel takes one piece for less than copying so much costs

/// By the plain call where that will do: the one for several parts costs more.
ssize_t send_parts(int descriptor, std::string_view first, std::span<const std::string_view> others) {
  if (others.empty()) return ::send(descriptor, first.data(), first.size(), MSG_NOSIGNAL);
  std::array<iovec, 6> parts{};
  msghdr message{};
  message.msg_iov = parts.data();
  const auto add = [&](std::string_view part) {
    if (part.empty()) return;
    assert(message.msg_iovlen < parts.size());
    parts[message.msg_iovlen++] = {const_cast<char*>(part.data()), part.size()};
  };
  add(first);
  for (const std::string_view part : others) add(part);
  return ::sendmsg(descriptor, &message, MSG_NOSIGNAL);
}

/// One after the other, until one is not taken whole.
ssize_t send_parts(Channel& channel, int descriptor, std::string_view first, std::span<const std::string_view> others) {
  ssize_t sent = 0;
  const auto send = [&](std::string_view part) {
    const long taken = part.empty() ? 0 : channel.send(descriptor, part);
    if (taken < 0) {
      if (sent == 0) sent = -1;
      return false;
    }
    sent += taken;
    return taken == static_cast<long>(part.size());
  };
  if (!send(first)) return sent;
  for (const std::string_view part : others) {
    if (!send(part)) break;
  }
  return sent;
}

}  // namespace

void Descriptor::close() {
  if (number_ >= 0) ::close(std::exchange(number_, -1));
}

void InputBuffer::consume(std::size_t bytes) {
  assert(bytes <= size());
  begin_ += bytes;
  if (begin_ == end_) begin_ = end_ = 0;
}

void InputBuffer::move_to(std::size_t capacity) {
  std::unique_ptr<char[]> larger(new char[capacity]);
  const std::size_t held = size();
  if (held > 0) std::memcpy(larger.get(), data_.get() + begin_, held);
  data_ = std::move(larger);
  capacity_ = capacity;
  begin_ = 0;
  end_ = held;
}

std::pair<char*, std::size_t> InputBuffer::room(std::size_t limit) {
  if (size() >= limit) return {nullptr, 0};
  const bool grow = empty() && filled_ && capacity_ < limit;
  if (grow) {
    move_to(std::min(capacity_ * 4, limit));
    filled_ = false;
  } else if (end_ == capacity_) {
    // Growing fourfold while more than half is in use; moving to the front otherwise.
    if (size() * 2 >= capacity_) {
      move_to(std::min(std::max(capacity_ * 4, first_capacity), std::max(limit, first_capacity)));
    } else {
      std::memmove(data_.get(), data_.get() + begin_, size());
      end_ -= begin_;
      begin_ = 0;
    }
  }
  return {data_.get() + end_, std::min(capacity_ - end_, limit - size())};
}

void InputBuffer::shrink() {
  assert(empty());
  if (capacity_ > kept_capacity) *this = {};
}

void Stream::note(Ready ready) {
  readable_ = readable_ || ready.in || ready.gone;
  writable_ = writable_ || ready.out || ready.gone;
  gone_ = gone_ || ready.gone;
}

Stream::Io Stream::read(InputBuffer& in, std::size_t limit) {
  if (!readable_) return Io::blocked;
  const auto [to, size] = in.room(limit);
  if (size == 0) return Io::full;
  for (;;) {
    const ssize_t got =
        channel_ ? channel_->receive(descriptor_.get(), to, size) : ::recv(descriptor_.get(), to, size, 0);
    if (got > 0) {
      in.commit(static_cast<std::size_t>(got));
      // After the other side's end has been announced there is no further edge to wait for.
      readable_ = static_cast<std::size_t>(got) == size || gone_;
      return Io::progress;
    }
    if (got == 0) {
      gone_ = true;
      return Io::eof;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      readable_ = false;
      return Io::blocked;
    }
    error_ = errno;
    gone_ = true;
    return Io::failed;
  }
}

Stream::Io Stream::write(std::initializer_list<std::string_view> pieces) {
  std::size_t total = unsent();
  for (std::string_view piece : pieces) total += piece.size();
  if (total == 0) return Io::progress;
  std::span<const std::string_view> apart(pieces.begin(), pieces.size());
  if (total <= joined_below) {
    for (std::string_view piece : pieces) out_.append(piece);
    apart = {};
  }
  const std::size_t before = unsent();

  std::size_t written = 0;
  Io result = Io::blocked;
  if (writable_) {
    ssize_t n = 0;
    do {
      const auto first = std::string_view(out_).substr(sent_);
      n = channel_ ? send_parts(*channel_, descriptor_.get(), first, apart)
                   : send_parts(descriptor_.get(), first, apart);
    } while (n < 0 && errno == EINTR);
    if (n >= 0) {
      written = static_cast<std::size_t>(n);
      result = written == total ? Io::progress : Io::blocked;
      writable_ = written == total;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      writable_ = false;
    } else {
      error_ = errno;
      gone_ = true;
      out_.clear();
      sent_ = 0;
      return Io::failed;
    }
  }

  std::size_t skip = 0;
  if (written >= before) {
    out_.clear();
    sent_ = 0;
    skip = written - before;
  } else {
    sent_ += written;
    if (sent_ > compact_above && sent_ * 2 > out_.size()) {
      out_.erase(0, sent_);
      sent_ = 0;
    }
  }
  for (std::string_view piece : apart) {
    const std::size_t skipped = std::min(skip, piece.size());
    skip -= skipped;
    out_.append(piece.substr(skipped));
  }
  return result;
}

void Stream::shut_down_writing() {
  ::shutdown(descriptor_.get(), SHUT_WR);
}

void Stream::make_close_abortive() {
  const linger abort{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(descriptor_.get(), SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
}

void Stream::close() {
  descriptor_.close();
}

}  // namespace trireme::proxy::http
