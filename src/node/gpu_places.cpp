#include "node/gpu_places.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>

namespace trireme {
namespace {

std::optional<GpuVendor> gpu_vendor(const hwloc_obj_attr_u::hwloc_pcidev_attr_s& device) {
  constexpr unsigned display = 0x03;      // VGA, 3D and other display controllers
  constexpr unsigned accelerator = 0x12;  // processing accelerators
  const unsigned base = device.class_id >> 8;
  if (base != display && base != accelerator) return std::nullopt;
  switch (device.vendor_id) {
    case 0x10de:
      return GpuVendor::nvidia;
    case 0x1002:
      return GpuVendor::amd;
    case 0x8086:
      // Integrated graphics is a VGA controller; what computes is not.
      return device.class_id == 0x0300 ? std::nullopt : std::optional(GpuVendor::intel);
    default:
      return std::nullopt;
  }
}

}  // namespace

std::vector<PciGpu> attached_gpus(hwloc_topology_t topology, std::span<const NodeCore> cores) {
  std::map<std::tuple<unsigned, unsigned, unsigned, unsigned>, PciGpu> by_address;
  for (hwloc_obj_t device = nullptr; (device = hwloc_get_next_pcidev(topology, device)) != nullptr;) {
    const auto& pci = device->attr->pcidev;
    const auto vendor = gpu_vendor(pci);
    if (!vendor) continue;
    PciGpu gpu{*vendor, {pci.domain, pci.bus, pci.dev}, {}};
    const hwloc_obj_t place = hwloc_get_non_io_ancestor_obj(topology, device);
    // What hangs on the whole machine is near to nothing in particular.
    if (place != nullptr && place->cpuset != nullptr && place != hwloc_get_root_obj(topology)) {
      for (const NodeCore& core : cores) {
        const hwloc_obj_t object = hwloc_get_obj_by_type(topology, HWLOC_OBJ_CORE, core.id);
        if (object != nullptr && hwloc_bitmap_intersects(object->cpuset, place->cpuset) != 0)
          gpu.near.push_back(core.id);
      }
    }
    by_address[{pci.domain, pci.bus, pci.dev, pci.func}] = std::move(gpu);
  }
  std::vector<PciGpu> out;
  for (auto& [address, gpu] : by_address) out.push_back(std::move(gpu));
  return out;
}

std::vector<NodeGpu> as_listed(std::span<const PciGpu> attached) {
  std::vector<NodeGpu> out;
  for (const PciGpu& gpu : attached) {
    // A host has GPUs of one vendor, or the first one's are those that count.
    if (gpu.vendor != attached.front().vendor) continue;
    const auto number = static_cast<std::uint32_t>(out.size());
    out.push_back({number, gpu.vendor, std::to_string(number), gpu.near});
  }
  return out;
}

void locate(std::vector<NodeGpu>& gpus, std::span<const PciGpu> attached) {
  for (NodeGpu& gpu : gpus) {
    std::uint32_t number = 0;
    for (const PciGpu& place : attached) {
      if (place.vendor != gpu.vendor) continue;
      const bool same = gpu.address ? place.address == *gpu.address : number == gpu.index;
      if (same) gpu.near = place.near;
      ++number;
    }
  }
}

}  // namespace trireme
