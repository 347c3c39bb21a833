#include "node/gpus.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <map>

#include "node/nvml.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

std::optional<std::size_t> to_number(std::string_view text) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::size_t count_entries(const fs::path& folder, std::string_view prefix) {
  std::size_t count = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(prefix)) continue;
    if (prefix.empty() || to_number(std::string_view(name).substr(prefix.size()))) ++count;
  }
  return count;
}

std::size_t count_nvidia(const NodeSources& sources) {
  const std::size_t listed = count_entries(sources.proc + "/driver/nvidia/gpus", "");
  const std::size_t nodes = count_entries(sources.dev, "nvidia");
  return listed > 0 && nodes > 0 ? std::min(listed, nodes) : std::max(listed, nodes);
}

/// What a file of "key value" lines says of a key; 0 if it does not.
std::uint64_t value_of(const fs::path& file, std::string_view wanted) {
  std::ifstream properties(file);
  std::string key;
  std::uint64_t value = 0;
  while (properties >> key >> value) {
    if (key == wanted) return value;
  }
  return 0;
}

/// The memory of a node's own banks, which are on the GPU.
std::uint64_t amd_memory(const fs::path& node) {
  std::uint64_t bytes = 0;
  std::error_code error;
  for (const auto& bank : fs::directory_iterator(node / "mem_banks", error)) {
    bytes += value_of(bank.path() / "properties", "size_in_bytes");
  }
  return bytes;
}

/// Of each GPU, in the order of the driver's numbers, its memory.
std::vector<std::uint64_t> find_amd(const NodeSources& sources) {
  std::map<std::size_t, std::uint64_t> found;
  std::error_code error;
  for (const auto& node : fs::directory_iterator(sources.sys + "/class/kfd/kfd/topology/nodes", error)) {
    // A node without SIMD units is a CPU; one that the cgroup denies has an unreadable file.
    const auto number = to_number(node.path().filename().string());
    if (!number || value_of(node.path() / "properties", "simd_count") == 0) continue;
    found.emplace(*number, amd_memory(node.path()));
  }
  std::vector<std::uint64_t> memory;
  for (const auto& [number, bytes] : found) memory.push_back(bytes);
  return memory;
}

/// "0,2", "0-3", "GPU-1b2c,GPU-…": the names in a list of devices, ranges spelt out.
std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    std::string_view word = text.substr(0, comma);
    text = comma == std::string_view::npos ? std::string_view{} : text.substr(comma + 1);
    while (!word.empty() && word.front() == ' ') word.remove_prefix(1);
    while (!word.empty() && word.back() == ' ') word.remove_suffix(1);
    const std::size_t dash = word.find('-');
    const auto first = to_number(word.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : to_number(word.substr(dash + 1));
    if (first && last && *last - *first < 1024) {
      for (std::size_t i = *first; i <= *last; ++i) out.push_back(std::to_string(i));
    } else {
      out.emplace_back(word);
    }
  }
  return out;
}

/// The devices out of `present` that a list of visible ones leaves; like CUDA, it ends at the first name that means nothing.
std::vector<std::string> narrow(const std::vector<std::string>& present, std::string_view visible) {
  std::vector<std::string> out;
  for (const std::string& name : split_list(visible)) {
    const auto number = to_number(name);
    const bool uuid = name.starts_with("GPU-") || name.starts_with("MIG-");
    if (number ? *number >= present.size() : !uuid) break;
    const std::string& id = number ? present[*number] : name;
    if (std::find(out.begin(), out.end(), id) == out.end()) out.push_back(id);
  }
  return out;
}

std::vector<std::string> numbers(std::size_t count) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < count; ++i) out.push_back(std::to_string(i));
  return out;
}

/// Narrowed by the first of these variables that is set.
std::vector<std::string> narrowed(std::vector<std::string> present, const NodeSources& sources,
                                  std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (const auto value = sources.environment(name)) return narrow(present, *value);
  }
  return present;
}

}  // namespace

std::vector<NodeGpu> find_gpus(const NodeSources& sources, std::size_t intel) {
  GpuVendor vendor = GpuVendor::nvidia;
  std::vector<std::uint64_t> amd;
  std::vector<std::string> ids = numbers(count_nvidia(sources));
  if (!ids.empty()) {
    ids = narrowed(std::move(ids), sources, {"CUDA_VISIBLE_DEVICES", "SLURM_STEP_GPUS", "SLURM_JOB_GPUS"});
  } else {
    vendor = GpuVendor::amd;
    amd = find_amd(sources);
    ids = narrowed(numbers(amd.size()), sources, {"ROCR_VISIBLE_DEVICES", "SLURM_STEP_GPUS", "SLURM_JOB_GPUS"});
    // HIP numbers what ROCR leaves visible.
    ids = narrowed(std::move(ids), sources, {"HIP_VISIBLE_DEVICES"});
    if (ids.empty() && intel > 0) {
      vendor = GpuVendor::intel;
      ids = narrowed(numbers(intel), sources, {"ZE_AFFINITY_MASK", "SLURM_STEP_GPUS", "SLURM_JOB_GPUS"});
    }
  }
  std::vector<NodeGpu> gpus;
  for (std::string& id : ids) {
    const auto number = to_number(id);
    const auto index = static_cast<std::uint32_t>(number.value_or(gpus.size()));
    const bool known = vendor == GpuVendor::amd && number && *number < amd.size();
    gpus.push_back({index, vendor, std::move(id), {}, known ? amd[*number] : 0});
  }
  if (vendor == GpuVendor::nvidia && !gpus.empty()) ask_nvml(sources.nvml, gpus);
  return gpus;
}

}  // namespace trireme
