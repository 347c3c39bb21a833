#include "launch/pmix/server/memory_folder.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <system_error>
#include <utility>

namespace trireme::pmix {
namespace {

namespace fs = std::filesystem;

constexpr int attempts = 8;

/// A descriptor that holds the folder's lock, or -1.
int lock(const fs::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (descriptor < 0) return -1;
  if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) return descriptor;
  ::close(descriptor);
  return -1;
}

/// Whether the folder of that name is still the one that was opened.
bool is_there(const fs::path& folder, int descriptor) {
  struct stat opened {};
  struct stat named {};
  return ::fstat(descriptor, &opened) == 0 && ::lstat(folder.c_str(), &named) == 0 && opened.st_ino == named.st_ino &&
         opened.st_dev == named.st_dev;
}

void remove_left(const fs::path& where, const std::string& prefix) {
  std::error_code failed;
  for (fs::directory_iterator entry(where, failed), end; !failed && entry != end; entry.increment(failed)) {
    struct stat status {};
    if (!entry->path().filename().string().starts_with(prefix)) continue;
    if (::lstat(entry->path().c_str(), &status) != 0 || status.st_uid != ::getuid()) continue;
    const int descriptor = lock(entry->path());
    if (descriptor < 0) continue;  // its server lives
    std::error_code ignored;
    fs::remove_all(entry->path(), ignored);
    ::close(descriptor);
  }
}

}  // namespace

MemoryFolder::MemoryFolder() {
  const fs::path where = "/dev/shm";
  const std::string prefix = "trireme-" + std::to_string(::getuid()) + "-";
  remove_left(where, prefix);
  for (int i = 0; i < attempts; ++i) {
    std::string name = (where / (prefix + "XXXXXX")).string();
    if (::mkdtemp(name.data()) == nullptr) return;
    lock_ = lock(name);
    if (lock_ >= 0 && is_there(name, lock_)) {
      path_ = name;
      return;
    }
    ::rmdir(name.c_str());
    if (lock_ >= 0) ::close(std::exchange(lock_, -1));
  }
}

MemoryFolder::~MemoryFolder() {
  std::error_code ignored;
  if (!path_.empty()) fs::remove_all(path_, ignored);
  if (lock_ >= 0) ::close(lock_);
}

}  // namespace trireme::pmix
