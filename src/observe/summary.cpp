#include "observe/summary.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/defaults.hpp"
#include "core/replica_number.hpp"
#include "core/words.hpp"
#include "observe/task_output.hpp"

namespace trireme::observe {
namespace {

using Json = nlohmann::ordered_json;

/// The median over the lives of a service's replicas; null where none has the number.
Json median(const ServiceRecord& service, std::optional<Duration> ReplicaRecord::*field) {
  std::vector<double> values;
  for (const ReplicaRecord& life : service.lives) {
    if (life.*field) values.push_back(seconds(*(life.*field)));
  }
  if (values.empty()) return nullptr;
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

Json service_json(const RunView& run, const ServiceRecord& service) {
  const RequestCounts requests = run.requests(service);
  Json per_replica = Json::object();
  for (const auto& [replica, counts] : run.replica_requests(service)) {
    per_replica[replica_name(replica)] = counts.requests;
  }
  const ResponseTimes response = run.response(service);
  const auto mean = [](const Times& times) {
    const auto took = times.mean();
    return took ? Json(seconds(*took)) : Json();
  };
  return {{"replicas", service.replicas},
          {"requests", requests.requests},
          {"failed", requests.failed},
          {"restarts", service.restarts()},
          {"launch_s", median(service, &ReplicaRecord::launch)},
          {"init_s", median(service, &ReplicaRecord::init)},
          {"publish_s", median(service, &ReplicaRecord::publish)},
          {"communication_s", mean(response.communication)},
          {"service_s", mean(response.service)},
          {"inference_s", mean(response.inference)},
          {"replica_requests", std::move(per_replica)}};
}

Json failure_json(const TaskRecord& task, const RunPaths& paths) {
  const AttemptPart* part = task.verdict();
  Json json{{"task", task.id},
            {"exit_code", part != nullptr ? Json(part->exit_code) : Json()},
            {"signal", part != nullptr ? Json(part->signal) : Json()},
            {"reason", task.reason.empty() && part != nullptr ? describe_end(*part) : task.reason},
            {"attempts", task.attempts()}};
  json["stderr"] = Json();
  if (part != nullptr) {
    if (const TaskOutput output(paths, task, part->attempt, 0, true); output.may_have_file()) {
      json["stderr"] = output.file().string();
    }
  }
  return json;
}

/// 3725 s is "1h02m", 12.34 s is "12.3s", 0.0482 s is "48ms".
std::string short_duration(Duration duration) {
  std::array<char, 48> out{};
  const double s = seconds(duration);
  const auto whole = static_cast<long long>(std::llround(s));
  if (s < 1) {
    std::snprintf(out.data(), out.size(), "%.0fms", s * 1000);
  } else if (s < 60) {
    std::snprintf(out.data(), out.size(), "%.1fs", s);
  } else if (whole < 3600) {
    std::snprintf(out.data(), out.size(), "%lldm%02llds", whole / 60, whole % 60);
  } else {
    std::snprintf(out.data(), out.size(), "%lldh%02lldm", whole / 3600, whole / 60 % 60);
  }
  return out.data();
}

std::string percent(double part) {
  return std::to_string(static_cast<int>(std::lround(part * 100))) + " %";
}

/// The first line of a text, shortened: reasons may hold the tail of a log.
std::string first_line(const std::string& text) {
  constexpr std::size_t longest = 160;
  std::string line = text.substr(0, text.find('\n'));
  if (line.size() > longest) line = line.substr(0, longest) + "…";
  return line;
}

/// The first line of a reason and the last ones: behind the first may stand the tail of a log.
std::vector<std::string> reason_lines(const std::string& reason) {
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < reason.size();) {
    const std::size_t end = std::min(reason.find('\n', begin), reason.size());
    lines.push_back(first_line(reason.substr(begin, end - begin)));
    begin = end + 1;
  }
  if (lines.size() > defaults::shown_reason_lines) {
    lines.erase(lines.begin() + 1, lines.end() - (defaults::shown_reason_lines - 1));
  }
  return lines;
}

std::string task_counts(const RunView& run) {
  const std::uint64_t total = run.tasks().size();
  if (total == 0) return "none";
  std::string out = std::to_string(run.count(TaskState::done)) + " of " + std::to_string(total) + " done";
  const auto add = [&out](std::uint64_t n, const char* what) {
    if (n > 0) out += ", " + std::to_string(n) + " " + what;
  };
  add(run.count(TaskState::failed), "failed");
  add(run.count(TaskState::cancelled), "cancelled");
  add(run.count(TaskState::skipped), "skipped");
  add(run.count(TaskState::running), "running");
  add(run.count(TaskState::ready) + run.count(TaskState::waiting), run.ended() ? "not run" : "waiting");
  add(run.retried(), "retried");
  return out;
}

/// The newest life of a service that no replica is left of, and none will come; null of others.
const ReplicaRecord* why_it_failed(const ServiceRecord& service) {
  const ReplicaRecord* last = nullptr;
  for (std::uint32_t i = 0; i < service.replicas && service.remotes == 0; ++i) {
    const ReplicaRecord* newest = service.newest(i);
    if (newest == nullptr || newest->state != ReplicaState::failed) return nullptr;
    if (last == nullptr || last->ended < newest->ended) last = newest;
  }
  return last;
}

std::string service_line(const RunView& run, const ServiceRecord& service) {
  const RequestCounts requests = run.requests(service);
  std::string out = service.name + ": " + counted(service.replicas, "replica");
  if (service.remotes > 0) out += ", " + counted(service.remotes, "remote endpoint");
  out += ", " + counted(requests.requests, "request");
  if (requests.failed > 0) out += ", " + std::to_string(requests.failed) + " failed";
  if (service.restarts() > 0) out += ", " + counted(service.restarts(), "restart");
  if (const Json init = median(service, &ReplicaRecord::init); !init.is_null()) {
    out += ", ready in " + short_duration(Duration(std::llround(init.get<double>() * 1e9)));
  }
  if (const ReplicaRecord* last = why_it_failed(service)) {
    // Without the words before the tail of a log, which is not here.
    const std::string line = first_line(last->reason);
    out += "; failed: " + line.substr(0, line.find("; the end of its "));
  }
  return out;
}

}  // namespace

std::string describe_end(const AttemptPart& part) {
  std::string what;
  std::string more;
  switch (part.outcome) {
    case Outcome::done:
      return "done";
    case Outcome::failed:
      if (part.signal != 0) {
        what = "signal " + std::to_string(part.signal);
        more = " (" + std::string(::strsignal(part.signal)) + ")";
      } else {
        what = "exit code " + std::to_string(part.exit_code);
      }
      break;
    case Outcome::timeout:
      what = "timeout";
      break;
    case Outcome::cancelled:
      what = "cancelled";
      break;
    case Outcome::lost:
      what = "lost with its node";
      break;
  }
  const std::string reason = part.reason.substr(0, part.reason.find('\n'));
  if (reason.empty()) return what + more;
  // Many reasons say so themselves.
  if (reason.find(what) != std::string::npos) return reason;
  return what + more + ": " + reason;
}

std::string summary_json(const RunView& run, const RunPaths& paths, WallTime now) {
  const Utilisation used = run.utilisation(now);
  Json services = Json::object();
  for (const ServiceRecord& service : run.services()) {
    services[service.name] = service_json(run, service);
  }
  Json failures = Json::array();
  for (const TaskRecord& task : run.tasks()) {
    if (task.state != TaskState::failed) continue;
    if (failures.size() == defaults::summary_failures) break;
    failures.push_back(failure_json(task, paths));
  }
  const Json json{{"name", run.name()},
                  {"state", to_string(run.state())},
                  {"exit_code", run.ended() ? Json(run.exit_code()) : Json()},
                  {"reason", run.end_reason()},
                  {"run_id", run.run_id()},
                  {"ranks", run.ranks()},
                  {"nodes", run.hosts()},
                  {"started", format_wall_time(run.started())},
                  {"seconds", seconds(run.active(now))},
                  {"tasks",
                   {{"total", run.tasks().size()},
                    {"done", run.count(TaskState::done)},
                    {"failed", run.count(TaskState::failed)},
                    {"cancelled", run.count(TaskState::cancelled)},
                    {"skipped", run.count(TaskState::skipped)},
                    {"retried", run.retried()}}},
                  {"services", std::move(services)},
                  {"utilisation", {{"cores", used.cores}, {"gpus", used.gpus}}},
                  {"failures", std::move(failures)}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string summary_text(const RunView& run, const RunPaths& paths, WallTime now, std::string_view state) {
  std::string out;
  const auto line = [&out](std::string label, const std::string& text) {
    constexpr std::size_t column = 12;
    label.resize(std::max(label.size(), column), ' ');
    out += label + printable(text) + "\n";
  };
  std::string head = std::string(state.empty() ? to_string(run.state()) : state) + " in " +
                     short_duration(run.active(now)) + " on " + counted(run.ranks(), "rank");
  if (run.hosts() > 0) head += ", " + counted(run.hosts(), "node");
  out += (run.name().empty() ? "run" : run.name()) + " " + head + "\n";
  if (!run.end_reason().empty()) {
    const std::vector<std::string> lines = reason_lines(run.end_reason());
    for (std::size_t i = 0; i < lines.size(); ++i) line(i == 0 ? "  because" : "", lines[i]);
  }
  line("  tasks", task_counts(run));
  for (std::size_t i = 0; i < run.services().size(); ++i) {
    line(i == 0 ? "  services" : "", service_line(run, run.services()[i]));
  }
  const Utilisation used = run.utilisation(now);
  std::string busy = percent(used.cores) + " of the cores";
  if (used.gpus > 0) busy += ", " + percent(used.gpus) + " of the GPUs";
  line("  used", busy);

  const std::uint64_t failed = run.count(TaskState::failed);
  std::size_t shown = 0;
  for (const TaskRecord& task : run.tasks()) {
    if (task.state != TaskState::failed) continue;
    if (shown == defaults::shown_failures) {
      out += "  … and " + std::to_string(failed - shown) + " more; see " + paths.summary().string() + "\n";
      break;
    }
    const AttemptPart* part = task.verdict();
    const std::string how = part != nullptr ? describe_end(*part) : task.reason;
    line("  failed", task.id + ": " + first_line(how));
    if (part != nullptr) {
      if (const std::string where = where_stderr_is(paths, task, *part); !where.empty()) line("", where);
    }
    ++shown;
  }
  line("  directory", paths.root().string());
  return out;
}

}  // namespace trireme::observe
