#include "node/topology.hpp"

#include <hwloc.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>

#include "node/gpu_places.hpp"
#include "node/gpus.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

using Topology = std::unique_ptr<hwloc_topology, decltype(&hwloc_topology_destroy)>;

Error hwloc_error(std::string_view what) {
  return {"hwloc cannot " + std::string(what), "", "", ExitCode::runtime_failed};
}

Result<Topology> load_topology(const NodeSources& sources) {
  hwloc_topology_t raw = nullptr;
  if (hwloc_topology_init(&raw) != 0) return hwloc_error("be initialised");
  Topology topology(raw, &hwloc_topology_destroy);
  if (!sources.hwloc_xml.empty() && hwloc_topology_set_xml(raw, sources.hwloc_xml.c_str()) != 0) {
    return hwloc_error("read " + sources.hwloc_xml);
  }
  if (!sources.hwloc_synthetic.empty() && hwloc_topology_set_synthetic(raw, sources.hwloc_synthetic.c_str()) != 0) {
    return hwloc_error("understand the topology \"" + sources.hwloc_synthetic + "\"");
  }
  // GPUs are attached somewhere; where PCI cannot be read nobody knows where.
  hwloc_topology_set_io_types_filter(raw, HWLOC_TYPE_FILTER_KEEP_IMPORTANT);
  // Linux tells where they are. libpciaccess, which would read each device's configuration for the same, leaks; the others open
  // drivers and displays, which is not a runtime's business. Where a component is not there it cannot be left out either.
  for (const char* component : {"pci", "opencl", "gl"}) {
    hwloc_topology_set_components(raw, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, component);
  }
  if (hwloc_topology_load(raw) != 0) return hwloc_error("find out about this host");
  return topology;
}

std::vector<std::uint32_t> members(hwloc_const_bitmap_t set) {
  std::vector<std::uint32_t> out;
  for (int i = hwloc_bitmap_first(set); i >= 0; i = hwloc_bitmap_next(set, i)) {
    out.push_back(static_cast<std::uint32_t>(i));
  }
  return out;
}

/// The L3 above a core; where there is none, its domain stands for it.
std::uint32_t cache_of(hwloc_topology_t topology, hwloc_obj_t core, std::uint32_t domain) {
  const hwloc_obj_t cache = hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_L3CACHE, core);
  return cache == nullptr ? domain : cache->logical_index;
}

std::vector<NodeCore> allowed_cores(hwloc_topology_t topology) {
  // Some virtual machines show hardware threads and no cores.
  const auto type = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE) > 0 ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
  const bool this_host = hwloc_topology_is_thissystem(topology) != 0;
  const auto allowed = hwloc_topology_get_allowed_cpuset(topology);
  std::unique_ptr<hwloc_bitmap_s, decltype(&hwloc_bitmap_free)> usable(hwloc_bitmap_alloc(), &hwloc_bitmap_free);
  std::vector<NodeCore> cores;
  for (hwloc_obj_t core = nullptr; (core = hwloc_get_next_obj_by_type(topology, type, core)) != nullptr;) {
    hwloc_bitmap_and(usable.get(), core->cpuset, allowed);
    if (hwloc_bitmap_iszero(usable.get())) continue;
    NodeCore out{.id = core->logical_index, .domain = 0, .cpus = {}};
    if (core->nodeset != nullptr) {
      out.domain = static_cast<std::uint32_t>(std::max(0, hwloc_bitmap_first(core->nodeset)));
    }
    if (this_host) out.cpus = members(usable.get());
    out.cache = cache_of(topology, core, out.domain);
    out.kind = static_cast<std::uint32_t>(std::max(0, hwloc_cpukinds_get_by_cpuset(topology, core->cpuset, 0)));
    cores.push_back(std::move(out));
  }
  return cores;
}

/// The first number in SLURM_JOB_CPUS_PER_NODE where it is the same for all nodes: "16" or "16(x3)".
std::optional<std::size_t> uniform_count(std::string_view text) {
  if (text.find(',') != std::string_view::npos) return std::nullopt;
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || value == 0) return std::nullopt;
  if (end != text.data() + text.size() && *end != '(') return std::nullopt;
  return value;
}

/// How many CPUs Slurm granted on this node. They are hardware threads or cores, as the site likes it; where cgroups enforce
/// the grant hwloc shows no more than it, so the number only matters where nothing else does, and is then read as cores.
std::optional<std::size_t> granted_cpus(const EnvironmentLookup& environment) {
  for (const char* name : {"SLURM_CPUS_ON_NODE", "SLURM_JOB_CPUS_PER_NODE"}) {
    if (const auto text = environment(name)) {
      if (const auto count = uniform_count(*text)) return count;
    }
  }
  return std::nullopt;
}

std::optional<std::uint64_t> number_in(const fs::path& path) {
  std::ifstream file(path);
  std::uint64_t value = 0;
  if (file >> value) return value;
  return std::nullopt;
}

std::uint64_t total_memory(const std::string& proc) {
  std::ifstream file(proc + "/meminfo");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string key;
    std::uint64_t kilobytes = 0;
    if (words >> key >> kilobytes && key == "MemTotal:") return kilobytes * 1024;
  }
  return 0;
}

/// The smallest limit from the cgroup `path` up to the root of its hierarchy.
std::uint64_t limit_along(const fs::path& mount, fs::path path, const char* file, std::uint64_t limit) {
  path = path.relative_path();
  for (;;) {
    if (const auto value = number_in(mount / path / file)) limit = std::min(limit, *value);
    if (path.empty()) return limit;
    path = path.parent_path();
  }
}

std::uint64_t cgroup_memory(const NodeSources& sources, std::uint64_t limit) {
  std::ifstream file(sources.proc + "/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::string path = line.substr(second + 1);
    if (controllers == ",,") {
      limit = limit_along(sources.sys + "/fs/cgroup", path, "memory.max", limit);
    } else if (controllers.find(",memory,") != std::string::npos) {
      limit = limit_along(sources.sys + "/fs/cgroup/memory", path, "memory.limit_in_bytes", limit);
    }
  }
  return limit;
}

std::optional<std::size_t> whole_number(std::string_view text) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// "0,8,16-17"; nothing if a part of it is no number and no range.
std::vector<std::pair<std::size_t, std::size_t>> ranges_of(std::string_view text) {
  constexpr std::size_t most = 1 << 16;
  std::vector<std::pair<std::size_t, std::size_t>> out;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    const std::size_t dash = part.find('-');
    const auto first = whole_number(part.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : whole_number(part.substr(dash + 1));
    if (!first || !last || *last < *first || *last >= most) return {};
    out.emplace_back(*first, *last);
  }
  return out;
}

/// The part of n things that belongs to one of several sharers.
std::pair<std::size_t, std::size_t> part_of(std::size_t n, std::size_t index, std::size_t count) {
  return {n * index / count, n * (index + 1) / count};
}

std::vector<NodeCore> imagined_cores(std::uint32_t count) {
  std::vector<NodeCore> cores(count);
  for (std::uint32_t i = 0; i < count; ++i) cores[i].id = i;
  return cores;
}

}  // namespace

Resources NodeResources::amount() const {
  return {static_cast<std::uint32_t>(cores.size()), static_cast<MilliGpus>(gpus.size()) * whole_gpu, memory};
}

Result<NodeResources> discover_node(const NodeSources& given) {
  NodeSources sources = given;
  if (!sources.environment) {
    sources.environment = [](std::string_view name) -> std::optional<std::string> {
      const char* value = std::getenv(std::string(name).c_str());
      return value == nullptr ? std::nullopt : std::optional<std::string>(value);
    };
  }
  auto topology = load_topology(sources);
  if (!topology) return std::move(topology).error();

  NodeResources node;
  node.cores = allowed_cores(topology->get());
  if (node.cores.empty()) return hwloc_error("find a core that this process may use");
  if (const auto granted = granted_cpus(sources.environment); granted && *granted < node.cores.size()) {
    node.cores.resize(*granted);
  }
  if (hwloc_topology_is_thissystem(topology->get()) != 0) {
    node.memory = total_memory(sources.proc);
  } else {
    node.memory = hwloc_get_root_obj(topology->get())->total_memory;
  }
  node.memory = cgroup_memory(sources, node.memory);
  const std::vector<PciGpu> attached = attached_gpus(topology->get(), node.cores);
  if (hwloc_topology_is_thissystem(topology->get()) == 0 && !attached.empty()) {
    node.gpus = as_listed(attached);
  } else {
    const auto intel = std::count_if(attached.begin(), attached.end(),
                                     [](const PciGpu& gpu) { return gpu.vendor == GpuVendor::intel; });
    node.gpus = find_gpus(sources, static_cast<std::size_t>(intel));
    locate(node.gpus, attached);
    if (!node.gpus.empty()) node.gpu_vendor = node.gpus.front().vendor;
  }
  return node;
}

Status reserve_cores(NodeResources& node, std::string_view which) {
  std::set<std::uint32_t> ids;
  if (which == "l3") {
    std::set<std::uint32_t> caches;
    for (const NodeCore& core : node.cores) {
      if (caches.insert(core.cache).second) ids.insert(core.id);
    }
  } else if (const auto count = whole_number(which)) {
    for (std::size_t i = 0; i < std::min(*count, node.cores.size()); ++i) ids.insert(node.cores[i].id);
  } else {
    for (const auto& [first, last] : ranges_of(which)) {
      for (std::size_t id = first; id <= last; ++id) ids.insert(static_cast<std::uint32_t>(id));
    }
    if (ids.empty()) {
      return Error{std::string(which) + " names no cores", "--reserve-cores",
                   "it is l3, a number, or a list such as 0,8-9", ExitCode::usage};
    }
  }
  std::vector<NodeCore> kept;
  for (NodeCore& core : node.cores) (ids.contains(core.id) ? node.reserved : kept).push_back(std::move(core));
  node.cores = std::move(kept);
  if (node.cores.empty()) {
    return Error{"all cores of this node are reserved", "--reserve-cores", "leave some for tasks", ExitCode::usage};
  }
  return {};
}

NodeResources share(const NodeResources& node, std::uint32_t local_index, std::uint32_t local_count,
                    const VirtualNode& wanted) {
  NodeResources mine;
  mine.warnings = node.warnings;
  mine.reserved = node.reserved;
  mine.gpu_vendor = node.gpu_vendor;

  if (wanted.cores) {
    const std::size_t count = *wanted.cores;
    if (count * local_count <= node.cores.size()) {
      const auto first = node.cores.begin() + static_cast<std::ptrdiff_t>(count * local_index);
      mine.cores.assign(first, first + static_cast<std::ptrdiff_t>(count));
    } else {
      mine.cores = imagined_cores(*wanted.cores);
    }
  } else if (local_count > node.cores.size()) {
    if (!node.cores.empty()) mine.cores = {node.cores[local_index % node.cores.size()]};
    mine.warnings.push_back(std::to_string(local_count) + " ranks share " + std::to_string(node.cores.size()) +
                            " cores of this host: each is given one");
  } else {
    const auto [first, last] = part_of(node.cores.size(), local_index, local_count);
    mine.cores.assign(node.cores.begin() + static_cast<std::ptrdiff_t>(first),
                      node.cores.begin() + static_cast<std::ptrdiff_t>(last));
  }

  if (wanted.gpus) {
    for (std::uint32_t i = 0; i < *wanted.gpus; ++i) {
      const std::uint32_t n = *wanted.gpus * local_index + i;
      if (node.gpus.empty()) {
        mine.gpus.push_back({n, GpuVendor::imagined, std::to_string(n), {}});
      } else {
        mine.gpus.push_back(node.gpus[n % node.gpus.size()]);
      }
    }
  } else {
    const auto [first, last] = part_of(node.gpus.size(), local_index, local_count);
    mine.gpus.assign(node.gpus.begin() + static_cast<std::ptrdiff_t>(first),
                     node.gpus.begin() + static_cast<std::ptrdiff_t>(last));
  }

  mine.memory = wanted.memory.value_or(node.memory / std::max<std::uint32_t>(1, local_count));
  return mine;
}

}  // namespace trireme
