#include "observe/report/report.hpp"

#include <map>

#include "core/defaults.hpp"
#include "observe/json_values.hpp"
#include "observe/report/over_time.hpp"
#include "observe/report/services.hpp"
#include "observe/report/tasks.hpp"

namespace trireme::observe::report {
namespace {

/// Each time that the run was on: when, and what of the run's time had gone before.
OrderedJson incarnations_json(const Timeline& timeline) {
  OrderedJson rows = OrderedJson::array();
  for (const Timeline::Span& span : timeline.spans()) {
    if (rows.size() == defaults::report_incarnations) break;
    rows.push_back({{"begun", time_of(span.begin)}, {"until", time_of(span.end)}, {"before_s", seconds(span.offset)}});
  }
  const std::size_t more = timeline.spans().size() - rows.size();
  return {{"rows", std::move(rows)}, {"more", more}};
}

OrderedJson settings_json(const RunView& run) {
  OrderedJson out = OrderedJson::array();
  for (const std::string& setting : run.settings()) out.push_back(cut_short(setting, defaults::report_reason));
  return out;
}

OrderedJson run_json(const RunView& run, const Timeline& timeline, const std::string& state, WallTime present) {
  return {{"name", run.name()},
          {"id", run.run_id()},
          {"version", run.version()},
          {"workflow", run.workflow_file()},
          {"settings", settings_json(run)},
          {"state", state},
          {"ended", run.ended()},
          {"exit_code", run.ended() ? OrderedJson(run.exit_code()) : OrderedJson()},
          {"reason", cut_short(run.ended() ? run.end_reason() : run.drain_reason(), defaults::report_reason)},
          {"started", format_wall_time(run.started())},
          {"told_until", time_of(run.ended() ? run.last_event() : present)},
          {"seconds", seconds(run.active(present))},
          {"ranks", run.ranks()},
          {"hosts", run.hosts()},
          {"incarnations", incarnations_json(timeline)}};
}

/// Of the nodes: what there was, and what was in use on average.
OrderedJson resources_json(const RunView& run, WallTime present) {
  Resources all;
  for (const auto& [rank, node] : run.nodes()) all += node.resources;
  const Utilisation used = run.utilisation(present);
  return {{"cores", all.cores},
          {"gpus", static_cast<double>(all.gpus) / whole_gpu},
          {"memory", all.memory},
          {"cores_used", used.cores},
          {"gpus_used", all.gpus > 0 ? OrderedJson(used.gpus) : OrderedJson()}};
}

/// By incarnation and rank: attempts that ran there, and core-seconds of them.
struct Work {
  std::uint64_t attempts = 0;
  double core_s = 0;
};
using WorkByNode = std::map<std::pair<std::size_t, Rank>, Work>;

WorkByNode work_by_node(const RunView& run, const Timeline& timeline, WallTime present) {
  WorkByNode out;
  for (const TaskRecord& task : run.tasks()) {
    for (const AttemptPart& part : task.parts) {
      if (part.started == 0) continue;
      Work& work = out[{part.incarnation, part.rank}];
      ++work.attempts;
      const WallTime end = part.phase == AttemptPart::Phase::over ? part.ended : present;
      const Duration took = timeline.at(end) - timeline.at(part.started);
      if (took > Duration(0)) work.core_s += task.per_rank.times(part.local_ranks).cores * seconds(took);
    }
  }
  return out;
}

OrderedJson nodes_json(const RunView& run, const Timeline& timeline, WallTime present) {
  const WorkByNode work = work_by_node(run, timeline, present);
  OrderedJson rows = OrderedJson::array();
  std::size_t all = 0;
  const auto add = [&](std::size_t incarnation, const std::map<Rank, NodeRecord>& nodes) {
    all += nodes.size();
    for (const auto& [rank, node] : nodes) {
      if (rows.size() == defaults::report_nodes) break;
      const auto found = work.find({incarnation, rank});
      rows.push_back({{"incarnation", incarnation},
                      {"rank", rank},
                      {"host", cut_short(node.host, defaults::report_name)},
                      {"lost", node.lost},
                      {"cores", node.resources.cores},
                      {"gpus", static_cast<double>(node.resources.gpus) / whole_gpu},
                      {"memory", node.resources.memory},
                      {"joined", time_of(node.joined)},
                      {"left", time_of(node.left)},
                      {"attempts", found != work.end() ? found->second.attempts : 0},
                      {"core_s", found != work.end() ? found->second.core_s : 0.0},
                      {"reason", cut_short(node.reason, defaults::dashboard_reason)}});
    }
  };
  // The last first: it is what a reader asks for, should there be too many.
  add(run.incarnations(), run.nodes());
  for (std::size_t i = run.former_nodes().size(); i-- > 0;) add(i + 1, run.former_nodes()[i]);
  const std::size_t more = all - rows.size();
  return {{"rows", std::move(rows)}, {"more", more}};
}

OrderedJson warnings_json(const RunView& run) {
  OrderedJson rows = OrderedJson::array();
  for (const std::string& warning : run.warnings()) rows.push_back(cut_short(warning, defaults::dashboard_reason));
  const std::uint64_t more = run.warning_count() - rows.size();
  return {{"rows", std::move(rows)}, {"more", more}};
}

OrderedJson all_failures_json(const RunView& run) {
  OrderedJson rows = failures_json(run, defaults::kept_failures, defaults::report_reason);
  const std::uint64_t more = run.failure_count() - rows.size();
  return {{"rows", std::move(rows)}, {"more", more}};
}

}  // namespace

OrderedJson report_json(const RunView& run, const Notes& notes, const std::string& state, WallTime present) {
  const Timeline& timeline = notes.timeline();
  return {{"run", run_json(run, timeline, state, present)},
          {"resources", resources_json(run, present)},
          {"over_time", over_time_json(run, notes, present)},
          {"tasks", tasks_json(run, present)},
          {"services", services_json(run, notes)},
          {"failures", all_failures_json(run)},
          {"warnings", warnings_json(run)},
          {"nodes", nodes_json(run, timeline, present)}};
}

}  // namespace trireme::observe::report
