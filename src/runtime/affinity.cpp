#include "runtime/affinity.hpp"

#include <sched.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

namespace trireme {

Status keep_to(const NodeCore& core) {
  if (core.cpus.empty()) return {};
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  for (const std::uint32_t cpu : core.cpus) {
    if (cpu < CPU_SETSIZE) CPU_SET(cpu, &cpus);
  }
  std::error_code error;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task", error)) {
    const auto id = static_cast<pid_t>(std::strtol(thread.path().filename().c_str(), nullptr, 10));
    // A thread that has just ended needs no core.
    if (::sched_setaffinity(id, sizeof(cpus), &cpus) != 0 && errno != ESRCH) {
      return Error{"cannot keep to the reserved core " + std::to_string(core.id) + ": " + std::strerror(errno),
                   "--reserve-cores", "", ExitCode::runtime_failed};
    }
  }
  return {};
}

}  // namespace trireme
