#include "node/variables.hpp"

#include <algorithm>
#include <array>
#include <cctype>

#include "core/percent_encode.hpp"

namespace trireme {
namespace {

// What we set for tasks ourselves; those of an outer run mean nothing in this one, and its token is not for our services.
bool is_ours(std::string_view name) {
  constexpr std::array<std::string_view, 11> names{
      "TRIREME_PROXY_URL", "TRIREME_SOCKET", "TRIREME_TOKEN", "TRIREME_TASK_ID", "TRIREME_ATTEMPT", "TRIREME_RUN_ID",
      "TRIREME_RUN_DIR",   "TRIREME_RANK",   "TRIREME_RANKS", "TRIREME_CORES",   "TRIREME_NODE"};
  return std::find(names.begin(), names.end(), name) != names.end() || name.starts_with("TRIREME_SERVICE_");
}

// What bash sets in every process that it starts.
bool is_shells(std::string_view name) {
  return name == "_" || name == "SHLVL" || name == "PWD" || name == "OLDPWD";
}

}  // namespace

Variables base_variables(std::span<const std::string> entries) {
  Variables out;
  for (const std::string& entry : entries) {
    const std::size_t equals = entry.find('=');
    if (equals == std::string::npos || equals == 0) continue;
    const std::string_view name(entry.data(), equals);
    if (!is_ours(name)) out.emplace(name, entry.substr(equals + 1));
  }
  return out;
}

std::vector<std::string> to_entries(const Variables& variables) {
  std::vector<std::string> out;
  out.reserve(variables.size());
  for (const auto& [name, value] : variables) out.push_back(name + "=" + value);
  return out;
}

VariableChanges changes_between(const Variables& before, const Variables& after) {
  VariableChanges changes;
  for (const auto& [name, value] : after) {
    if (is_shells(name)) continue;
    const auto old = before.find(name);
    if (old == before.end() || old->second != value) changes.set.emplace(name, value);
  }
  for (const auto& [name, value] : before) {
    if (!is_shells(name) && !after.contains(name)) changes.unset.push_back(name);
  }
  return changes;
}

void apply(const VariableChanges& changes, Variables& variables) {
  for (const std::string& name : changes.unset) variables.erase(name);
  for (const auto& [name, value] : changes.set) variables.insert_or_assign(name, value);
}

std::string service_variable(std::string_view service) {
  std::string out = "TRIREME_SERVICE_";
  for (const char c : service) {
    const auto byte = static_cast<unsigned char>(c);
    out += std::isalnum(byte) != 0 ? static_cast<char>(std::toupper(byte)) : '_';
  }
  return out + "_URL";
}

void add_proxy(const ProxyAccess& proxy, std::span<const std::string> services, Variables& variables) {
  variables.insert_or_assign("TRIREME_PROXY_URL", proxy.url);
  variables.insert_or_assign("TRIREME_SOCKET", proxy.socket);
  for (const std::string& service : services) {
    variables.insert_or_assign(service_variable(service), proxy.url + "/services/" + percent_encode(service));
  }
  variables.insert_or_assign("OPENAI_BASE_URL", proxy.url + "/v1");
  variables.insert_or_assign("OPENAI_API_KEY", proxy.inference_token);
  variables.insert_or_assign("OLLAMA_HOST", proxy.url);
}

void add_python(const std::string& folder, Variables& variables) {
  if (folder.empty()) return;
  std::string& value = variables["PYTHONPATH"];
  if (!value.empty()) value += ':';
  value += folder;
}

void add_no_proxy(Variables& variables) {
  for (const char* name : {"no_proxy", "NO_PROXY"}) {
    std::string& value = variables[name];
    if (value == "*") continue;
    if (!value.empty()) value += ',';
    value += "127.0.0.1,localhost,::1";
  }
}

void add_threads(std::span<const NodeCore> cores, Variables& variables) {
  if (cores.empty()) return;
  variables.emplace("OMP_NUM_THREADS", std::to_string(cores.size()));
  std::string places;
  for (const NodeCore& core : cores) {
    if (core.cpus.empty()) return;  // nothing is pinned here
    places += places.empty() ? "{" : ",{";
    for (std::size_t i = 0; i < core.cpus.size(); ++i) places += (i == 0 ? "" : ",") + std::to_string(core.cpus[i]);
    places += '}';
  }
  variables.emplace("OMP_PLACES", places);
}

void hide_gpus(GpuVendor vendor, Variables& variables) {
  if (vendor == GpuVendor::nvidia) variables.insert_or_assign("CUDA_VISIBLE_DEVICES", "");
  if (vendor == GpuVendor::amd) variables.insert_or_assign("ROCR_VISIBLE_DEVICES", "");
}

void add_gpus(std::span<const NodeGpu> gpus, Variables& variables) {
  if (gpus.empty()) return;
  std::string ids;
  std::string ordinals;
  std::vector<std::string_view> listed;
  for (const NodeGpu& gpu : gpus) {
    // In a rehearsal one may be given twice; CUDA would show none of a list that names one twice.
    if (std::find(listed.begin(), listed.end(), gpu.id) != listed.end()) continue;
    const char* const comma = listed.empty() ? "" : ",";
    ids += comma + gpu.id;
    ordinals += comma + std::to_string(listed.size());
    listed.push_back(gpu.id);
  }
  if (gpus.front().vendor == GpuVendor::amd) {
    variables.insert_or_assign("ROCR_VISIBLE_DEVICES", ids);
    variables.insert_or_assign("HIP_VISIBLE_DEVICES", ordinals);
    // HIP reads this one as well, and it too would count in what ROCR leaves.
    variables.erase("CUDA_VISIBLE_DEVICES");
  } else if (gpus.front().vendor == GpuVendor::intel) {
    variables.insert_or_assign("ZE_AFFINITY_MASK", ids);
  } else {
    variables.insert_or_assign("CUDA_VISIBLE_DEVICES", ids);
  }
}

void add_gpu_share(const NodeGpu& gpu, MilliGpus share, Variables& variables) {
  std::string thousandths = std::to_string(whole_gpu + share).substr(1);
  while (thousandths.ends_with('0')) thousandths.pop_back();
  variables.insert_or_assign("TRIREME_GPU_FRACTION", "0." + thousandths);
  const std::uint64_t memory = gpu.memory / whole_gpu * share;
  if (memory > 0) variables.insert_or_assign("TRIREME_GPU_MEMORY", std::to_string(memory));
  if (gpu.vendor != GpuVendor::nvidia) return;
  // Rounded up: MPS takes whole percents, and lets their sum be more than a hundred.
  constexpr MilliGpus percent = whole_gpu / 100;
  variables.insert_or_assign("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE", std::to_string((share + percent - 1) / percent));
  // By the number that the process sees, in MiB: one GPU is visible to it.
  if (memory > 0)
    variables.insert_or_assign("CUDA_MPS_PINNED_DEVICE_MEM_LIMIT", "0=" + std::to_string(memory >> 20) + "M");
}

Status add_user(const EnvironmentVariables& user, const Template::Lookup& lookup, Variables& variables) {
  for (const auto& [name, value] : user) {
    auto text = value.expand(lookup);
    if (!text) {
      Error error = std::move(text).error();
      error.where = "env " + name;
      return error;
    }
    variables.insert_or_assign(name, std::move(*text));
  }
  return {};
}

}  // namespace trireme
