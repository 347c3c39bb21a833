// How much memory NVIDIA's GPUs have and which PCI devices they are: their driver's library alone knows. It is loaded for this
// question and let go.
#pragma once

#include <span>
#include <string>

#include "node/topology.hpp"

namespace trireme {

/// Fills in memory and address of these GPUs, as far as the library is there and knows them. A UUID may be cut short, as CUDA
/// allows where it stays the only one.
void ask_nvml(const std::string& library, std::span<NodeGpu> gpus);

}  // namespace trireme
