// The folder in /dev/shm for the shared memory of MPI tasks.
//
// Its owner holds a lock on it for as long as it lives, so a folder without one was left by a server that was killed: whoever
// makes a new folder removes those first. A folder that is taken for left between its making and its locking is made again.
#pragma once

#include <filesystem>

namespace trireme::pmix {

class MemoryFolder {
 public:
  MemoryFolder();
  ~MemoryFolder();
  MemoryFolder(const MemoryFolder&) = delete;
  MemoryFolder& operator=(const MemoryFolder&) = delete;

  /// Empty where there is none to be had.
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  int lock_ = -1;
};

}  // namespace trireme::pmix
