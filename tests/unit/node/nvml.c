// Stands in for NVIDIA's library in the tests: two GPUs by number, one by its UUID.
#include <stdint.h>
#include <string.h>

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
  return index < 2 ? 0 : 2;
}
int nvmlDeviceGetHandleByUUID(const char* uuid, void** device) {
  *device = (void*)(uintptr_t)3;
  return strcmp(uuid, "GPU-1b2c") == 0 ? 0 : 6;
}
int nvmlDeviceGetMemoryInfo(void* device, struct memory* memory) {
  if (open_count != 1) return 1;
  memory->total = (uintptr_t)device * 1000000000ull;
  return 0;
}
