#include "native/ring.hpp"

#include <algorithm>
#include <cstring>

namespace trireme::frames {

// ---- Reading ------------------------------------------------------------------------------------

std::ptrdiff_t RingReader::read(char* to, std::size_t most) {
  const std::uint64_t here = head_.written.load(std::memory_order_acquire) - taken_;
  if (here > size_) return -1;
  const std::size_t count = std::min<std::uint64_t>(here, most);
  if (count == 0) return 0;
  const std::size_t at = taken_ & (size_ - 1);
  const std::size_t before_end = std::min(count, size_ - at);
  std::memcpy(to, bytes_ + at, before_end);
  if (before_end < count) std::memcpy(to + before_end, bytes_, count - before_end);
  taken_ += count;
  head_.taken.store(taken_);
  return static_cast<std::ptrdiff_t>(count);
}

bool RingReader::wakes_writer() {
  if (head_.writer_waits.load() == 0) return false;
  // A writer that is woken for a few bytes has the bell rung for each few.
  if (head_.written.load(std::memory_order_relaxed) - taken_ > size_ / 2) return false;
  return head_.writer_waits.exchange(0) != 0;
}

bool RingReader::lie_down() {
  head_.reader_sleeps.store(1);
  return head_.written.load() == taken_;
}

// ---- Writing ------------------------------------------------------------------------------------

std::ptrdiff_t RingWriter::write(std::string_view first, std::string_view second) {
  const std::size_t wanted = first.size() + second.size();
  if (size_ - (written_ - taken_) < wanted) {
    const std::uint64_t taken = head_.taken.load(std::memory_order_acquire);
    if (taken - taken_ > written_ - taken_) return -1;
    taken_ = taken;
  }
  const std::size_t count = std::min<std::uint64_t>(wanted, size_ - (written_ - taken_));
  if (count == 0) return 0;
  copy(first.substr(0, count));
  if (count > first.size()) copy(second.substr(0, count - first.size()));
  head_.written.store(written_);
  return static_cast<std::ptrdiff_t>(count);
}

void RingWriter::copy(std::string_view bytes) {
  const std::size_t at = written_ & (size_ - 1);
  const std::size_t before_end = std::min(bytes.size(), size_ - at);
  std::memcpy(bytes_ + at, bytes.data(), before_end);
  std::memcpy(bytes_, bytes.data() + before_end, bytes.size() - before_end);
  written_ += bytes.size();
}

bool RingWriter::wakes_reader() {
  return head_.reader_sleeps.load() != 0 && head_.reader_sleeps.exchange(0) != 0;
}

bool RingWriter::wait_for_room() {
  head_.writer_waits.store(1);
  if (head_.taken.load() == taken_) return true;
  head_.writer_waits.store(0);
  return false;
}

}  // namespace trireme::frames
