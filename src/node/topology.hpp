// What this host has, and what of it one rank may use.
//
// Cores are physical cores. They are those that the cgroup's cpuset allows, as hwloc reports them, and never the mask that
// the launcher bound the rank to: mpirun binds `-n 2` to one core each, which says nothing of what the job was granted. What
// the resource manager granted narrows them further; GPUs and memory likewise. Several ranks on one host divide what is
// there, or each is given a virtual node, which may be larger than the machine: that is a rehearsal, in which processes are
// not pinned to cores and GPUs are handed out more than once.
//
// Everything here is plain values; discover_node() looks at the system once, at the start of a rank.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/resources.hpp"
#include "core/result.hpp"

namespace trireme {

struct NodeCore {
  std::uint32_t id = 0;             ///< hwloc's logical number on this host: what logs and traces show
  std::uint32_t domain = 0;         ///< its NUMA domain; cores of one domain share memory
  std::vector<std::uint32_t> cpus;  ///< its hardware threads, as the OS numbers them; empty: nothing is pinned to it
  std::uint32_t cache = 0;          ///< its last cache that cores share (L3), of all on this host
  std::uint32_t kind = 0;           ///< where cores differ: the faster ones have the higher number
  bool operator==(const NodeCore&) const = default;
};

enum class GpuVendor : std::uint8_t { nvidia, amd, intel, imagined };

struct PciAddress {
  std::uint32_t domain = 0;
  std::uint32_t bus = 0;
  std::uint32_t device = 0;
  auto operator<=>(const PciAddress&) const = default;
};

struct NodeGpu {
  std::uint32_t index = 0;  ///< on this host: what logs and traces show
  GpuVendor vendor = GpuVendor::nvidia;
  std::string id;                   ///< what CUDA_VISIBLE_DEVICES or ROCR_VISIBLE_DEVICES calls it: a number or a UUID
  std::vector<std::uint32_t> near;  ///< ids of the cores that it is attached to; empty: nobody knows
  std::uint64_t memory = 0;         ///< bytes; 0: nobody knows
  std::optional<PciAddress> address = std::nullopt;
  bool operator==(const NodeGpu&) const = default;
};

struct NodeResources {
  std::vector<NodeCore> cores;
  std::vector<NodeGpu> gpus;
  std::optional<GpuVendor> gpu_vendor;  ///< whose GPUs a process finds here by itself, also if they are other ranks'
  std::uint64_t memory = 0;             ///< bytes
  std::vector<NodeCore> reserved;       ///< kept from tasks and services, for the runtime and the system
  std::vector<std::string> warnings;

  Resources amount() const;
  bool operator==(const NodeResources&) const = default;
};

using EnvironmentLookup = std::function<std::optional<std::string>(std::string_view name)>;

/// Where discover_node() looks; tests point it at files of their own.
struct NodeSources {
  std::string proc = "/proc";
  std::string sys = "/sys";
  std::string dev = "/dev";
  std::string nvml = "libnvidia-ml.so.1";  ///< NVIDIA's library, which knows more of its GPUs; empty: none
  std::string hwloc_xml;                   ///< a file to take the topology from; empty: this host (or HWLOC_XMLFILE)
  std::string hwloc_synthetic;             ///< hwloc's own notation, e.g. "numa:4 core:16 pu:2"
  EnvironmentLookup environment;           ///< default: getenv
};

Result<NodeResources> discover_node(const NodeSources& sources = {});

/// Takes cores out of what is handed out (--reserve-cores): "l3" is the first core of each L3 cache, "2" the first two, and
/// "0,8,16-17" the cores of these numbers.
Status reserve_cores(NodeResources& node, std::string_view which);

/// What --worker-cores, --worker-gpus and --worker-memory say of one rank's node.
struct VirtualNode {
  std::optional<std::uint32_t> cores;
  std::optional<std::uint32_t> gpus;
  std::optional<std::uint64_t> memory;
};

/// What the rank `local_index` of `local_count` on this host may use. The parts are disjoint, except that a rank has at least
/// one core even where ranks outnumber cores (with a warning), and where virtual nodes together exceed the machine.
NodeResources share(const NodeResources& node, std::uint32_t local_index, std::uint32_t local_count,
                    const VirtualNode& wanted = {});

}  // namespace trireme
