// How a rank that sleeps is woken by ranks of its host: MPI has no descriptor to wait on, so they ring.
//
// Every rank has a Doorbell: a pipe, and a word in shared memory that says whether it lies asleep. Who has sent something to it
// looks at the word and, if it sleeps, takes the word back and writes a byte. The sleeper sets the word, looks at MPI once more,
// and only then waits for the pipe: of the two, one sees the other, so no wake is lost, and a rank that is awake costs its
// senders no system call.
//
// Neither pipe nor memory has a name: other ranks open them through /proc, and nothing is left behind however a rank ends. Where
// that is not allowed, or the number of the process means another one to them, there is no bell, and the rank looks at MPI as
// often as if its peers were on other hosts. Belongs to the event loop's thread; other processes share only the word and the pipe.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

namespace trireme::fabric {

/// The shared word.
struct BellWord {
  std::atomic<std::uint32_t> asleep;
};
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

/// A file descriptor that is closed, and memory that is unmapped, in time.
class BellParts {
 public:
  BellParts(int pipe, BellWord* word) : pipe_(pipe), word_(word) {}
  ~BellParts();
  BellParts(BellParts&& other) noexcept;
  BellParts& operator=(BellParts&& other) noexcept;
  int pipe() const { return pipe_; }
  BellWord& word() const { return *word_; }

 private:
  int pipe_;
  BellWord* word_;
};

/// Where a doorbell is, for processes of the same host. Plain bytes: it travels by MPI.
struct BellAddress {
  std::int64_t process = 0;  ///< 0: there is none
  std::int32_t pipe = -1;    ///< its number in that process, and what must be found there
  std::int32_t memory = -1;
  std::uint64_t pipe_inode = 0;
  std::uint64_t memory_inode = 0;
};

class Doorbell {
 public:
  /// Null where the system does not give one.
  static std::unique_ptr<Doorbell> make();
  ~Doorbell();
  Doorbell(const Doorbell&) = delete;
  Doorbell& operator=(const Doorbell&) = delete;

  BellAddress address() const;
  /// Readable when somebody has rung. Stays the doorbell's.
  int descriptor() const { return parts_.pipe(); }

  /// From now on it is rung. Look at MPI once more before waiting.
  void lie_down() { parts_.word().asleep.store(1, std::memory_order_seq_cst); }
  void get_up() { parts_.word().asleep.store(0, std::memory_order_relaxed); }
  /// Takes what was written. True if there was anything.
  bool answer();

 private:
  Doorbell(BellParts parts, int write_end, int memory);
  BellParts parts_;
  int write_end_;
  int memory_;
};

/// Somebody else's doorbell.
class BellPull {
 public:
  static std::optional<BellPull> open(const BellAddress& address);
  /// After sending.
  void ring();

 private:
  explicit BellPull(BellParts parts) : parts_(std::move(parts)) {}
  BellParts parts_;
};

}  // namespace trireme::fabric
