// Random numbers for policies: xorshift64*, two shifts and a multiplication each. Not for secrets.
#pragma once

#include <cstddef>
#include <cstdint>

namespace trireme::proxy {

class Chance {
 public:
  explicit Chance(std::uint64_t seed) : state_(seed | 1) {}
  /// Below `bound`, which is not 0.
  std::size_t below(std::size_t bound) {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return static_cast<std::size_t>((state_ * 0x2545f4914f6cdd1du >> 32) * bound >> 32);
  }

 private:
  std::uint64_t state_;
};

}  // namespace trireme::proxy
