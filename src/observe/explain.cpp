#include "observe/explain.hpp"

#include <algorithm>

#include "core/words.hpp"
#include "observe/summary.hpp"

namespace trireme::observe {
namespace {

// Causes beyond this many of a kind would hide the answer.
constexpr std::size_t shown_causes = 5;

std::string node_name(Rank rank, const NodeRecord* node) {
  return "node " + std::to_string(rank) + (node != nullptr ? " (" + node->host + ")" : "");
}

std::string node_name(const RunView& run, Rank rank) {
  const auto found = run.nodes().find(rank);
  return node_name(rank, found != run.nodes().end() ? &found->second : nullptr);
}

std::string node_name(const RunView& run, const AttemptPart& part) {
  return node_name(part.rank, run.node_of(part));
}

/// What is free, and what is needed and is not.
std::string free_text(const Resources& free, const Resources& needed) {
  if (free == Resources{}) return to_string(free);
  std::string out;
  if (needed.cores > 0 && free.cores == 0) out += "no cores, ";
  if (needed.gpus > 0 && free.gpus == 0) out += "no GPUs, ";
  return out + to_string(free);
}

std::string state_of(const TaskRecord& task) {
  std::string out = "is " + std::string(to_string(task.state));
  if (task.state == TaskState::waiting) out = "waits itself";
  if (task.state == TaskState::failed) {
    const AttemptPart* part = task.verdict();
    out = "failed";
    if (part != nullptr) out += " (" + describe_end(*part) + ")";
  }
  if (task.state == TaskState::skipped || task.state == TaskState::cancelled) {
    out = "was " + std::string(to_string(task.state));
    if (!task.reason.empty()) out += " (" + task.reason + ")";
  }
  return out;
}

/// The tasks that an entry of `after` stands for: the one with that id, or all instances of that name.
std::vector<const TaskRecord*> resolve(const RunView& run, const std::string& entry) {
  if (const TaskRecord* one = run.find_task(entry)) return {one};
  std::vector<const TaskRecord*> out;
  for (const TaskRecord& task : run.tasks()) {
    if (task.name == entry) out.push_back(&task);
  }
  return out;
}

/// Adds the tasks that it comes after and that are not done; returns how many there are.
std::size_t add_tasks(const RunView& run, const TaskRecord& task, std::vector<Cause>& causes) {
  std::size_t count = 0;
  for (const std::string& entry : task.after) {
    const auto needed = resolve(run, entry);
    if (needed.empty()) {
      ++count;
      causes.push_back({Cause::Kind::task, entry, "was not submitted yet"});
    }
    for (const TaskRecord* other : needed) {
      if (other->state == TaskState::done) continue;
      if (++count <= shown_causes) causes.push_back({Cause::Kind::task, other->id, state_of(*other)});
    }
  }
  return count;
}

std::string service_trouble(const ServiceRecord& service) {
  std::string out = "is not ready";
  if (service.lives.empty()) return out + ": no replica was started yet";
  const ReplicaRecord& last = service.lives.back();
  out += ": replica " + std::to_string(last.replica) + " is " + std::string(to_string(last.state));
  if (service.restarts() > 0) out += " after " + counted(service.restarts(), "restart");
  const auto told = std::find_if(service.lives.rbegin(), service.lives.rend(),
                                 [](const ReplicaRecord& life) { return !life.reason.empty(); });
  if (told != service.lives.rend()) out += "; last error: " + told->reason;
  return out;
}

std::size_t add_services(const RunView& run, const TaskRecord& task, std::vector<Cause>& causes) {
  std::size_t count = 0;
  for (const std::string& name : task.services) {
    const ServiceRecord* service = run.find_service(name);
    if (service != nullptr && service->is_ready()) continue;
    ++count;
    causes.push_back({Cause::Kind::service, name, service != nullptr ? service_trouble(*service) : "was not declared"});
  }
  return count;
}

void add_resources(const RunView& run, const TaskRecord& task, std::vector<Cause>& causes) {
  const std::string wants = task.ranks == 1
                                ? to_string(task.per_rank)
                                : std::to_string(task.ranks) + " ranks with " + to_string(task.per_rank) + " each";
  const std::map<Rank, Resources> free = run.free_resources();
  if (free.empty()) {
    causes.push_back({Cause::Kind::resources, "", "needs " + wants + "; no node has joined"});
    return;
  }
  // The nodes that come nearest, by cores and then GPUs.
  std::vector<std::pair<Rank, Resources>> nodes(free.begin(), free.end());
  std::stable_sort(nodes.begin(), nodes.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  std::string detail = "needs " + wants;
  for (std::size_t i = 0; i < std::min(nodes.size(), shown_causes); ++i) {
    detail += "; " + node_name(run, nodes[i].first) + " has " + free_text(nodes[i].second, task.per_rank) + " free";
  }
  if (nodes.size() > shown_causes) detail += "; the other nodes have less";
  causes.push_back({Cause::Kind::resources, "", std::move(detail)});
}

std::string attempt_line(const RunView& run, const AttemptPart& part) {
  std::string out = "attempt " + std::to_string(part.attempt) + " on " + node_name(run, part) + ": ";
  const std::string launch = part.launch.empty() ? "" : "; launched by " + part.launch;
  switch (part.phase) {
    case AttemptPart::Phase::placed:
      return out + "sent there, not started yet";
    case AttemptPart::Phase::running:
      return out + "running since " + format_wall_time(part.started) + " as process " + std::to_string(part.pid) +
             launch;
    case AttemptPart::Phase::over:
      break;
  }
  out += describe_end(part);
  if (part.started > 0 && part.ended >= part.started) {
    const auto took = std::chrono::floor<std::chrono::milliseconds>(Duration(part.ended - part.started));
    out += took.count() > 0 ? " after " + format_duration(took) : " within a millisecond";
  }
  return out + launch;
}

Explanation explain_waiting(const RunView& run, const TaskRecord& task) {
  Explanation out;
  const std::size_t tasks = add_tasks(run, task, out.causes);
  const std::size_t services = add_services(run, task, out.causes);
  if (tasks > 0) {
    out.headline = task.id + " waits for " + counted(tasks, "task") + " that it comes after";
    if (services > 0) out.headline += ", and for " + counted(services, "service");
  } else if (services > 0) {
    out.headline = task.id + " waits for " + counted(services, "service") + " to be ready";
  } else {
    out.headline = task.id + " waits for resources";
    add_resources(run, task, out.causes);
  }
  return out;
}

}  // namespace

std::string_view to_string(Cause::Kind kind) {
  switch (kind) {
    case Cause::Kind::task:
      return "task";
    case Cause::Kind::service:
      return "service";
    case Cause::Kind::resources:
      return "resources";
    case Cause::Kind::run:
      return "run";
  }
  return "unknown";
}

Explanation explain(const RunView& run, const TaskRecord& task) {
  Explanation out;
  switch (task.state) {
    case TaskState::waiting:
    case TaskState::ready:
      if (run.ended()) {
        out.headline = task.id + " was not run: the run ended before";
        out.causes.push_back({Cause::Kind::run, "",
                              "the run is " + std::string(to_string(run.state())) +
                                  (run.end_reason().empty() ? "" : ": " + run.end_reason())});
        break;
      }
      out = explain_waiting(run, task);
      if (run.draining()) {
        out.causes.push_back(
            {Cause::Kind::run, "", "the run is draining and starts no more tasks: " + run.drain_reason()});
      }
      break;
    case TaskState::running:
      out.headline = task.id + " is running";
      break;
    case TaskState::done:
      out.headline = task.id + " is done";
      break;
    case TaskState::failed: {
      const AttemptPart* part = task.verdict();
      out.headline = task.id + " failed";
      if (part != nullptr) {
        out.headline += " on " + node_name(run, *part) + ": " + describe_end(*part);
      } else if (!task.reason.empty()) {
        out.headline += ": " + task.reason;
      }
      if (task.retries > 0) {
        out.headline += ", after " + counted(task.attempts(), "attempt");
      }
      break;
    }
    case TaskState::cancelled:
    case TaskState::skipped:
      out.headline = task.id + " was " + std::string(to_string(task.state));
      if (!task.reason.empty()) out.headline += ": " + task.reason;
      add_tasks(run, task, out.causes);
      if (task.state == TaskState::skipped) add_services(run, task, out.causes);
      break;
  }
  for (const AttemptPart& part : task.parts) out.attempts.push_back(attempt_line(run, part));
  return out;
}

}  // namespace trireme::observe
