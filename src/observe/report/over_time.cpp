#include "observe/report/over_time.hpp"

#include <limits>

#include "core/defaults.hpp"
#include "observe/json_values.hpp"
#include "observe/report/bins.hpp"
#include "observe/report/tasks.hpp"

namespace trireme::observe::report {
namespace {

OrderedJson rounded_all(const std::vector<double>& values) {
  OrderedJson out = OrderedJson::array();
  for (const double value : values) out.push_back(rounded(value));
  return out;
}

/// Amounts of cores and GPUs.
struct Amounts {
  explicit Amounts(Duration total) : cores(total, defaults::report_bins), milli_gpus(total, defaults::report_bins) {}
  void add(const Resources& resources, Duration from, Duration to) {
    cores.add(from, to, static_cast<double>(resources.cores));
    milli_gpus.add(from, to, static_cast<double>(resources.gpus));
  }
  Bins cores;
  Bins milli_gpus;
};

/// Bin by bin; null where there was nothing to be used.
OrderedJson parts_of(const Bins& used, const Bins& there) {
  std::vector<double> out = used.means();
  const std::vector<double> all = there.means();
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = all[i] > 0 ? std::min(out[i] / all[i], 1.0) : std::numeric_limits<double>::quiet_NaN();
  }
  return rounded_all(out);
}

OrderedJson service_over_time(const Notes::Service& service, Duration total) {
  const auto means = [total](const GrowingBins& from) {
    Bins bins(total, defaults::report_bins);
    from.pour_into(bins);
    return rounded_all(bins.means());
  };
  return {{"name", cut_short(service.name, defaults::report_name)},
          {"requests_per_s", means(service.requests)},
          {"active", means(service.active)},
          {"queued", means(service.queued)}};
}

}  // namespace

OrderedJson over_time_json(const RunView& run, const Notes& notes, WallTime present) {
  const Timeline& timeline = notes.timeline();
  const Duration total = timeline.total();
  Amounts used(total);
  Amounts there(total);
  Bins running(total, defaults::report_bins);
  Bins ended(total, defaults::report_rate_bins);

  const auto add_nodes = [&](const std::map<Rank, NodeRecord>& nodes) {
    for (const auto& [rank, node] : nodes) {
      there.add(node.resources, timeline.at(node.joined), timeline.at(node.left != 0 ? node.left : present));
    }
  };
  for (const auto& nodes : run.former_nodes()) add_nodes(nodes);
  add_nodes(run.nodes());
  for (const TaskRecord& task : run.tasks()) {
    for (const AttemptPart& part : task.parts) {
      if (part.started == 0) continue;
      const bool over = part.phase == AttemptPart::Phase::over;
      used.add(task.per_rank.times(part.local_ranks), timeline.at(part.started),
               timeline.at(over ? part.ended : present));
    }
    each_attempt(task, present, [&](const AttemptTimes& attempt) {
      running.add(timeline.at(attempt.started), timeline.at(attempt.ended), 1);
      if (attempt.over) ended.count(timeline.at(attempt.ended));
    });
  }
  for (const ServiceRecord& service : run.services()) {
    for (const ReplicaRecord& life : service.lives) {
      if (life.starting == 0) continue;
      used.add(service.per_replica, timeline.at(life.starting), timeline.at(life.ended != 0 ? life.ended : present));
    }
  }

  OrderedJson services = OrderedJson::array();
  for (const Notes::Service& service : notes.services()) {
    if (services.size() == defaults::report_charted) break;
    services.push_back(service_over_time(service, total));
  }
  const std::size_t more = run.services().size() - std::min(run.services().size(), services.size());
  return {{"bin_s", running.width_s()},
          {"rate_bin_s", ended.width_s()},
          {"cores", parts_of(used.cores, there.cores)},
          {"gpus", parts_of(used.milli_gpus, there.milli_gpus)},
          {"running", rounded_all(running.means())},
          {"ended_per_s", rounded_all(ended.means())},
          {"services", {{"rows", std::move(services)}, {"more", more}}}};
}

}  // namespace trireme::observe::report
