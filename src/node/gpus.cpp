#include "node/gpus.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>

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

std::size_t count_amd(const NodeSources& sources) {
  std::size_t count = 0;
  std::error_code error;
  for (const auto& node : fs::directory_iterator(sources.sys + "/class/kfd/kfd/topology/nodes", error)) {
    // A node without SIMD units is a CPU; one that the cgroup denies has an unreadable file.
    std::ifstream properties(node.path() / "properties");
    std::string key;
    std::uint64_t value = 0;
    while (properties >> key >> value) {
      if (key == "simd_count" && value > 0) ++count;
    }
  }
  return count;
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
  std::vector<std::string> ids = numbers(count_nvidia(sources));
  if (!ids.empty()) {
    ids = narrowed(std::move(ids), sources, {"CUDA_VISIBLE_DEVICES", "SLURM_STEP_GPUS", "SLURM_JOB_GPUS"});
  } else {
    vendor = GpuVendor::amd;
    ids = narrowed(numbers(count_amd(sources)), sources, {"ROCR_VISIBLE_DEVICES", "SLURM_STEP_GPUS", "SLURM_JOB_GPUS"});
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
    gpus.push_back({index, vendor, std::move(id), {}});
  }
  return gpus;
}

}  // namespace trireme
