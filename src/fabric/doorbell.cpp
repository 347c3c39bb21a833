#include "fabric/doorbell.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <string>
#include <utility>

namespace trireme::fabric {

namespace {

BellWord* map_word(int memory) {
  void* const mapped = ::mmap(nullptr, sizeof(BellWord), PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  return mapped == MAP_FAILED ? nullptr : static_cast<BellWord*>(mapped);  // zero is a valid word: awake
}

std::uint64_t inode_of(int descriptor) {
  struct stat status {};
  return ::fstat(descriptor, &status) == 0 ? status.st_ino : 0;
}

/// -1 unless the file with that number of that process is the one meant.
int open_of(std::int64_t process, int number, int flags, std::uint64_t inode) {
  const std::string path = "/proc/" + std::to_string(process) + "/fd/" + std::to_string(number);
  const int descriptor = ::open(path.c_str(), flags | O_CLOEXEC);
  if (descriptor >= 0 && inode_of(descriptor) == inode) return descriptor;
  if (descriptor >= 0) ::close(descriptor);
  return -1;
}

}  // namespace

BellParts::~BellParts() {
  if (word_ != nullptr) ::munmap(word_, sizeof(BellWord));
  if (pipe_ >= 0) ::close(pipe_);
}

BellParts::BellParts(BellParts&& other) noexcept
    : pipe_(std::exchange(other.pipe_, -1)), word_(std::exchange(other.word_, nullptr)) {}

BellParts& BellParts::operator=(BellParts&& other) noexcept {
  std::swap(pipe_, other.pipe_);
  std::swap(word_, other.word_);
  return *this;
}

std::unique_ptr<Doorbell> Doorbell::make() {
  std::array<int, 2> ends{-1, -1};
  if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) return nullptr;
  const int memory = ::memfd_create("trireme-doorbell", MFD_CLOEXEC);
  BellWord* word = memory >= 0 && ::ftruncate(memory, sizeof(BellWord)) == 0 ? map_word(memory) : nullptr;
  if (word == nullptr) {
    for (const int descriptor : {ends[0], ends[1], memory}) {
      if (descriptor >= 0) ::close(descriptor);
    }
    return nullptr;
  }
  return std::unique_ptr<Doorbell>(new Doorbell(BellParts(ends[0], word), ends[1], memory));
}

Doorbell::Doorbell(BellParts parts, int write_end, int memory)
    : parts_(std::move(parts)), write_end_(write_end), memory_(memory) {}

Doorbell::~Doorbell() {
  ::close(write_end_);
  ::close(memory_);
}

BellAddress Doorbell::address() const {
  return {.process = ::getpid(),
          .pipe = write_end_,
          .memory = memory_,
          .pipe_inode = inode_of(write_end_),
          .memory_inode = inode_of(memory_)};
}

bool Doorbell::answer() {
  std::array<char, 64> bytes{};
  return ::read(parts_.pipe(), bytes.data(), bytes.size()) > 0;
}

std::optional<BellPull> BellPull::open(const BellAddress& address) {
  if (address.process == 0) return std::nullopt;
  const int memory = open_of(address.process, address.memory, O_RDWR, address.memory_inode);
  if (memory < 0) return std::nullopt;
  BellWord* const word = map_word(memory);
  ::close(memory);
  // Its reading end too, so that writing is no error, and no signal, once its owner is dead.
  BellParts parts(open_of(address.process, address.pipe, O_RDWR | O_NONBLOCK, address.pipe_inode), word);
  if (word == nullptr || parts.pipe() < 0) return std::nullopt;
  return BellPull(std::move(parts));
}

void BellPull::ring() {
  // What was sent must be there for the sleeper's last look before the word is read here.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  std::atomic<std::uint32_t>& asleep = parts_.word().asleep;
  if (asleep.load(std::memory_order_relaxed) == 0 || asleep.exchange(0) == 0) return;
  const char byte = 0;
  static_cast<void>(::write(parts_.pipe(), &byte, 1));  // full: it is being rung already
}

}  // namespace trireme::fabric
