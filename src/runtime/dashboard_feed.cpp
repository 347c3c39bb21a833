#include "runtime/dashboard_feed.hpp"

#include <fcntl.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "core/defaults.hpp"
#include "core/run_paths.hpp"
#include "journal/files.hpp"

namespace trireme {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

std::string user_name() {
  std::array<char, 4096> space{};
  passwd entry{};
  passwd* found = nullptr;
  ::getpwuid_r(::geteuid(), &entry, space.data(), space.size(), &found);
  return found != nullptr ? entry.pw_name : variable("USER");
}

/// Where the batch job was submitted, as far as the batch system says so.
std::string login_host() {
  for (const char* name : {"SLURM_SUBMIT_HOST", "PBS_O_HOST", "LSB_SUB_HOST"}) {
    if (std::string host = variable(name); !host.empty()) return host;
  }
  return "";
}

/// Replaces the file, which only its owner can read: it holds a key.
Status write_private(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::path part = path;
  part += ".part";
  ::unlink(part.c_str());
  const Fd fd(::open(part.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) return file_error("create", part, errno);
  const ssize_t written = ::write(fd.get(), text.data(), text.size());
  if (written != static_cast<ssize_t>(text.size())) return file_error("write", part, written < 0 ? errno : ENOSPC);
  if (::rename(part.c_str(), path.c_str()) != 0) return file_error("replace", path, errno);
  return {};
}

}  // namespace

std::string dashboard_url(const DashboardPlace& place, const std::string& key) {
  return "http://127.0.0.1:" + std::to_string(place.port) + "/dashboard?key=" + key;
}

std::string dashboard_words(const DashboardPlace& place, const std::string& key, const std::string& user,
                            const std::string& login, const std::filesystem::path& file) {
  const std::string port = std::to_string(place.port);
  std::string ssh = "ssh -N -L " + port + ":127.0.0.1:" + port;
  if (!login.empty() && login != place.host) ssh += " -J " + user + "@" + login;
  ssh += " " + user + "@" + place.host;
  return "dashboard: " + dashboard_url(place, key) + "\n  from another computer, first: " + ssh +
         "\n  it opens once; the next address will be in " + file.string();
}

DashboardFeed::DashboardFeed(const std::filesystem::path& run_dir, std::function<void(const std::string&)> say)
    : file_(RunPaths(run_dir).dashboard()), say_(std::move(say)) {}

DashboardFeed::~DashboardFeed() {
  ::unlink(file_.c_str());  // it leads nowhere any more
}

Status DashboardFeed::on_key(const DashboardPlace& place, const std::string& key) {
  if (!std::exchange(told_, true) && say_) say_(dashboard_words(place, key, user_name(), login_host(), file_));
  return write_private(file_, dashboard_url(place, key) + "\n");
}

void DashboardFeed::on_viewers(std::size_t viewers, bool fresh, MonoTime now) {
  viewers_ = viewers;
  if (!fresh) return;
  history_due_ = true;
  // A page that has just come shall not look at nothing for a second.
  next_point_ = std::min(next_point_, std::max(now, sampled_ + Duration(defaults::dashboard_hurry).count()));
}

std::optional<DashboardNews> DashboardFeed::on_time(MonoTime now, const observe::RunView& run) {
  if (now < next_point_) return std::nullopt;
  next_point_ = now + Duration(defaults::dashboard_every).count();
  sampled_ = now;
  dashboard_.sample(now, wall_now(), run);
  if (viewers_ == 0) return std::nullopt;
  return DashboardNews{.history = std::exchange(history_due_, false) ? dashboard_.history() : std::string(),
                       .snapshot = dashboard_.snapshot(run)};
}

MonoTime DashboardFeed::next_deadline() const {
  return next_point_;
}

DashboardNews DashboardFeed::finish(MonoTime now, const observe::RunView& run) {
  dashboard_.sample(now, wall_now(), run);
  return {.history = history_due_ ? dashboard_.history() : std::string(),
          .snapshot = viewers_ > 0 ? dashboard_.snapshot(run) : std::string(),
          .over = true};
}

}  // namespace trireme
