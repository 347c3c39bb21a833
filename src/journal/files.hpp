// The few system calls of the event log, with errors in words.
#pragma once

#include <filesystem>
#include <string>
#include <utility>

#include "core/result.hpp"

namespace trireme {

/// A file descriptor and its one owner.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd();
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

/// "cannot WHAT: No space left on device" at `path`, with what to do about the errors that have a remedy.
Error file_error(const std::string& what, const std::filesystem::path& path, int code);

/// Makes the names in a folder durable. File systems that cannot do this for folders are forgiven.
Status sync_folder(const std::filesystem::path& folder);

/// Replaces a file as a whole: readers see the old content or the new, never a part.
Status write_file_atomically(const std::filesystem::path& path, const std::string& content);

}  // namespace trireme
