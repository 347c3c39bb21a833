// Where GPUs are attached: the cores next to each, as hwloc's tree of PCI devices shows it.
//
// Drivers number the GPUs of one vendor in the order of their PCI addresses, which is often not that of the caches and NUMA
// domains: on Frontier the GPU next to the first L3 cache is number 4. A container that was given some of the GPUs still shows all
// of them as PCI devices, and one named by a UUID has no number: these are told by their address alone.
#pragma once

#include <hwloc.h>

#include <span>
#include <vector>

#include "node/topology.hpp"

namespace trireme {

struct PciGpu {
  GpuVendor vendor = GpuVendor::nvidia;
  PciAddress address;
  std::vector<std::uint32_t> near;  ///< ids of cores
};

/// All GPUs of the topology, by PCI address. `cores` are those that may be named.
std::vector<PciGpu> attached_gpus(hwloc_topology_t topology, std::span<const NodeCore> cores);

/// GPUs of a host that is not this one, numbered as its driver would.
std::vector<NodeGpu> as_listed(std::span<const PciGpu> attached);

/// Fills in where these are attached: by their addresses, and by their numbers where the driver does not tell these.
void locate(std::vector<NodeGpu>& gpus, std::span<const PciGpu> attached);

}  // namespace trireme
