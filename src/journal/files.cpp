#include "journal/files.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

namespace trireme {
namespace {

Status write_whole(int fd, const std::filesystem::path& path, std::string_view content) {
  while (!content.empty()) {
    const ssize_t n = ::write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return file_error("write", path, n < 0 ? errno : EIO);
    content.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

}  // namespace

Fd::~Fd() {
  if (fd_ >= 0) ::close(fd_);
}

Error file_error(const std::string& what, const std::filesystem::path& path, int code) {
  std::string hint;
  if (code == ENOSPC || code == EDQUOT || code == EFBIG) {
    hint = "free some space, then continue the run with --resume";
  } else if (code == EACCES || code == EPERM || code == EROFS) {
    hint = "choose a folder that you may write to with --run-dir";
  }
  return {"cannot " + what + ": " + std::generic_category().message(code), path.string(), hint};
}

Status sync_folder(const std::filesystem::path& folder) {
  const Fd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return file_error("open", folder, errno);
  if (::fsync(fd.get()) != 0 && errno != EINVAL && errno != ENOTSUP) {
    return file_error("sync", folder, errno);
  }
  return {};
}

Status write_file_atomically(const std::filesystem::path& path, const std::string& content) {
  std::filesystem::path part = path;
  part += ".part" + std::to_string(::getpid());
  const Fd fd(::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd) return file_error("create", part, errno);
  Status written = write_whole(fd.get(), part, content);
  if (written.ok() && ::fsync(fd.get()) != 0) written = file_error("sync", part, errno);
  if (written.ok() && ::rename(part.c_str(), path.c_str()) != 0) {
    written = file_error("replace", path, errno);
  }
  if (!written.ok()) ::unlink(part.c_str());
  return written;
}

}  // namespace trireme
