// The environment that a process of a task or a service is given, as a value. What it consists of, later things winning:
//
//   the rank's own environment without what its launcher put there (node/spawner/environment.hpp)
//   what the task's `environment` changed
//   ours: TRIREME_*, the addresses of services, the GPUs, OMP_NUM_THREADS and OMP_PLACES where nothing has set them
//   the user's `env:`
//
// docs/guide/tasks-and-services.md lists the names.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/description.hpp"
#include "core/resources.hpp"
#include "core/result.hpp"
#include "node/topology.hpp"

namespace trireme {

using Variables = std::map<std::string, std::string, std::less<>>;

/// From entries NAME=value, without those that an outer run of ours left for its own tasks.
Variables base_variables(std::span<const std::string> entries);
/// Entries NAME=value.
std::vector<std::string> to_entries(const Variables& variables);

/// What an environment's setup changed.
struct VariableChanges {
  Variables set;
  std::vector<std::string> unset;
  bool operator==(const VariableChanges&) const = default;
};
/// From `before` to `after`, leaving out what bash sets by itself.
VariableChanges changes_between(const Variables& before, const Variables& after);
void apply(const VariableChanges& changes, Variables& variables);

/// How a process reaches models and other services through its node's proxy.
struct ProxyAccess {
  std::string url;  ///< http://127.0.0.1:PORT
  std::string socket;
  std::string inference_token;
};
/// TRIREME_PROXY_URL, TRIREME_SOCKET, TRIREME_SERVICE_<NAME>_URL, OPENAI_BASE_URL, OPENAI_API_KEY and OLLAMA_HOST.
void add_proxy(const ProxyAccess& proxy, std::span<const std::string> services, Variables& variables);
/// Appends loopback to no_proxy and NO_PROXY, so that a site's HTTP proxy is not asked for what runs on this node.
void add_no_proxy(Variables& variables);
/// Appends the folder of the Python module to PYTHONPATH: what the user has there comes first.
void add_python(const std::string& folder, Variables& variables);
/// "TRIREME_SERVICE_LLAMA_3_URL" for the service "llama-3".
std::string service_variable(std::string_view service);

/// OMP_NUM_THREADS and OMP_PLACES: a thread for each of these cores, where nothing has set them.
void add_threads(std::span<const NodeCore> cores, Variables& variables);
/// A process that is given no GPU finds none. Intel's cannot be hidden: an empty ZE_AFFINITY_MASK shows all of them.
void hide_gpus(GpuVendor vendor, Variables& variables);
/// Makes exactly these GPUs visible, each once; nothing if there are none. AMD: ROCR_VISIBLE_DEVICES chooses, and
/// HIP_VISIBLE_DEVICES, which counts in what that leaves, shows all of it. Intel: ZE_AFFINITY_MASK.
void add_gpus(std::span<const NodeGpu> gpus, Variables& variables);
/// Tells a process that shares a GPU what its part is: TRIREME_GPU_FRACTION, TRIREME_GPU_MEMORY (bytes, where the GPU's memory is
/// known), and what NVIDIA's MPS enforces where it runs: a part of the multiprocessors and of the memory.
void add_gpu_share(const NodeGpu& gpu, MilliGpus share, Variables& variables);

/// The user's own; fails where a value holds a placeholder that has no value here.
Status add_user(const EnvironmentVariables& user, const Template::Lookup& lookup, Variables& variables);

}  // namespace trireme
