// How much memory NVIDIA's GPUs have: their driver's library alone knows. It is loaded for this question and let go.
#pragma once

#include <span>
#include <string>

#include "node/topology.hpp"

namespace trireme {

/// Fills in the memory of these GPUs, as far as the library is there and knows them.
void ask_nvml(const std::string& library, std::span<NodeGpu> gpus);

}  // namespace trireme
