#include "node/staging.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <random>
#include <system_error>
#include <utility>

#include "node/transfer.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t chunk_bytes = 4u << 20;

Error io_error(std::string what, int code) {
  Error error{std::move(what) + ": " + std::generic_category().message(code), "", "", ExitCode::runtime_failed};
  if (code == ENOSPC || code == EDQUOT) error.hint = "free some space and run again with --resume";
  return error;
}

Error io_error(std::string what, const std::error_code& code) {
  return io_error(std::move(what), code.value());
}

std::string quoted(const fs::path& path) {
  return "'" + path.string() + "'";
}

Error stopped() {
  return Error{staging_stopped, "", "", ExitCode::runtime_failed};
}

/// A name beside `path` that nobody else uses, here or on another node.
fs::path name_beside(const fs::path& path) {
  std::random_device random;
  const std::uint64_t number = (std::uint64_t{random()} << 32) | random();
  return path.parent_path() / ("." + path.filename().string().substr(0, 200) + "." + std::to_string(number));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  /// The result of close(): some file systems report a full disk only here.
  int close() { return ::close(std::exchange(fd_, -1)); }

 private:
  int fd_;
};

/// One step of a copy: how many bytes went over, 0 at the end, -1 with errno. The kernel does it where it can.
class Pump {
 public:
  Pump(int from, int to) : from_(from), to_(to) {}

  ssize_t step() {
    if (in_kernel_) {
      const ssize_t copied = ::copy_file_range(from_, nullptr, to_, nullptr, chunk_bytes, 0);
      if (copied > 0) started_ = true;
      // Some file systems (procfs, FUSE) answer 0 for files that do have contents: those are read.
      if (copied > 0 || (copied == 0 && started_)) return copied;
      if (copied < 0 && errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP) return -1;
      in_kernel_ = false;
      buffer_.resize(1u << 20);
    }
    const ssize_t got = ::read(from_, buffer_.data(), buffer_.size());
    for (ssize_t done = 0; done < got;) {
      const ssize_t wrote = ::write(to_, buffer_.data() + done, static_cast<std::size_t>(got - done));
      if (wrote < 0) return -1;
      done += wrote;
    }
    return got;
  }

 private:
  int from_;
  int to_;
  bool in_kernel_ = true;
  bool started_ = false;
  std::string buffer_;
};

Status copy_contents(const fs::path& from, const fs::path& to, const std::stop_token& stop) {
  const std::string what = "cannot copy " + quoted(from);
  Descriptor source(::open(from.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info {};
  if (source.get() < 0 || ::fstat(source.get(), &info) != 0) return io_error(what, errno);
  Descriptor target(::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, info.st_mode & 0777));
  if (target.get() < 0) return io_error("cannot write " + quoted(to), errno);
  Pump pump(source.get(), target.get());
  for (;;) {
    if (stop.stop_requested()) return stopped();
    const ssize_t copied = pump.step();
    if (copied < 0) return io_error(what + " to " + quoted(to.parent_path()), errno);
    if (copied == 0) break;
  }
  ::fchmod(target.get(), info.st_mode & 07777);
  if (target.close() != 0) return io_error("cannot write " + quoted(to), errno);
  return {};
}

/// Makes something beside `to` and renames it; removes it if that fails.
template <typename Make>
Status put_in_place(const fs::path& to, Make make) {
  const fs::path beside = name_beside(to);
  Status made = make(beside);
  std::error_code error;
  if (made.ok()) {
    fs::rename(beside, to, error);
    if (!error) return {};
    made = io_error("cannot put " + quoted(to) + " in place", error);
  }
  std::error_code ignored;
  fs::remove_all(beside, ignored);
  return made;
}

Status copy_file(const fs::path& from, const fs::path& to, const std::stop_token& stop) {
  return put_in_place(to, [&](const fs::path& beside) { return copy_contents(from, beside, stop); });
}

Status make_link(const std::string& text, const fs::path& to) {
  return put_in_place(to, [&](const fs::path& beside) -> Status {
    std::error_code error;
    fs::create_symlink(text, beside, error);
    if (error) return io_error("cannot make the link " + quoted(to), error);
    return {};
  });
}

/// Copies what is in a folder into another; links stay links.
Status copy_entries(const fs::path& from, const fs::path& to, const std::stop_token& stop) {
  if (auto made = make_folder(to); !made.ok()) return made;
  std::error_code error;
  for (auto it = fs::directory_iterator(from, error); !error && it != fs::directory_iterator(); it.increment(error)) {
    if (stop.stop_requested()) return stopped();
    const fs::path target = to / it->path().filename();
    const fs::file_status status = it->symlink_status(error);
    if (error) break;
    Status copied;
    if (fs::is_directory(status)) {
      copied = copy_entries(it->path(), target, stop);
    } else if (fs::is_symlink(status)) {
      const fs::path text = fs::read_symlink(it->path(), error);
      if (error) break;
      copied = make_link(text.string(), target);
    } else if (fs::is_regular_file(status)) {
      copied = copy_file(it->path(), target, stop);
    }  // sockets, pipes and devices are no data
    if (!copied.ok()) return copied;
  }
  if (error) return io_error("cannot copy the folder " + quoted(from), error);
  // The mode comes last: the folder may be one that is not to be written to.
  const auto mode = fs::status(from, error).permissions();
  if (!error) fs::permissions(to, mode, error);
  return {};
}

Status copy_any(const fs::path& from, const fs::path& to, const std::stop_token& stop) {
  std::error_code error;
  const fs::file_status source = fs::status(from, error);
  if (!fs::is_directory(source)) {
    if (fs::exists(source) && !fs::is_regular_file(source)) {
      return Error{quoted(from) + " is neither a file nor a folder", "", "", ExitCode::runtime_failed};
    }
    return copy_file(from, to, stop);
  }
  if (fs::exists(fs::symlink_status(to, error))) return copy_entries(from, to, stop);
  Status copied = put_in_place(to, [&](const fs::path& beside) { return copy_entries(from, beside, stop); });
  // Another node may have been first.
  if (!copied.ok() && !stop.stop_requested() && fs::is_directory(to, error)) return copy_entries(from, to, stop);
  return copied;
}

Status move_any(const fs::path& from, const fs::path& to, const std::stop_token& stop) {
  std::error_code error;
  fs::rename(from, to, error);
  if (!error) return {};
  // Another file system, or a folder that is there already.
  if (auto copied = copy_any(from, to, stop); !copied.ok()) return copied;
  fs::remove_all(from, error);
  if (error) return io_error("copied, but cannot remove " + quoted(from), error);
  return {};
}

/// Where `name` leads: into the folder `to` where it is one and `from` is none, or where it ends in a slash.
fs::path target_of(const fs::path& folder, const std::string& to, const fs::path& from) {
  fs::path name = from.filename();
  if (name.empty()) name = from.parent_path().filename();
  const fs::path path = (folder / to).lexically_normal();
  if (path.filename().empty()) return path / name;
  std::error_code error;
  if (fs::is_directory(path, error) && !fs::is_directory(from, error)) return path / name;
  return path;
}

fs::path source_of(const fs::path& folder, const std::string& from) {
  fs::path path = (folder / from).lexically_normal();
  return path.filename().empty() ? path.parent_path() : path;
}

Status bring(const fs::path& from, const fs::path& to, StagingMode mode, const std::stop_token& stop) {
  std::error_code error;
  if (auto made = make_folder(to.parent_path()); !made.ok()) return made;
  if (fs::equivalent(from, to, error)) return {};
  switch (mode) {
    case StagingMode::link:
      return make_link(from.string(), to);
    case StagingMode::move:
      return move_any(from, to, stop);
    case StagingMode::copy:
    case StagingMode::broadcast:
    case StagingMode::transfer:
      break;
  }
  return copy_any(from, to, stop);
}

Status bring_in(const fs::path& folder, const FileMove& input, const std::stop_token& stop) {
  if (input.mode == StagingMode::transfer) {
    const fs::path name = fs::path(input.from.substr(0, input.from.find_first_of("?#"))).filename();
    const fs::path to = target_of(folder, input.to, name);
    if (auto made = make_folder(to.parent_path()); !made.ok()) return made;
    return put_in_place(to, [&](const fs::path& beside) { return transfer(input.from, beside.string(), stop); });
  }
  const fs::path from = source_of(folder, input.from);
  const fs::path to = target_of(folder, input.to, from);
  std::error_code error;
  if (!fs::exists(from, error)) {
    // A part of this task on another node may have moved it here.
    const bool here = fs::exists(to, error) || fs::exists(folder / input.to, error);
    if (input.mode == StagingMode::move && !input.to.empty() && here) return {};
    return Error{"the input " + quoted(from) + " is not there", "", "", ExitCode::runtime_failed};
  }
  return bring(from, to, input.mode, stop);
}

}  // namespace

Status make_folder(const fs::path& path) {
  // Most often all but the last component, or the last two, are there.
  const auto make = [](const fs::path& one) { return ::mkdir(one.c_str(), 0777) == 0; };
  if (make(path) || (errno == ENOENT && make(path.parent_path()) && make(path))) return {};
  std::error_code error;
  fs::create_directories(path, error);
  if (error) return io_error("cannot make the folder " + quoted(path), error);
  return {};
}

Status stage_in(const fs::path& folder, const std::vector<FileMove>& inputs, const std::stop_token& stop) {
  for (const FileMove& input : inputs) {
    if (stop.stop_requested()) return stopped();
    if (auto brought = bring_in(folder, input, stop); !brought.ok()) return brought;
  }
  return {};
}

Status stage_out(const fs::path& folder, const std::vector<FileMove>& outputs, const std::stop_token& stop) {
  for (const FileMove& output : outputs) {
    std::error_code error;
    if (fs::exists(source_of(folder, output.from), error)) continue;
    return Error{"the promised output '" + output.from + "' is not there", "", "", ExitCode::runtime_failed};
  }
  for (const FileMove& output : outputs) {
    if (stop.stop_requested()) return stopped();
    if (output.to.empty()) continue;
    if (output.mode == StagingMode::transfer) {
      return Error{"the output '" + output.from + "' cannot be sent to a URL", "", "use the mode copy, link or move",
                   ExitCode::usage};
    }
    const fs::path from = source_of(folder, output.from);
    if (auto brought = bring(from, target_of(folder, output.to, from), output.mode, stop); !brought.ok()) {
      return brought;
    }
  }
  return {};
}

}  // namespace trireme
