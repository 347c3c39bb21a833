// Bytes of request bodies that are held to find their models, counted together while they are.
//
// The count belongs to all who hold some: a request that was buried may be the last to let go of its bytes.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

namespace trireme::proxy {

/// Takes its bytes off the common count at its end.
class HeldBytes {
 public:
  HeldBytes() = default;
  explicit HeldBytes(std::shared_ptr<std::size_t> together) : together_(std::move(together)) {}
  HeldBytes(HeldBytes&& other) noexcept
      : together_(std::move(other.together_)), bytes_(std::exchange(other.bytes_, 0)) {}
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
  /// What all hold.
  std::size_t together() const { return *together_; }
  void release() {
    if (together_ != nullptr) *together_ -= std::exchange(bytes_, 0);
  }

 private:
  std::shared_ptr<std::size_t> together_;
  std::size_t bytes_ = 0;
};

}  // namespace trireme::proxy
