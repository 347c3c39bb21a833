// The GPUs that this host shows and that the environment grants, found without any vendor's library. Only how much memory
// NVIDIA's have and which PCI devices they are is asked of its own (node/nvml.hpp), where that is installed.
//
// NVIDIA's driver lists its devices under /proc/driver/nvidia/gpus and has a node per device in /dev (a container may have
// only some of these); AMD's lists them in sysfs. CUDA_VISIBLE_DEVICES and ROCR_VISIBLE_DEVICES, which schedulers set, narrow
// and renumber them; a scheduler's own list counts where these are not set.
#pragma once

#include <vector>

#include "node/topology.hpp"

namespace trireme {

/// `intel` is how many of Intel's there are, whose driver lists them nowhere else than as PCI devices.
std::vector<NodeGpu> find_gpus(const NodeSources& sources, std::size_t intel = 0);

}  // namespace trireme
