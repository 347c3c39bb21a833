#include "native/ring.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <thread>

#include "native/rings.hpp"

using namespace trireme::frames;

namespace {

/// A ring of 64 bytes with both its ends.
struct Small {
  RingHead head{};
  std::array<char, 64> bytes{};
  RingReader reader{head, bytes.data(), bytes.size()};
  RingWriter writer{head, bytes.data(), bytes.size()};

  std::string read(std::size_t most = 64) {
    std::string out(most, '\0');
    const auto got = reader.read(out.data(), most);
    REQUIRE(got >= 0);
    out.resize(static_cast<std::size_t>(got));
    return out;
  }
};

/// Both ends of a connection whose bytes go through memory.
struct Pair {
  Pair() {
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets.data()) == 0);
    int descriptor = -1;
    answerer = Rings::make(descriptor);
    REQUIRE(answerer != nullptr);
    caller = Rings::attach(descriptor);
    REQUIRE(caller != nullptr);
  }
  ~Pair() {
    for (const int socket : sockets) ::close(socket);
  }
  bool rung(int end) const {
    pollfd wait{sockets[static_cast<std::size_t>(end)], POLLIN, 0};
    return ::poll(&wait, 1, 0) == 1;
  }
  std::array<int, 2> sockets{};  ///< the answerer's, the caller's
  std::unique_ptr<Rings> answerer;
  std::unique_ptr<Rings> caller;
};

}  // namespace

TEST_CASE("a ring gives back what was written, in its order, around its end too") {
  Small ring;
  std::string sent;
  std::string got;
  for (int i = 0; i < 100; ++i) {
    const std::string piece(static_cast<std::size_t>(i % 40), static_cast<char>('a' + i % 26));
    const std::string other = std::to_string(i);
    CHECK(ring.writer.write(piece, other) == static_cast<std::ptrdiff_t>(piece.size() + other.size()));
    sent += piece + other;
    got += ring.read(7);
    got += ring.read();
  }
  CHECK(got == sent);
  CHECK(ring.reader.empty());
}

TEST_CASE("a full ring takes what has room, and its writer is woken when half of it is free again") {
  Small ring;
  CHECK(ring.writer.write(std::string(40, 'a'), std::string(40, 'b')) == 64);
  CHECK(ring.writer.write("c", "") == 0);
  CHECK(ring.writer.wait_for_room());
  CHECK(ring.read(8).size() == 8);
  CHECK_FALSE(ring.reader.wakes_writer());
  CHECK(ring.read(30).size() == 30);
  CHECK(ring.reader.wakes_writer());
  CHECK_FALSE(ring.reader.wakes_writer());
  CHECK(ring.writer.write("c", "") == 1);
}

TEST_CASE("room that comes while a writer says that it waits is seen by it") {
  Small ring;
  CHECK(ring.writer.write(std::string(64, 'a'), "b") == 64);
  ring.read(1);
  CHECK_FALSE(ring.writer.wait_for_room());
  CHECK_FALSE(ring.reader.wakes_writer());
}

TEST_CASE("the bell is rung for a reader that sleeps, once, and for no other") {
  Small ring;
  ring.writer.write("a", "");
  CHECK_FALSE(ring.writer.wakes_reader());
  CHECK_FALSE(ring.reader.lie_down());  // there is something
  ring.reader.get_up();
  ring.read();
  CHECK(ring.reader.lie_down());
  ring.writer.write("b", "");
  CHECK(ring.writer.wakes_reader());
  ring.writer.write("c", "");
  CHECK_FALSE(ring.writer.wakes_reader());
}

TEST_CASE("what cannot be is not believed of the other side") {
  for (const std::uint64_t said : {std::uint64_t{65}, std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
    CAPTURE(said);
    Small ring;
    ring.head.written = said;
    std::array<char, 256> to{};
    CHECK(ring.reader.read(to.data(), to.size()) == -1);
  }
  for (const std::uint64_t said : {std::uint64_t{65}, std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
    CAPTURE(said);
    Small ring;
    CHECK(ring.writer.write(std::string(64, 'a'), "") == 64);
    ring.head.taken = said;
    CHECK(ring.writer.write("b", "") == -1);
  }
  Small back;
  CHECK(back.writer.write(std::string(64, 'a'), "") == 64);
  back.read();
  CHECK(back.writer.write(std::string(64, 'b'), "") == 64);
  back.head.taken = 3;  // it had more before
  CHECK(back.writer.write("c", "") == -1);
}

TEST_CASE("two threads lose no byte and no wake") {
  Pair pair;
  constexpr std::size_t total = 8u << 20;
  std::thread sender([&] {
    std::string piece;
    std::size_t sent = 0;
    while (sent < total) {
      piece.resize(std::min<std::size_t>(total - sent, 1 + sent % 90'000));
      for (std::size_t i = 0; i < piece.size(); ++i) piece[i] = static_cast<char>((sent + i) * 7);
      std::string_view rest = piece;
      while (!rest.empty()) {
        const long taken = pair.caller->send(pair.sockets[1], rest);
        REQUIRE(taken >= 0);
        rest.remove_prefix(static_cast<std::size_t>(taken));
        if (rest.empty()) break;
        pollfd wait{pair.sockets[1], POLLIN, 0};
        REQUIRE(::poll(&wait, 1, 20'000) == 1);
        pair.caller->answer_bell(pair.sockets[1]);
      }
      sent += piece.size();
    }
  });
  std::size_t got = 0;
  bool same = true;
  std::array<char, 4096> bytes{};
  while (got < total) {
    const long count = pair.answerer->receive(pair.sockets[0], bytes.data(), bytes.size());
    if (count > 0) {
      for (long i = 0; i < count; ++i) {
        same = same && bytes[static_cast<std::size_t>(i)] == static_cast<char>((got + static_cast<std::size_t>(i)) * 7);
      }
      got += static_cast<std::size_t>(count);
      continue;
    }
    CHECK(errno == EAGAIN);
    if (pair.answerer->lie_down()) {
      pollfd wait{pair.sockets[0], POLLIN, 0};
      if (::poll(&wait, 1, 20'000) != 1) break;
      pair.answerer->answer_bell(pair.sockets[0]);
    }
    pair.answerer->get_up();
  }
  sender.join();
  CHECK(got == total);
  CHECK(same);
}

TEST_CASE("a connection ends after what is still in memory") {
  Pair pair;
  CHECK(pair.caller->send(pair.sockets[1], "last ", "words") == 10);
  ::shutdown(pair.sockets[1], SHUT_RDWR);
  CHECK(pair.rung(0));
  while (pair.answerer->answer_bell(pair.sockets[0])) {
  }
  std::array<char, 64> bytes{};
  CHECK(pair.answerer->receive(pair.sockets[0], bytes.data(), bytes.size()) == 10);
  CHECK(pair.answerer->receive(pair.sockets[0], bytes.data(), bytes.size()) == 0);
}

TEST_CASE("only memory that is sealed and as long as agreed on is mapped") {
  CHECK(Rings::attach(-1) == nullptr);
  CHECK(Rings::attach(::open("/dev/zero", O_RDWR)) == nullptr);
  const int unsealed = ::memfd_create("test", MFD_ALLOW_SEALING);
  REQUIRE(::ftruncate(unsealed, 1 << 20) == 0);
  CHECK(Rings::attach(::dup(unsealed)) == nullptr);
  REQUIRE(::fcntl(unsealed, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0);
  CHECK(Rings::attach(unsealed) == nullptr);  // it is longer
}

TEST_CASE("of descriptors that are passed one is taken, and none is lost") {
  std::array<int, 2> sockets{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets.data()) == 0);
  std::array<char, 8> bytes{};
  int descriptor = 0;
  CHECK(send_with_descriptor(sockets[0], "abc", sockets[0]));
  CHECK(receive_with_descriptor(sockets[1], bytes.data(), bytes.size(), descriptor) == 3);
  CHECK(descriptor >= 0);
  ::close(descriptor);
  CHECK(::send(sockets[0], "d", 1, 0) == 1);
  CHECK(receive_with_descriptor(sockets[1], bytes.data(), bytes.size(), descriptor) == 1);
  CHECK(descriptor == -1);
  // Two at a time are more than there is room for: the second is closed by the kernel.
  const std::array<int, 2> two = {sockets[0], sockets[1]};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof two)> control{};
  iovec part{bytes.data(), 1};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  *header = {.cmsg_len = CMSG_LEN(sizeof two), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
  std::memcpy(CMSG_DATA(header), two.data(), sizeof two);
  const int next = ::dup(0);
  ::close(next);
  REQUIRE(::sendmsg(sockets[0], &message, 0) == 1);
  CHECK(receive_with_descriptor(sockets[1], bytes.data(), bytes.size(), descriptor) == 1);
  CHECK(descriptor == next);
  ::close(descriptor);
  const int again = ::dup(0);
  CHECK(again == next);
  ::close(again);
  for (const int socket : sockets) ::close(socket);
}
