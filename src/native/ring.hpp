// One direction of a connection in memory that both sides have mapped: a ring of bytes with one writer and one reader.
//
// Each side counts its bytes itself and tells the other in the ring's head; what the other tells is believed only where it can be
// true, so whoever scribbles in the memory breaks its own connection and nothing else. Bytes are copied out before they are read.
//
// Who is about to sleep says so, looks once more, and is woken by the other's bell (rings.hpp): a store and a load on either side, in
// one order for all, so that one of the two sees the other. Head and bytes are pure memory here; whoever has them may fuzz them.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace trireme::frames {

/// Each word has a cache line of its own: a hop costs the transfer of those that have changed.
struct RingHead {
  alignas(64) std::atomic<std::uint64_t> written;        ///< bytes, ever; the writer's
  alignas(64) std::atomic<std::uint64_t> taken;          ///< bytes, ever; the reader's
  alignas(64) std::atomic<std::uint32_t> reader_sleeps;  ///< set by the reader; the writer clears it and rings
  alignas(64) std::atomic<std::uint32_t> writer_waits;  ///< for room; set by the writer; the reader clears it and rings
};
static_assert(sizeof(RingHead) == 256 && std::atomic<std::uint64_t>::is_always_lock_free);

class RingReader {
 public:
  /// `size` is a power of two.
  RingReader(RingHead& head, const char* bytes, std::size_t size) : head_(head), bytes_(bytes), size_(size) {}

  bool empty() const { return head_.written.load(std::memory_order_acquire) == taken_; }
  /// How many bytes have been copied; -1: the writer has said what cannot be.
  std::ptrdiff_t read(char* to, std::size_t most);
  /// After a read: the writer waits for room, there is much, and the bell is to be rung.
  bool wakes_writer();
  /// The bell will ring once something is written. False: there are bytes already.
  bool lie_down();
  void get_up() { head_.reader_sleeps.store(0, std::memory_order_relaxed); }

 private:
  RingHead& head_;
  const char* const bytes_;
  const std::size_t size_;
  std::uint64_t taken_ = 0;
};

class RingWriter {
 public:
  RingWriter(RingHead& head, char* bytes, std::size_t size) : head_(head), bytes_(bytes), size_(size) {}

  /// How many bytes of both have been taken; -1: the reader has said what cannot be.
  std::ptrdiff_t write(std::string_view first, std::string_view second);
  /// After a write: the reader sleeps, and the bell is to be rung.
  bool wakes_reader();
  /// False: there is room now. True: the bell will ring once there is.
  bool wait_for_room();

 private:
  void copy(std::string_view bytes);

  RingHead& head_;
  char* const bytes_;
  const std::size_t size_;
  std::uint64_t written_ = 0;
  std::uint64_t taken_ = 0;  ///< as far as the reader had when it was last looked at
};

}  // namespace trireme::frames
