// Stands in for NVIDIA's library in the tests: three GPUs. The UUIDs of the first two begin alike.
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const char* const uuids[] = {"GPU-aa01", "GPU-aa02", "GPU-1b2c"};

struct memory {
  unsigned long long total, free, used;
};
static int open_count = 0;

int nvmlInit_v2(void) {
  ++open_count;
  return 0;
}
int nvmlShutdown(void) {
  --open_count;
  return 0;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {
  *device = (void*)(uintptr_t)(index + 1);
  return index < 3 ? 0 : 2;
}
int nvmlDeviceGetCount_v2(unsigned* count) {
  *count = 3;
  return 0;
}
int nvmlDeviceGetHandleByUUID(const char* uuid, void** device) {
  for (int i = 0; i < 3; ++i) {
    *device = (void*)(uintptr_t)(i + 1);
    if (strcmp(uuid, uuids[i]) == 0) return 0;
  }
  return 6;
}
int nvmlDeviceGetUUID(void* device, char* uuid, unsigned size) {
  snprintf(uuid, size, "%s", uuids[(uintptr_t)device - 1]);
  return 0;
}
int nvmlDeviceGetMemoryInfo(void* device, struct memory* memory) {
  if (open_count != 1) return 1;
  memory->total = (uintptr_t)device * 1000000000ull;
  return 0;
}
struct pci {
  char legacy[16];
  unsigned domain, bus, device, id, subsystem;
  char name[32];
};
int nvmlDeviceGetPciInfo_v3(void* device, struct pci* pci) {
  if (open_count != 1) return 1;
  pci->domain = 1;
  pci->bus = 0x40 * (unsigned)(uintptr_t)device;
  pci->device = 2;
  return 0;
}
