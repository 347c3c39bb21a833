#include "node/spawner/sweep.hpp"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <set>

#include "core/defaults.hpp"
#include "launch/spawner/procfs.hpp"
#include "launch/spawner/protocol.hpp"

namespace trireme {
namespace {

bool is_ours(pid_t pid) {
  struct stat info {};
  return ::stat(("/proc/" + std::to_string(pid)).c_str(), &info) == 0 && info.st_uid == ::geteuid();
}

bool carries(pid_t pid, std::span<const std::string> marks) {
  const std::string environment = procfs::environment_of(pid);
  return std::all_of(marks.begin(), marks.end(),
                     [&](const auto& mark) { return procfs::has_entry(environment, mark); });
}

}  // namespace

Swept sweep(std::span<const std::string> marks) {
  Swept swept;
  if (marks.empty()) return swept;
  const auto deadline = std::chrono::steady_clock::now() + defaults::sweep_deadline;
  std::set<pid_t> killed;
  do {
    swept.clean = true;
    for (const pid_t pid : procfs::all_processes()) {
      // A zombie has no environment any more, so what was killed and has died is not found again.
      if (pid == ::getpid() || !is_ours(pid) || !carries(pid, marks)) continue;
      swept.clean = false;
      killed.insert(pid);
      ::kill(pid, SIGKILL);
    }
    // The kernel needs a moment to take them down, and offers no event for processes that are not our children.
    if (!swept.clean) ::poll(nullptr, 0, 2);
  } while (!swept.clean && std::chrono::steady_clock::now() < deadline);
  swept.killed = killed.size();
  return swept;
}

Swept sweep_run(std::string_view run_id) {
  const std::string mark = std::string(spawner::run_variable) + "=" + std::string(run_id);
  return sweep(std::span(&mark, 1));
}

}  // namespace trireme
