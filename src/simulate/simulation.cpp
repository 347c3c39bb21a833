#include "simulate/simulation.hpp"

#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <queue>
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>

#include "simulate/lower_bound.hpp"
#include "simulate/usage_curve.hpp"

namespace trireme::simulate {
namespace {

std::uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t total = 0;
  std::uint64_t resident = 0;
  file >> total >> resident;
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

std::uint64_t peak_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

/// Of this thread: the pilot neither waits nor sleeps, and what else the machine does is no part of its time.
MonoTime cpu_now() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return time.tv_sec * MonoTime{1'000'000'000} + time.tv_nsec;
}

/// What lies between two calls of cpu_now() with nothing in between: most of a system call. Taken off each measurement, since
/// the pilot is called millions of times for a microsecond.
MonoTime cost_of_measuring() {
  std::array<MonoTime, 1001> costs{};
  for (MonoTime& cost : costs) {
    const MonoTime begin = cpu_now();
    cost = cpu_now() - begin;
  }
  const auto median = costs.begin() + costs.size() / 2;
  std::nth_element(costs.begin(), median, costs.end());
  return *median;
}

/// The longest chain of tasks, as durations become known: when a task starts, all that it comes after is over.
class CriticalPath {
 public:
  void started(const TaskDescription& task, std::uint32_t index, double duration) {
    double before = 0;
    for (const std::string& name : task.after) {
      if (const auto found = ends_.find(name); found != ends_.end()) before = std::max(before, found->second);
    }
    longest_ = std::max(longest_, before + duration);
    if (followed_) open_[index] = before + duration;
  }
  void ended(std::uint32_t index, const TaskFamily& family, std::uint32_t instance) {
    if (!followed_) return;
    const auto end = open_.extract(index);
    if (end.empty()) return;
    for (const std::string& name : {family.id(instance), family.shared().name}) {
      double& latest = ends_[name];
      latest = std::max(latest, end.mapped());
    }
  }
  /// Some tasks come after others.
  void follow() { followed_ = true; }
  double longest() const { return longest_; }

 private:
  bool followed_ = false;
  double longest_ = 0;
  std::unordered_map<std::uint32_t, double> open_;
  std::unordered_map<std::string, double> ends_;  ///< by id, and by the name of several
};

class Machine final : public pilot::Output {
 public:
  explicit Machine(const Options& options) : options_(options) {}

  Result<Report> run(WorkflowDescription workflow) {
    const MonoTime begin = mono_now();
    if (workflow.tasks.empty()) {
      return Error{"there are no tasks to simulate", "", "services alone stay up, however long it takes",
                   ExitCode::usage};
    }
    for (const TaskFamily& family : workflow.tasks) expect(family.shared(), family.size());
    if (options_.failures == 0) bound(workflow.tasks);

    pilot::Pilot pilot({.expected_nodes = static_cast<std::uint32_t>(options_.nodes.size())}, *this);
    const std::uint64_t before = resident_bytes();
    const MonoTime submitting = mono_now();
    if (Status status = pilot.submit_all(std::move(workflow)); !status) return status.error();
    report_.load_s = seconds(Duration(mono_now() - submitting));
    report_.bytes_held = std::max(resident_bytes(), before) - before;

    for (std::size_t i = 0; i < options_.nodes.size(); ++i) {
      pilot.on_node_joined(static_cast<Rank>(i),
                           {.host = "", .resources = options_.nodes[i], .proxy_url = "", .warnings = {}}, 0);
    }
    Status started;
    in_pilot([&] {
      started = pilot.start(0);
      pilot.close(0);
    });
    if (!started) return started.error();
    while (!pilot.finished()) {
      if (!endings_.empty() && endings_.top().time >= longest_duration.count()) {
        return Error{"the tasks take longer than 100 years, where virtual time ends", "", "", ExitCode::usage};
      }
      if (step(pilot)) continue;
      return Error{"the pilot waits for something that never comes", "", "", ExitCode::runtime_failed};
    }
    report_.tasks = pilot.counts();
    finish();
    report_.wall_s = seconds(Duration(mono_now() - begin));
    return std::move(report_);
  }

  // --- what the pilot says ---------------------------------------------------------------------

  void start_task(Rank to, const StartOrder& order) override {
    started_.push_back({order.id, to, order.first_rank, order.local_ranks, order.instance, &order.family});
  }
  void send(Rank to, ToAgent message) override {
    if (const auto* replica = std::get_if<StartReplica>(&message)) {
      busy_ += replica->service.per_rank.cores * replica->local_ranks;
      if (replica->first_rank > 0) return;
      answers_.emplace_back(to, ReplicaReady{.endpoint = {.id = replica->id, .rank = to, .socket = "", .key = ""}});
    } else if (const auto* stop = std::get_if<StopReplica>(&message)) {
      answers_.emplace_back(
          to, ReplicaEnded{.id = stop->id, .end = {.outcome = Outcome::cancelled, .reason = "", .usage = {}}});
    } else if (std::holds_alternative<ShutdownAgent>(message)) {
      answers_.emplace_back(to, AgentDone{});
    }
  }
  void record(EventBody) override {}
  void publish(ServiceEndpoint) override {}

 private:
  /// A part of an attempt that runs.
  struct Running {
    AttemptId id;
    Rank rank;
    std::uint32_t first_rank;
    std::uint32_t local_ranks;
    std::uint32_t instance;
    const TaskFamily* family;
  };
  /// When a part ends. Few bytes: a heap of them is turned over at each end, in the caches that the pilot needs.
  struct Ending {
    MonoTime time;
    std::uint32_t slot;
    bool operator<(const Ending& other) const { return time > other.time; }  // the earliest in front
  };
  struct Starts {
    std::uint64_t tasks = 0;
    std::uint64_t started = 0;
    MonoTime half = 0;
    MonoTime last = 0;
  };

  static pilot::Shape shape_of(const TaskDescription& task) {
    return {.per_rank = task.per_rank,
            .ranks = task.ranks,
            .ranks_per_node = task.ranks_per_node,
            .exclusive = task.exclusive,
            .colocate = {}};
  }

  void expect(const TaskDescription& task, std::uint32_t count) {
    if (!task.after.empty()) path_.follow();
    starts_[shape_of(task)].tasks += count;
  }

  /// How short any schedule of these can be, if all of them run once.
  void bound(const std::vector<TaskFamily>& families) {
    std::uint64_t tasks = 0;
    for (const TaskFamily& family : families) tasks += family.size();
    if (tasks > most_bounded_jobs) return;
    std::vector<Job> jobs;
    std::unordered_multimap<std::string, std::uint32_t> named;
    for (const TaskFamily& family : families) {
      const TaskDescription& task = family.shared();
      for (std::uint32_t instance = 0; instance < family.size(); ++instance) {
        const auto index = static_cast<std::uint32_t>(jobs.size());
        const std::string id = family.id(instance);
        if (task.name != id) named.emplace(task.name, index);
        named.emplace(id, index);
        jobs.push_back({.duration = seconds(duration_of(task, {{index}, 0})),
                        .cores = std::uint64_t{task.per_rank.cores} * task.ranks,
                        .after = {}});
      }
    }
    std::size_t index = 0;
    for (const TaskFamily& family : families) {
      for (std::uint32_t instance = 0; instance < family.size(); ++instance, ++index) {
        for (const std::string& name : family.shared().after) {
          const auto [first, last] = named.equal_range(name);
          for (auto before = first; before != last; ++before) jobs[index].after.push_back(before->second);
        }
      }
    }
    std::uint64_t cores = 0;
    for (const Resources& node : options_.nodes) cores += node.cores;
    report_.precedence_bound_s = precedence_bound(jobs, cores).value_or(0);
  }

  Duration duration_of(const TaskDescription& task, AttemptId id) const {
    const auto other = options_.durations.find(task.name);
    if (other == options_.durations.end() && id.task.value < options_.recorded.size()) {
      return std::min(options_.recorded[id.task.value], longest_duration);
    }
    const Distribution& distribution = other == options_.durations.end() ? options_.duration : other->second;
    return distribution.draw(options_.seed, id.task.value, id.attempt);
  }

  template <typename Call>
  void in_pilot(Call call) {
    const MonoTime begin = cpu_now();
    call();
    in_pilot_ += std::max<MonoTime>(cpu_now() - begin - cost_of_measuring_, 0);
    for (const Running& part : started_) begin_part(part);
    started_.clear();
  }

  static std::uint64_t cores_of(const Running& part) {
    return std::uint64_t{part.family->shared().per_rank.cores} * part.local_ranks;
  }

  void begin_part(const Running& part) {
    const TaskDescription& task = part.family->shared();
    const Duration duration = duration_of(task, part.id);
    const std::uint64_t cores = cores_of(part);
    busy_ += cores;
    core_seconds_ += static_cast<double>(cores) * seconds(duration);
    gpu_seconds_ += task.per_rank.gpus / 1000.0 * part.local_ranks * seconds(duration);
    if (free_slots_.empty()) {
      free_slots_.push_back(static_cast<std::uint32_t>(running_.size()));
      running_.emplace_back();
    }
    running_[free_slots_.back()] = part;
    endings_.push({now_ + std::max<MonoTime>(duration.count(), 1), free_slots_.back()});
    free_slots_.pop_back();
    if (part.first_rank > 0) return;
    ++report_.decisions;
    cores_taken_ += cores;
    last_start_ = now_;
    path_.started(task, part.id.task.value, seconds(duration));
    if (part.id.attempt > 0) return;
    Starts& starts = starts_.find(shape_of(task))->second;
    if (++starts.started == (starts.tasks + 1) / 2) starts.half = now_;
    starts.last = now_;
  }

  /// Lets the pilot hear what has happened by its next look. False if nothing ever will.
  bool step(pilot::Pilot& pilot) {
    curve_.set(now_, static_cast<double>(busy_));
    if (!answers_.empty()) {
      in_pilot([&] {
        for (const auto& [rank, message] : std::exchange(answers_, {})) pilot.on_message(rank, message, now_);
      });
      return true;
    }
    if (endings_.empty()) {
      const auto deadline = pilot.next_deadline();
      if (!deadline) return false;
      now_ = std::max(now_ + 1, *deadline);
      in_pilot([&] { pilot.on_time(now_); });
      return true;
    }
    const MonoTime tick = std::max<MonoTime>(options_.tick.count(), 1);
    const MonoTime look = (endings_.top().time + tick - 1) / tick * tick;
    ended_.clear();
    expected_.clear();
    for (; !endings_.empty() && endings_.top().time <= look; endings_.pop()) {
      const auto [time, slot] = endings_.top();
      const Running& part = ended_.emplace_back(running_[slot]);
      expected_.push_back({part.id, part.rank});
      free_slots_.push_back(slot);
      curve_.set(time, static_cast<double>(busy_));
      busy_ -= cores_of(part);
      curve_.set(time, static_cast<double>(busy_));
      path_.ended(part.id.task.value, *part.family, part.instance);
    }
    now_ = look;
    in_pilot([&] {
      pilot.expect(expected_);
      for (const Running& part : ended_) pilot.on_task_ended(part.rank, {.id = part.id, .end = end_of(part)}, now_);
    });
    return true;
  }

  AttemptEnd end_of(const Running& part) const {
    AttemptEnd end{.reason = "", .usage = {}};
    if (options_.failures > 0 &&
        chance_of(options_.seed, part.id.task.value, part.id.attempt, 7) <= options_.failures) {
      end.outcome = Outcome::failed;
      end.exit_code = 1;
    }
    return end;
  }

  void finish() {
    double cores = 0;
    double gpus = 0;
    for (const Resources& node : options_.nodes) {
      cores += node.cores;
      gpus += node.gpus / 1000.0;
    }
    curve_.finish(now_);
    report_.pilot_s = seconds(Duration(in_pilot_));
    report_.peak_bytes = peak_bytes();
    report_.makespan_s = seconds(Duration(now_));
    report_.critical_path_s = path_.longest();
    report_.work_bound_s = std::max(core_seconds_ / cores, gpus > 0 ? gpu_seconds_ / gpus : 0);
    report_.last_start_s = seconds(Duration(last_start_));
    if (now_ > 0) report_.utilisation = curve_.total() / (cores * report_.makespan_s);
    const double until_tail = curve_.until(last_start_);
    if (last_start_ > 0) {
      report_.utilisation_until_tail = until_tail / (cores * report_.last_start_s);
      report_.free_core_wait_s =
          (cores * report_.last_start_s - until_tail) / static_cast<double>(std::max<std::uint64_t>(cores_taken_, 1));
    }
    report_.utilisation_over_time = curve_.means(now_, 100);
    for (double& mean : report_.utilisation_over_time) mean /= cores;
    for (const auto& [shape, starts] : starts_) {
      report_.shapes.push_back({shape, starts.tasks, seconds(Duration(starts.half)), seconds(Duration(starts.last))});
    }
  }

  const Options& options_;
  Report report_;
  MonoTime now_ = 0;
  MonoTime in_pilot_ = 0;
  const MonoTime cost_of_measuring_ = cost_of_measuring();
  std::uint64_t busy_ = 0;  ///< cores
  std::vector<std::pair<Rank, FromAgent>> answers_;
  std::vector<Running> running_;  ///< by slot
  std::vector<std::uint32_t> free_slots_;
  std::priority_queue<Ending> endings_;
  std::vector<Running> started_;              ///< by the pilot, in this call
  std::vector<Running> ended_;                ///< reused
  std::vector<pilot::RunningPart> expected_;  ///< the same, as the pilot is told of them beforehand
  UsageCurve curve_;
  CriticalPath path_;
  double core_seconds_ = 0;
  double gpu_seconds_ = 0;
  std::uint64_t cores_taken_ = 0;
  MonoTime last_start_ = 0;
  std::map<pilot::Shape, Starts> starts_;
};

}  // namespace

Result<Report> run(WorkflowDescription workflow, const Options& options) {
  return Machine(options).run(std::move(workflow));
}

}  // namespace trireme::simulate
