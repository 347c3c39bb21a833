#include "runtime/time_slice.hpp"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <optional>

#include "core/defaults.hpp"

namespace trireme {
namespace {

/// The kernel's struct sched_attr in its first version; the C library of Debian 12 does not declare it.
struct SchedulingAttributes {
  std::uint32_t size = sizeof(SchedulingAttributes);
  std::uint32_t policy = 0;
  std::uint64_t flags = 0;
  std::int32_t nice = 0;
  std::uint32_t priority = 0;
  std::uint64_t runtime = 0;  ///< of the default policy: its slice
  std::uint64_t deadline = 0;
  std::uint64_t period = 0;
};
static_assert(sizeof(SchedulingAttributes) == 48);

constexpr std::uint64_t reset_on_fork = 1;  // SCHED_FLAG_RESET_ON_FORK

std::optional<SchedulingAttributes> own_attributes() {
  SchedulingAttributes attributes;
  if (::syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0) return std::nullopt;
  if (attributes.policy != SCHED_OTHER) return std::nullopt;
  return attributes;
}

bool ask_for(SchedulingAttributes attributes, Duration slice) {
  attributes.runtime = static_cast<std::uint64_t>(slice.count());
  // Taking this back would need a privilege, so it stays: of a thread without one it concerns nothing but the slice.
  attributes.flags |= reset_on_fork;
  return ::syscall(SYS_sched_setattr, 0, &attributes, 0) == 0;
}

}  // namespace

Duration time_slice() {
  const auto attributes = own_attributes();
  return Duration(attributes ? static_cast<std::int64_t>(attributes->runtime) : 0);
}

ShortSlices::ShortSlices() {
  const auto attributes = own_attributes();
  if (!attributes) return;
  before_ = Duration(static_cast<std::int64_t>(attributes->runtime));
  changed_ = ask_for(*attributes, defaults::loop_slice);
}

ShortSlices::~ShortSlices() {
  if (!changed_) return;
  if (const auto attributes = own_attributes()) ask_for(*attributes, before_);
}

}  // namespace trireme
