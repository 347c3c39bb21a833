#include "node/nvml.hpp"

#include <dlfcn.h>

#include <memory>

namespace trireme {
namespace {

// The few words of NVML's interface that are needed; it is stable, and its header is not always there.
using Device = void*;
struct Memory {
  unsigned long long total;
  unsigned long long free;
  unsigned long long used;
};
constexpr int success = 0;

struct Closer {
  void operator()(void* library) const { ::dlclose(library); }
};

template <typename Function>
bool find_symbol(void* library, const char* name, Function*& out) {
  out = reinterpret_cast<Function*>(::dlsym(library, name));
  return out != nullptr;
}

}  // namespace

void ask_nvml(const std::string& library, std::span<NodeGpu> gpus) {
  if (library.empty()) return;
  const std::unique_ptr<void, Closer> nvml(::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL));
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  int (*by_index)(unsigned, Device*) = nullptr;
  int (*by_uuid)(const char*, Device*) = nullptr;
  int (*memory_of)(Device, Memory*) = nullptr;
  const bool complete = nvml && find_symbol(nvml.get(), "nvmlInit_v2", init) &&
                        find_symbol(nvml.get(), "nvmlShutdown", shutdown) &&
                        find_symbol(nvml.get(), "nvmlDeviceGetHandleByIndex_v2", by_index) &&
                        find_symbol(nvml.get(), "nvmlDeviceGetHandleByUUID", by_uuid) &&
                        find_symbol(nvml.get(), "nvmlDeviceGetMemoryInfo", memory_of);
  if (!complete || init() != success) return;
  for (NodeGpu& gpu : gpus) {
    const bool named = gpu.id.starts_with("GPU-") || gpu.id.starts_with("MIG-");
    Device device = nullptr;
    const int found = named ? by_uuid(gpu.id.c_str(), &device) : by_index(gpu.index, &device);
    Memory memory{};
    if (found == success && memory_of(device, &memory) == success) gpu.memory = memory.total;
  }
  shutdown();
}

}  // namespace trireme
