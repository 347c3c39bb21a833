// What a task asks for and what a node has.
#pragma once

#include <cstdint>
#include <string>

namespace trireme {

/// GPUs are counted in thousandths so that a service may share one: `gpus: 0.25` is 250.
using MilliGpus = std::uint32_t;
constexpr MilliGpus whole_gpu = 1000;

/// An amount of the things that are handed out. Cores are physical cores.
struct Resources {
  std::uint32_t cores = 0;
  MilliGpus gpus = 0;
  std::uint64_t memory = 0;  ///< bytes; 0 asks for none in particular

  /// Whether `wanted` can be taken out of this.
  bool holds(const Resources& wanted) const {
    return cores >= wanted.cores && gpus >= wanted.gpus && memory >= wanted.memory;
  }
  Resources& operator+=(const Resources& other) {
    cores += other.cores;
    gpus += other.gpus;
    memory += other.memory;
    return *this;
  }
  Resources& operator-=(const Resources& other) {
    cores -= other.cores;
    gpus -= other.gpus;
    memory -= other.memory;
    return *this;
  }
  Resources times(std::uint32_t n) const { return {cores * n, gpus * n, memory * n}; }
  constexpr auto operator<=>(const Resources&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(cores, gpus, memory);
  }
};

/// "2 cores, 1 GPU, 8G memory"; "nothing" for an empty amount.
std::string to_string(const Resources& resources);

}  // namespace trireme
