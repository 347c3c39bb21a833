#include "observe/report/tasks.hpp"

#include <algorithm>
#include <vector>

#include "core/defaults.hpp"
#include "observe/json_values.hpp"
#include "observe/report/spread.hpp"

namespace trireme::observe::report {
namespace {

/// Seconds from one time to a later one; 0 where they make no sense.
double seconds_between(WallTime from, WallTime to) {
  return from >= 0 && to > from ? seconds(Duration(to - from)) : 0;
}

/// Of some tasks.
struct Sums {
  std::uint64_t attempts = 0;
  std::vector<double> waits;
  std::vector<double> runs;
  double cpu_s = 0;
  double core_s = 0;  ///< cores times run time, of attempts that are over
  std::uint64_t max_rss = 0;

  void add(const TaskRecord& task, WallTime present);
};

void Sums::add(const TaskRecord& task, WallTime present) {
  attempts += task.attempts();
  each_attempt(task, present, [&](const AttemptTimes& attempt) {
    if (attempt.ready != 0) waits.push_back(seconds_between(attempt.ready, attempt.started));
    if (attempt.over && !attempt.lost) runs.push_back(seconds_between(attempt.started, attempt.ended));
  });
  for (const AttemptPart& part : task.parts) {
    max_rss = std::max(max_rss, part.usage.max_rss);
    if (part.started == 0 || part.phase != AttemptPart::Phase::over || part.outcome == Outcome::lost) continue;
    cpu_s += seconds(part.usage.user) + seconds(part.usage.system);
    core_s += task.per_rank.times(part.local_ranks).cores * seconds_between(part.started, part.ended);
  }
}

OrderedJson sums_json(Sums& sums) {
  return {{"attempts", sums.attempts},
          {"wait_s", spread_json(sums.waits)},
          {"run_s", spread_json(sums.runs)},
          {"cpu_s", sums.cpu_s},
          {"core_s", sums.core_s},
          {"cpu_efficiency", sums.core_s > 0 ? OrderedJson(sums.cpu_s / sums.core_s) : OrderedJson()},
          {"max_rss", sums.max_rss > 0 ? OrderedJson(sums.max_rss) : OrderedJson()}};
}

}  // namespace

void each_attempt(const TaskRecord& task, WallTime present, const std::function<void(const AttemptTimes&)>& visit) {
  for (auto part = task.parts.begin(); part != task.parts.end();) {
    const auto first = part;
    AttemptTimes times;
    for (; part != task.parts.end() && part->attempt == first->attempt && part->incarnation == first->incarnation;
         ++part) {
      if (part->ready != 0) times.ready = part->ready;
      if (part->started == 0) continue;
      const bool over = part->phase == AttemptPart::Phase::over;
      times.started = times.started == 0 ? part->started : std::min(times.started, part->started);
      times.ended = std::max(times.ended, over ? part->ended : present);
      times.over = times.over && over;
      times.lost = times.lost || (over && part->outcome == Outcome::lost);
    }
    if (times.started != 0) visit(times);
  }
}

OrderedJson tasks_json(const RunView& run, WallTime present) {
  const std::size_t listed = std::min(run.groups().size(), defaults::report_task_names);
  std::vector<Sums> by_name(listed);
  Sums all;
  for (const TaskRecord& task : run.tasks()) {
    all.add(task, present);
    if (task.group < listed) by_name[task.group].add(task, present);
  }
  OrderedJson rows = OrderedJson::array();
  for (std::size_t i = 0; i < listed; ++i) {
    OrderedJson row{{"name", cut_short(run.groups()[i].name, defaults::report_name)}};
    row.update(counts_json(run.groups()[i]));
    row.update(sums_json(by_name[i]));
    rows.push_back(std::move(row));
  }
  OrderedJson total{{"total", run.tasks().size()}, {"retried", run.retried()}};
  total.update(counts_json(run));
  total.update(sums_json(all));
  return {{"rows", std::move(rows)}, {"more", run.groups().size() - listed}, {"all", std::move(total)}};
}

}  // namespace trireme::observe::report
