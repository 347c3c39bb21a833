// Bytes of request bodies that are held to find their models, counted together while they are.
#pragma once

#include <cstddef>
#include <utility>

namespace trireme::proxy {

/// Takes its bytes off the common count at its end.
class HeldBytes {
 public:
  HeldBytes() = default;
  explicit HeldBytes(std::size_t& together) : together_(&together) {}
  HeldBytes(HeldBytes&& other) noexcept
      : together_(std::exchange(other.together_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  HeldBytes& operator=(HeldBytes&& other) noexcept {
    std::swap(together_, other.together_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~HeldBytes() { release(); }

  void add(std::size_t bytes) {
    bytes_ += bytes;
    *together_ += bytes;
  }
  void release() {
    if (together_ != nullptr) *together_ -= std::exchange(bytes_, 0);
  }

 private:
  std::size_t* together_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace trireme::proxy
