#include "node/nvml.hpp"

#include <dlfcn.h>

#include <memory>
#include <string_view>

namespace trireme {
namespace {

// The few words of NVML's interface that are needed; it is stable, and its header is not always there.
using Device = void*;
struct Memory {
  unsigned long long total;
  unsigned long long free;
  unsigned long long used;
};
struct PciInfo {
  char legacy_id[16];
  unsigned domain;
  unsigned bus;
  unsigned device;
  unsigned device_id;
  unsigned subsystem_id;
  char id[32];
};
constexpr int success = 0;
constexpr unsigned uuid_size = 96;

struct Closer {
  void operator()(void* library) const { ::dlclose(library); }
};

template <typename Function>
bool find_symbol(void* library, const char* name, Function*& out) {
  out = reinterpret_cast<Function*>(::dlsym(library, name));
  return out != nullptr;
}

class Nvml {
 public:
  explicit Nvml(const std::string& library) : library_(::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    void* const found = library_.get();
    if (found == nullptr || !find_symbol(found, "nvmlInit_v2", init_) ||
        !find_symbol(found, "nvmlShutdown", shutdown_) || !find_symbol(found, "nvmlDeviceGetCount_v2", count_) ||
        !find_symbol(found, "nvmlDeviceGetHandleByIndex_v2", by_index_) ||
        !find_symbol(found, "nvmlDeviceGetHandleByUUID", by_uuid_) ||
        !find_symbol(found, "nvmlDeviceGetUUID", uuid_of_) ||
        !find_symbol(found, "nvmlDeviceGetMemoryInfo", memory_of_) ||
        !find_symbol(found, "nvmlDeviceGetPciInfo_v3", pci_of_)) {
      return;
    }
    works_ = init_() == success;
  }
  ~Nvml() {
    if (works_) shutdown_();
  }
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  void fill_in(NodeGpu& gpu) const {
    const Device device = works_ ? find(gpu) : nullptr;
    if (device == nullptr) return;
    Memory memory{};
    if (memory_of_(device, &memory) == success) gpu.memory = memory.total;
    PciInfo pci{};
    if (pci_of_(device, &pci) == success) gpu.address = PciAddress{pci.domain, pci.bus, pci.device};
  }

 private:
  Device find(const NodeGpu& gpu) const {
    Device device = nullptr;
    const bool named = gpu.id.starts_with("GPU-") || gpu.id.starts_with("MIG-");
    if (!named) return by_index_(gpu.index, &device) == success ? device : nullptr;
    return by_uuid_(gpu.id.c_str(), &device) == success ? device : find_by_beginning(gpu.id);
  }

  Device find_by_beginning(std::string_view beginning) const {
    unsigned count = 0;
    if (count_(&count) != success) return nullptr;
    Device only = nullptr;
    for (unsigned i = 0; i < count; ++i) {
      Device device = nullptr;
      char uuid[uuid_size] = {};
      if (by_index_(i, &device) != success || uuid_of_(device, uuid, uuid_size) != success) continue;
      if (!std::string_view(uuid).starts_with(beginning)) continue;
      if (only != nullptr) return nullptr;
      only = device;
    }
    return only;
  }

  std::unique_ptr<void, Closer> library_;
  int (*init_)() = nullptr;
  int (*shutdown_)() = nullptr;
  int (*count_)(unsigned*) = nullptr;
  int (*by_index_)(unsigned, Device*) = nullptr;
  int (*by_uuid_)(const char*, Device*) = nullptr;
  int (*uuid_of_)(Device, char*, unsigned) = nullptr;
  int (*memory_of_)(Device, Memory*) = nullptr;
  int (*pci_of_)(Device, PciInfo*) = nullptr;
  bool works_ = false;
};

}  // namespace

void ask_nvml(const std::string& library, std::span<NodeGpu> gpus) {
  if (library.empty()) return;
  const Nvml nvml(library);
  for (NodeGpu& gpu : gpus) nvml.fill_in(gpu);
}

}  // namespace trireme
