#include "launch/spawner/procfs.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <memory>

namespace trireme::procfs {
namespace {

std::string process_path(pid_t pid, std::string_view file) {
  std::string path = "/proc/" + std::to_string(pid);
  path += '/';
  path += file;
  return path;
}

// Reads an open file of /proc from its start.
bool read_from_start(int file, std::string& out) {
  out.clear();
  for (;;) {
    const auto size = out.size();
    out.resize(size + 4096);
    const auto got = ::pread(file, out.data() + size, 4096, static_cast<off_t>(size));
    out.resize(size + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return got == 0;
  }
}

std::optional<std::string> read_file(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return std::nullopt;
  std::string text;
  const bool ok = read_from_start(file, text);
  ::close(file);
  if (!ok) return std::nullopt;
  return text;
}

// The entries of a folder of /proc whose names are numbers.
std::vector<pid_t> numbered_entries(const std::string& path) {
  std::vector<pid_t> found;
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(path.c_str()), &::closedir);
  if (!folder) return found;
  while (const dirent* entry = ::readdir(folder.get())) {
    const std::string_view name = entry->d_name;
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (error == std::errc{} && end == name.data() + name.size()) found.push_back(pid);
  }
  return found;
}

void append_numbers(std::string_view text, std::vector<pid_t>& out) {
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at < end) {
    pid_t pid = 0;
    const auto [next, error] = std::from_chars(at, end, pid);
    if (error == std::errc{}) out.push_back(pid);
    at = std::max(next, at + 1);
  }
}

std::vector<pid_t> children_by_walk(pid_t parent) {
  std::vector<pid_t> found;
  for (const pid_t pid : all_processes()) {
    if (const auto stat = stat_of(pid); stat && stat->parent == parent) found.push_back(pid);
  }
  return found;
}

}  // namespace

std::optional<Stat> stat_of(pid_t pid) {
  const auto text = read_file(process_path(pid, "stat"));
  if (!text) return std::nullopt;
  // The second field is the program's name in parentheses and may hold anything, so counting starts after the last one.
  const auto name_end = text->rfind(')');
  if (name_end == std::string::npos || name_end + 2 >= text->size()) return std::nullopt;
  Stat stat;
  stat.state = (*text)[name_end + 2];
  const char* at = text->data() + name_end + 3;
  const char* const end = text->data() + text->size();
  for (int field = 4; field <= 22 && at < end; ++field) {
    ++at;
    std::int64_t value = 0;
    at = std::from_chars(at, end, value).ptr;
    if (field == 4) stat.parent = static_cast<pid_t>(value);
    if (field == 5) stat.group = static_cast<pid_t>(value);
    if (field == 22) stat.start_ticks = static_cast<std::uint64_t>(value);
  }
  return stat;
}

std::string environment_of(pid_t pid) {
  return read_file(process_path(pid, "environ")).value_or(std::string());
}

std::optional<std::string_view> value_in(std::string_view block, std::string_view name) {
  while (!block.empty()) {
    const auto entry = block.substr(0, block.find('\0'));
    if (entry.size() > name.size() && entry[name.size()] == '=' && entry.starts_with(name)) {
      return entry.substr(name.size() + 1);
    }
    block.remove_prefix(std::min(entry.size() + 1, block.size()));
  }
  return std::nullopt;
}

bool has_entry(std::string_view block, std::string_view entry) {
  const auto equals = entry.find('=');
  if (equals == std::string_view::npos) return false;
  return value_in(block, entry.substr(0, equals)) == entry.substr(equals + 1);
}

std::vector<pid_t> all_processes() {
  return numbered_entries("/proc");
}

std::vector<pid_t> children_of(pid_t pid) {
  static const bool kernel_lists_children = ::access("/proc/thread-self/children", F_OK) == 0;
  if (!kernel_lists_children) return children_by_walk(pid);
  std::vector<pid_t> found;
  for (const pid_t thread : numbered_entries(process_path(pid, "task"))) {
    const auto text = read_file(process_path(pid, "task/" + std::to_string(thread) + "/children"));
    if (text) append_numbers(*text, found);
  }
  return found;
}

std::vector<pid_t> descendants_of(pid_t pid) {
  std::vector<pid_t> found = children_of(pid);
  for (std::size_t next = 0; next < found.size(); ++next) {
    for (const pid_t child : children_of(found[next])) {
      // Pids may be reused while one walks; each is visited once, so the walk ends.
      if (std::find(found.begin(), found.end(), child) == found.end()) found.push_back(child);
    }
  }
  return found;
}

OwnChildren::OwnChildren() {
  const auto path = process_path(::getpid(), "task/" + std::to_string(::getpid()) + "/children");
  file_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
}

OwnChildren::~OwnChildren() {
  if (file_ >= 0) ::close(file_);
}

const std::vector<pid_t>& OwnChildren::read() {
  pids_.clear();
  if (file_ >= 0 && read_from_start(file_, text_)) {
    append_numbers(text_, pids_);
  } else {
    pids_ = children_by_walk(::getpid());
  }
  return pids_;
}

}  // namespace trireme::procfs
