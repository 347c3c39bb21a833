#include "observe/dashboard.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include "core/defaults.hpp"
#include "observe/json_values.hpp"

namespace trireme::observe {
namespace {

using Json = OrderedJson;

constexpr double not_known = std::numeric_limits<double>::quiet_NaN();
// The columns of the series, as the page knows them.
constexpr std::array run_columns{"cores", "gpus", "running", "tasks_per_s", "requests_per_s", "queued"};
constexpr std::array service_columns{"requests_per_s", "queued", "active", "p50_s", "p99_s"};

double part_of(double used, double all) {
  return all > 0 ? std::min(used / all, 1.0) : not_known;
}

double quantile(const LatencyHistogram& latency, double part) {
  const auto took = latency.quantile(part);
  return took ? seconds(*took) : not_known;
}

double whole_gpus(MilliGpus thousandths) {
  return static_cast<double>(thousandths) / whole_gpu;
}

Json share(const Resources& used, const Resources& all) {
  return {{"cores", {used.cores, all.cores}},
          {"gpus", {whole_gpus(used.gpus), whole_gpus(all.gpus)}},
          {"memory", {used.memory, all.memory}}};
}

Json groups_json(const RunView& run) {
  Json rows = Json::array();
  for (const TaskGroup& group : run.groups()) {
    if (rows.size() == defaults::dashboard_task_names) break;
    Json row{{"name", group.name}};
    row.update(counts_json(group));
    rows.push_back(std::move(row));
  }
  const std::size_t more = run.groups().size() - rows.size();
  return {{"rows", std::move(rows)}, {"more", more}};
}

Json nodes_json(const RunView& run) {
  Json rows = Json::array();
  for (const auto& [rank, node] : run.nodes()) {
    if (rows.size() == defaults::dashboard_nodes) break;
    Json row{{"rank", rank},
             {"host", node.host},
             {"state", node.lost        ? "lost"
                       : node.left != 0 ? "left"
                                        : "up"},
             {"joined", time_of(node.joined)}};
    row.update(share(node.left != 0 ? Resources{} : run.in_use(rank), node.resources));
    if (node.lost) row["reason"] = cut_short(node.reason, defaults::dashboard_reason);
    rows.push_back(std::move(row));
  }
  const std::size_t more = run.nodes().size() - rows.size();
  return {{"rows", std::move(rows)}, {"more", more}};
}

Json columns_of(const Series& series, const auto& names) {
  std::vector<Json> columns(names.size() + 1, Json::array());
  series.each([&columns](WallTime time, std::span<const float> values) {
    columns[0].push_back(time_of(time));
    for (std::size_t i = 0; i < values.size(); ++i) columns[i + 1].push_back(rounded(values[i]));
  });
  Json out{{"time", std::move(columns[0])}};
  for (std::size_t i = 0; i < names.size(); ++i) out[names[i]] = std::move(columns[i + 1]);
  return out;
}

Json point_json(const std::vector<double>& point, const auto& names) {
  Json out = Json::object();
  for (std::size_t i = 0; i < names.size(); ++i) out[names[i]] = i < point.size() ? rounded(point[i]) : Json();
  return out;
}

std::uint64_t ended_tasks(const RunView& run) {
  return run.count(TaskState::done) + run.count(TaskState::failed) + run.count(TaskState::cancelled) +
         run.count(TaskState::skipped);
}

}  // namespace

Dashboard::Dashboard() : series_(run_columns.size()) {}
Dashboard::~Dashboard() = default;

// --- samples ---------------------------------------------------------------------------------------------------------

void Dashboard::sample(MonoTime now, WallTime wall, const RunView& run) {
  const bool first = sampled_ == 0;
  const double elapsed = first ? 0 : seconds(Duration(now - sampled_));
  const bool turn = now - turned_ >= Duration(defaults::dashboard_latency).count();
  wall_ = wall;

  amounts_ = {};
  for (const auto& [rank, node] : run.nodes()) {
    // Of a run that has ended all that were there to its end are shown, with nothing on them.
    if (node.left != 0 && (node.lost || !run.ended())) continue;
    ++amounts_.nodes;
    amounts_.all += node.resources;
    amounts_.used += run.in_use(rank);
  }
  // Soon after the last one, at the end of a run, rates would mean nothing.
  if (!first && Duration(now - sampled_) < defaults::dashboard_hurry / 2) return;
  if (turn) turned_ = now;
  sampled_ = now;

  const std::uint64_t ended = ended_tasks(run);
  pace_.on_time(now, run.tasks().size(), ended);
  const double task_rate = elapsed > 0 && ended >= ended_ ? static_cast<double>(ended - ended_) / elapsed : not_known;
  ended_ = ended;

  double request_rate = run.services().empty() ? not_known : 0;
  double queued = run.services().empty() ? not_known : 0;
  for (std::size_t i = 0; i < run.services().size() && i < defaults::dashboard_services; ++i) {
    const ServiceRecord& service = run.services()[i];
    if (i == services_.size()) {
      services_.push_back({.name = service.name});
      if (i < defaults::dashboard_charted) services_.back().series = std::make_unique<Series>(service_columns.size());
    }
    Watched& watched = services_[i];
    watch(watched, service, run, turn);
    request_rate += watched.point[0];
    queued += watched.point[1];
    if (watched.series) watched.series->add(wall, watched.point);
  }
  point_ = {part_of(amounts_.used.cores, amounts_.all.cores),
            part_of(amounts_.used.gpus, amounts_.all.gpus),
            static_cast<double>(run.count(TaskState::running)),
            task_rate,
            request_rate,
            queued};
  series_.add(wall, point_);
}

void Dashboard::watch(Watched& watched, const ServiceRecord& service, const RunView& run, bool turn) {
  watched.pace.on_time(sampled_, 0, run.requests(service).requests);
  watched.recent = {};
  double active = 0;
  for (const auto& [replica, load] : run.replica_loads(service)) {
    active += load.active;
    auto found = watched.replicas.find(replica);
    if (found == watched.replicas.end()) {
      if (latencies_ == defaults::dashboard_replicas) continue;
      ++latencies_;
      found = watched.replicas.emplace(replica, Latencies{}).first;
    }
    Latencies& latencies = found->second;
    watched.recent.add(load.latency.since(latencies.before));
    if (turn) latencies = {.before = std::move(latencies.last), .last = load.latency};
  }
  watched.point = {watched.pace.rate().value_or(0), static_cast<double>(run.queued(service)), active,
                   quantile(watched.recent, 0.5), quantile(watched.recent, 0.99)};
}

// --- JSON ------------------------------------------------------------------------------------------------------------

std::string Dashboard::history() const {
  Json services = Json::object();
  for (const Watched& watched : services_) {
    if (watched.series) services[watched.name] = columns_of(*watched.series, service_columns);
  }
  return text_of({{"run", columns_of(series_, run_columns)}, {"services", std::move(services)}});
}

std::string Dashboard::snapshot(const RunView& run) const {
  const auto rate = pace_.rate();
  const auto left = run.ended() ? std::nullopt : pace_.left();
  Json tasks = counts_json(run);
  tasks["total"] = run.tasks().size();
  tasks["retried"] = run.retried();
  tasks["per_s"] = rounded(rate.value_or(0));
  Json points = Json::object();
  for (const Watched& watched : services_) {
    if (watched.series) points[watched.name] = point_json(watched.point, service_columns);
  }
  Json warnings = Json::array();
  for (const std::string& warning : run.warnings()) warnings.push_back(cut_short(warning, defaults::dashboard_reason));
  return text_of(
      {{"time", time_of(wall_)},
       {"run",
        {{"name", run.name()},
         {"id", run.run_id()},
         {"version", run.version()},
         {"workflow", run.workflow_file()},
         {"ranks", run.ranks()},
         {"nodes", amounts_.nodes},
         {"state", run.draining() ? "draining" : std::string(to_string(run.state()))},
         {"ended", run.ended()},
         {"exit_code", run.exit_code()},
         {"reason", cut_short(run.ended() ? run.end_reason() : run.drain_reason(), defaults::dashboard_reason)},
         {"started", time_of(run.started())},
         {"elapsed_s", rounded(seconds(run.active(wall_)))},
         {"left_s", left ? rounded(seconds(*left)) : Json()}}},
       {"tasks", std::move(tasks)},
       {"groups", groups_json(run)},
       {"resources", share(amounts_.used, amounts_.all)},
       {"services", services_json(run)},
       {"nodes", nodes_json(run)},
       {"failures", failures_json(run, defaults::dashboard_failures, defaults::dashboard_reason)},
       {"warnings", std::move(warnings)},
       {"points", {{"run", point_json(point_, run_columns)}, {"services", std::move(points)}}}});
}

Json Dashboard::services_json(const RunView& run) const {
  Json rows = Json::array();
  std::size_t room = defaults::dashboard_replicas;
  for (std::size_t i = 0; i < run.services().size() && i < defaults::dashboard_services; ++i) {
    rows.push_back(service_json(run.services()[i], i < services_.size() ? &services_[i] : nullptr, run, room));
  }
  const std::size_t more = run.services().size() - rows.size();
  return {{"rows", std::move(rows)}, {"more", more}};
}

Json Dashboard::service_json(const ServiceRecord& service, const Watched* watched, const RunView& run,
                             std::size_t& room) const {
  const RequestCounts requests = run.requests(service);
  const auto counts = run.replica_requests(service);
  const auto loads = run.replica_loads(service);
  LatencyHistogram whole;
  std::uint64_t active = 0;
  for (const auto& [replica, load] : loads) {
    whole.add(load.latency);
    active += load.active;
  }
  std::unordered_map<std::uint32_t, const ReplicaRecord*> newest;
  for (const ReplicaRecord& life : service.lives) newest[life.replica] = &life;

  Json replicas = Json::array();
  for (const auto& [replica, count] : counts) {
    if (room == 0) break;
    --room;
    const auto found = newest.find(replica);
    const ReplicaRecord* life = found != newest.end() ? found->second : nullptr;
    const auto load = loads.find(replica);
    LatencyHistogram recent;
    if (watched != nullptr && load != loads.end()) {
      const auto before = watched->replicas.find(replica);
      if (before != watched->replicas.end()) recent = load->second.latency.since(before->second.before);
    }
    const bool local = replica < service.replicas;
    Json row{{"replica", replica}, {"remote", !local}, {"requests", count.requests}, {"failed", count.failed}};
    row["state"] = life != nullptr ? to_string(life->state) : local ? to_string(ReplicaState::waiting) : "remote";
    row["active"] = load != loads.end() ? load->second.active : 0;
    row["p50_s"] = rounded(quantile(recent, 0.5));
    row["p99_s"] = rounded(quantile(recent, 0.99));
    row["p99_run_s"] = load != loads.end() ? rounded(quantile(load->second.latency, 0.99)) : Json();
    if (life != nullptr) {
      row["attempt"] = life->attempt;
      row["rank"] = life->rank;
      row["nodes"] = life->nodes();
      row["endpoint"] = life->endpoint;
      row["since"] = time_of(life->ended != 0 ? life->ended : life->ready != 0 ? life->ready : life->starting);
      if (!life->reason.empty()) row["reason"] = cut_short(life->reason, defaults::dashboard_reason);
    }
    replicas.push_back(std::move(row));
  }
  const std::size_t more = counts.size() - replicas.size();
  return {{"name", service.name},
          {"models", service.models},
          {"replicas", service.replicas},
          {"wanted", service.wanted()},
          {"ready", service.ready()},
          {"remotes", service.remotes},
          {"restarts", service.restarts()},
          {"queued", run.queued(service)},
          {"active", active},
          {"requests", requests.requests},
          {"failed", requests.failed},
          {"per_s", rounded(watched != nullptr ? watched->pace.rate().value_or(0) : 0)},
          {"p50_s", watched != nullptr ? rounded(quantile(watched->recent, 0.5)) : Json()},
          {"p99_s", watched != nullptr ? rounded(quantile(watched->recent, 0.99)) : Json()},
          {"p99_run_s", rounded(quantile(whole, 0.99))},
          {"rows", std::move(replicas)},
          {"more", more}};
}

}  // namespace trireme::observe
