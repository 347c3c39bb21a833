// What /proc tells about processes, as plain values. Every process may vanish while one looks at it: absence is an ordinary
// answer here and never an error.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trireme::procfs {

struct Stat {
  char state = '?';  ///< 'Z' and 'X' are dead
  pid_t parent = 0;
  pid_t group = 0;
  std::uint64_t start_ticks = 0;  ///< since boot; with the pid it names one process and no later one

  bool dead() const { return state == 'Z' || state == 'X'; }
};

std::optional<Stat> stat_of(pid_t pid);

/// The environment that a process was started with, NAME=value with a zero byte after each; empty if it is not ours to read.
std::string environment_of(pid_t pid);
/// Whether such a block holds exactly this "NAME=value".
bool has_entry(std::string_view block, std::string_view entry);
/// The value of a name in such a block.
std::optional<std::string_view> value_in(std::string_view block, std::string_view name);

std::vector<pid_t> all_processes();
/// The children of all threads of a process.
std::vector<pid_t> children_of(pid_t pid);
/// The children of those, and theirs, and so on, a parent before its children.
std::vector<pid_t> descendants_of(pid_t pid);

/// The children of the calling process, asked for often: the kernel's file on them is kept open (a few microseconds, where a
/// walk over /proc takes milliseconds; kernels without that file get the walk). The list is exact for a process that has one
/// thread and reaps its children itself: none leaves the list while it is read, and new ones join at its end.
class OwnChildren {
 public:
  OwnChildren();
  ~OwnChildren();
  OwnChildren(const OwnChildren&) = delete;
  OwnChildren& operator=(const OwnChildren&) = delete;

  /// Valid until the next call.
  const std::vector<pid_t>& read();

 private:
  int file_ = -1;
  std::string text_;
  std::vector<pid_t> pids_;
};

}  // namespace trireme::procfs
