#include "launch/spawner/supervisor.hpp"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <ctime>

#include "core/defaults.hpp"

namespace trireme::spawner {
namespace {

using std::chrono::milliseconds;

// Between an exec and the moment that the new environment can be read lie microseconds; this is ample.
constexpr milliseconds settle_time{20};

std::int64_t nanoseconds(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

Moment this_moment() {
  return {nanoseconds(CLOCK_MONOTONIC), nanoseconds(CLOCK_REALTIME)};
}

std::uint64_t nanoseconds(const timeval& time) {
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(time.tv_usec) * 1000;
}

void add_usage(Ended& end, const rusage& used) {
  end.max_rss_bytes = std::max(end.max_rss_bytes, static_cast<std::uint64_t>(used.ru_maxrss) * 1024);
  end.user_ns += nanoseconds(used.ru_utime);
  end.system_ns += nanoseconds(used.ru_stime);
}

// The value of attempt_variable in the environment of a task, which is added where it is missing.
std::string ensure_attempt(Spawn& spawn) {
  for (const auto& entry : spawn.env) {
    if (entry.size() > attempt_variable.size() && entry[attempt_variable.size()] == '=' &&
        entry.starts_with(attempt_variable)) {
      return entry.substr(attempt_variable.size() + 1);
    }
  }
  std::string attempt =
      std::to_string(::getpid()) + "-" + std::to_string(nanoseconds(CLOCK_MONOTONIC)) + "-" + std::to_string(spawn.id);
  spawn.env.push_back(std::string(attempt_variable) + "=" + attempt);
  return attempt;
}

}  // namespace

void Supervisor::handle(Request request, TimePoint now) {
  std::visit([&](auto& message) { on(message, now); }, request);
}

void Supervisor::on(Spawn& spawn, TimePoint now) {
  const char* refused = nullptr;
  if (ending_) refused = "the spawner is ending";
  if (lease_over_) refused = "this node has lost touch with the pilot";
  if (table_.find(spawn.id) != nullptr) refused = "a process of that id is still alive";
  if (refused != nullptr) {
    rank_.send(Failed{spawn.id, ECANCELED, Stage::refused, refused});
    return;
  }
  Task task;
  task.attempt = ensure_attempt(spawn);
  auto outcome = launcher_.launch(spawn);
  if (auto* failed = std::get_if<Failed>(&outcome)) {
    rank_.send(*failed);
    return;
  }
  task.id = spawn.id;
  task.pid = std::get<pid_t>(outcome);
  task.sequence = ++starts_;
  task.grace = milliseconds(spawn.grace_ms);
  if (spawn.timeout_ms != 0) task.timeout_at = now + milliseconds(spawn.timeout_ms);
  rank_.send(Started{task.id, task.pid, this_moment()});
  table_.add(std::move(task));
}

void Supervisor::on(const Signal& signal, TimePoint) {
  const Task* task = table_.find(signal.id);
  if (task != nullptr && !task->main_ended) ::kill(-task->pid, signal.signo);
}

void Supervisor::on(const Stop& request, TimePoint now) {
  Task* task = table_.find(request.id);
  if (task == nullptr) return;
  task->end.stopped |= !task->main_ended;
  stop(*task, milliseconds(request.grace_ms), now);
}

void Supervisor::on(const Lease& lease, TimePoint now) {
  lease_until_ = lease.duration_ms == 0 ? never : now + milliseconds(lease.duration_ms);
  lease_over_ = false;
}

void Supervisor::on(const Shutdown& shutdown, TimePoint now) {
  end_everything(milliseconds(shutdown.grace_ms), now);
}

void Supervisor::rank_lost(TimePoint now) {
  rank_.close();
  end_everything(defaults::death_grace, now);
}

void Supervisor::end_everything(milliseconds grace, TimePoint now) {
  if (!ending_) {
    std::fprintf(stderr, "ending %zu tasks, grace %lld ms\n", table_.size(), static_cast<long long>(grace.count()));
  }
  ending_ = true;
  end_kill_at_ = std::min(end_kill_at_, now + grace);
  end_exit_at_ = std::min(end_exit_at_, now + grace + defaults::unkillable_after);
  stop_all(grace, now);
  for (const auto& [pid, orphan] : table_.orphans) {
    if (!orphan.owner) ::kill(pid, SIGTERM);
  }
  reap(now);
}

void Supervisor::stop_all(milliseconds grace, TimePoint now) {
  find_orphans(now);
  for (const auto id : table_.ids()) {
    on(Stop{id, static_cast<std::uint32_t>(grace.count())}, now);
  }
}

void Supervisor::stop(Task& task, milliseconds grace, TimePoint now) {
  if (task.give_up_at != never) return;
  const bool first = task.kill_at == never;
  task.timeout_at = never;
  task.kill_at = std::min(task.kill_at, now + grace);
  table_.reschedule(task);
  if (task.kill_at <= now) {
    kill_now(task, now);
    return;
  }
  if (!first) return;
  find_orphans(now);
  std::vector<pid_t> tree = procfs::descendants_of(task.pid);
  for (const auto& [pid, orphan] : table_.orphans) {
    if (orphan.owner != task.id) continue;
    const auto below = procfs::descendants_of(pid);
    tree.push_back(pid);
    tree.insert(tree.end(), below.begin(), below.end());
  }
  for (const pid_t pid : tree) {
    if (const auto stat = procfs::stat_of(pid); stat && stat->group != task.pid) ::kill(pid, SIGTERM);
  }
  ::kill(-task.pid, SIGTERM);
  // A process that is stopped gets its TERM only when it goes on.
  ::kill(-task.pid, SIGCONT);
}

void Supervisor::kill_now(Task& task, TimePoint now) {
  task.timeout_at = never;
  task.kill_at = never;
  task.give_up_at = now + defaults::unkillable_after;
  table_.reschedule(task);
  if (!task.main_ended) ::kill(-task.pid, SIGKILL);
  find_orphans(now);
  for (auto& [pid, orphan] : table_.orphans) {
    if (orphan.owner == task.id) kill_orphan(orphan);
  }
}

void Supervisor::kill_orphan(Orphan& orphan) {
  if (orphan.killed) return;
  orphan.killed = true;
  if (orphan.owner) {
    for (const pid_t heir : procfs::descendants_of(orphan.pid)) {
      if (const auto stat = procfs::stat_of(heir)) heirs_[heir] = {stat->start_ticks, *orphan.owner};
    }
  }
  ::kill(orphan.pid, SIGKILL);
}

void Supervisor::advance(TimePoint now) {
  if (now >= lease_until_) {
    std::fprintf(stderr, "the lease ran out\n");
    lease_until_ = never;
    lease_over_ = true;
    stop_all(defaults::death_grace, now);
  }
  bool look = now >= settle_at_;
  if (now >= end_kill_at_) {
    end_kill_at_ = never;
    kill_all_ = true;
    look = true;
  }
  for (const auto id : table_.due(now)) {
    Task* task = table_.find(id);
    if (task == nullptr) continue;
    look = true;
    if (now >= task->give_up_at) continue;
    if (now >= task->kill_at) {
      kill_now(*task, now);
    } else if (now >= task->timeout_at) {
      task->end.timed_out = true;
      stop(*task, task->grace, now);
    }
  }
  if (look) reap(now);
  if (now >= end_exit_at_) finished_ = true;
}

TimePoint Supervisor::next_deadline() const {
  return std::min({table_.next_deadline(), settle_at_, lease_until_, end_kill_at_, end_exit_at_});
}

void Supervisor::reap(TimePoint now) {
  // An orphan that died between the look at the list and the look at it may have left children that the list did not show
  // yet: they are there at the next look. More than one is needed only while others die meanwhile.
  bool complete = false;
  for (int turn = 0; turn < 16 && !complete; ++turn) {
    collect_dead(now);
    complete = find_orphans(now);
    tend_orphans();
  }
  report_ended(now);
  // The last suspect of an orphan that hides may just have been reported.
  tend_orphans();
  if (ending_ && table_.size() == 0 && own_children_.read().empty()) finished_ = true;
}

void Supervisor::collect_dead(TimePoint now) {
  for (;;) {
    siginfo_t dead{};
    if (::waitid(P_ALL, 0, &dead, WEXITED | WNOHANG | WNOWAIT) != 0 || dead.si_pid == 0) return;
    const pid_t pid = dead.si_pid;
    Task* task = table_.by_pid(pid);
    const bool is_main = task != nullptr && !task->main_ended;
    const bool has_grace = is_main && task->kill_at != never;
    if (is_main && !has_grace) ::kill(-pid, SIGKILL);
    int status = 0;
    rusage used{};
    if (::wait4(pid, &status, 0, &used) != pid) return;
    if (is_main) {
      add_usage(task->end, used);
      main_process_ended(*task, status, now);
    } else if (const auto orphan = table_.orphans.find(pid); orphan != table_.orphans.end()) {
      Task* owner = orphan->second.owner ? table_.find(*orphan->second.owner) : nullptr;
      if (owner != nullptr) add_usage(owner->end, used);
      table_.orphans.erase(orphan);
    }
  }
}

void Supervisor::main_process_ended(Task& task, int status, TimePoint now) {
  task.main_ended = true;
  task.end.id = task.id;
  task.end.at = this_moment();
  if (WIFSIGNALED(status)) {
    task.end.signo = WTERMSIG(status);
  } else {
    task.end.exit_code = WEXITSTATUS(status);
  }
  task.timeout_at = never;
  if (task.kill_at == never && task.give_up_at == never) {
    task.give_up_at = now + defaults::unkillable_after;
  }
  table_.reschedule(task);
  unreported_.push_back(task.id);
}

bool Supervisor::find_orphans(TimePoint now) {
  bool complete = true;
  settle_at_ = never;
  for (const pid_t pid : own_children_.read()) {
    const Task* task = table_.by_pid(pid);
    if (task != nullptr && !task->main_ended) continue;
    auto known = table_.orphans.find(pid);
    if (known == table_.orphans.end()) {
      const auto stat = procfs::stat_of(pid);
      if (!stat || stat->dead()) {
        complete = false;
        continue;
      }
      known = table_.orphans.emplace(pid, Orphan{}).first;
      known->second.pid = pid;
      known->second.start_ticks = stat->start_ticks;
      known->second.first_seen = now;
      known->second.newest_suspect = starts_;
    }
    Orphan& orphan = known->second;
    if (orphan.owner || orphan.hidden) continue;
    identify(orphan);
    const auto settled_at = orphan.first_seen + settle_time;
    orphan.hidden = !orphan.owner && now >= settled_at;
    if (!orphan.owner && !orphan.hidden) settle_at_ = std::min(settle_at_, settled_at);
  }
  return complete;
}

void Supervisor::identify(Orphan& orphan) {
  if (const auto heir = heirs_.find(orphan.pid); heir != heirs_.end()) {
    const auto [start_ticks, owner] = heir->second;
    heirs_.erase(heir);
    if (start_ticks == orphan.start_ticks) {
      orphan.owner = owner;
      return;
    }
  }
  const Task* task = table_.by_pid(::getpgid(orphan.pid));
  if (task == nullptr) {
    const std::string environment = procfs::environment_of(orphan.pid);
    if (const auto attempt = procfs::value_in(environment, attempt_variable)) {
      task = table_.by_attempt(*attempt);
    }
  }
  if (task != nullptr) orphan.owner = task->id;
}

void Supervisor::tend_orphans() {
  for (auto& [pid, orphan] : table_.orphans) {
    bool kill = kill_all_;
    if (!orphan.owner) {
      kill = kill || !table_.any_as_old_as(orphan.newest_suspect);
    } else if (const Task* task = table_.find(*orphan.owner)) {
      kill = kill || (task->main_ended && task->kill_at == never);
    } else {
      kill = true;
    }
    if (kill) kill_orphan(orphan);
  }
}

void Supervisor::report_ended(TimePoint now) {
  if (unreported_.empty()) return;
  std::unordered_map<std::uint64_t, std::uint32_t> left;
  bool settled = true;
  for (const auto& [pid, orphan] : table_.orphans) {
    if (orphan.owner) {
      ++left[*orphan.owner];
    } else if (!orphan.hidden) {
      settled = false;
    }
  }
  std::erase_if(unreported_, [&](std::uint64_t id) {
    Task& task = *table_.find(id);
    const bool give_up = now >= task.give_up_at;
    if (!give_up && (!settled || left.contains(id))) return false;
    if (left.contains(id)) task.end.leftover = left[id];
    rank_.send(task.end);
    table_.erase(id);
    std::erase_if(heirs_, [&](const auto& heir) { return heir.second.second == id; });
    return true;
  });
}

}  // namespace trireme::spawner
