#include "node/rank_group.hpp"

#include <algorithm>
#include <utility>

#include "core/defaults.hpp"
#include "node/end_words.hpp"

namespace trireme {

RankGroup::RankGroup(NodeContext& node, Options options, Events events)
    : node_(node), options_(std::move(options)), events_(std::move(events)) {}

void RankGroup::start(std::vector<RankProcess> ranks) {
  ranks_ = std::move(ranks);
  const auto weak = weak_from_this();
  options_.method.method->prepare(options_.part, options_.method.kind,
                                  {.ready =
                                       [weak](Result<std::vector<RankWiring>> wiring) {
                                         const auto self = weak.lock();
                                         if (!self || self->phase_ != Phase::wiring) return;
                                         if (wiring) return self->run(std::move(*wiring));
                                         self->end_.end.outcome = Outcome::failed;
                                         self->end_.end.reason = wiring.error().text();
                                         self->finish();
                                       },
                                   .broken =
                                       [weak](const LaunchTrouble& trouble) {
                                         if (const auto self = weak.lock()) self->broken(trouble);
                                       },
                                   .used =
                                       [weak](const Usage& usage) {
                                         if (const auto self = weak.lock()) self->add_usage(usage);
                                       }});
}

void RankGroup::run(std::vector<RankWiring> wiring) {
  phase_ = Phase::running;
  end_.end.started = wall_now();
  for (std::size_t i = 0; i < ranks_.size(); ++i) {
    RankProcess& process = ranks_[i];
    for (auto& [name, value] : wiring[i].variables) process.variables.insert_or_assign(name, std::move(value));
    process.variables.merge(wiring[i].defaults);
    process.spawn.env = to_entries(process.variables);
    auto& argv = process.spawn.argv;
    argv.insert(argv.begin(), wiring[i].wrapper.begin(), wiring[i].wrapper.end());
    started_elsewhere_ = started_elsewhere_ || !wiring[i].wrapper.empty();
    process.spawn.connect_path = std::move(wiring[i].connect_path);
    process.spawn.connect_greeting = std::move(wiring[i].connect_greeting);
    Running running{process.rank, process.spawn.stdout_path, process.spawn.stderr_path};
    running_.emplace(node_.processes.start(std::move(process.spawn), *this), std::move(running));
  }
  ranks_.clear();
}

void RankGroup::on_process_started(ProcessId id, const spawner::Started& report) {
  if (!std::exchange(any_started_, true)) end_.end.started = report.at.wall_ns;
  if (events_.started) events_.started(running_.at(id).rank, report);
}

void RankGroup::on_process_failed(ProcessId id, const spawner::Failed& report) {
  process_over(id, end_of(report), nullptr);
}

void RankGroup::on_process_lost(ProcessId id, const Error& why) {
  AttemptEnd end;
  end.outcome = Outcome::failed;
  end.reason = why.text();
  end.ended = wall_now();
  process_over(id, std::move(end), nullptr);
}

void RankGroup::on_process_ended(ProcessId id, const spawner::Ended& report) {
  AttemptEnd end = end_of(report, options_.timeout);
  if (report.stopped && !report.timed_out) {
    // By us; else by the spawner itself, whose lease ran out.
    end.outcome = stopped_ || ending_ ? Outcome::cancelled : Outcome::lost;
    end.reason = stopped_.value_or(ending_ ? "" : "its node was cut off from the run for too long");
  } else if (options_.lasting && !stopped_ && end.outcome == Outcome::done) {
    end.outcome = Outcome::failed;
    end.reason = words_for_end(report, options_.timeout);
  }
  process_over(id, std::move(end), &report);
}

void RankGroup::blame(const Running& process) {
  end_.stdout_path = process.stdout_path;
  end_.stderr_path = process.stderr_path;
}

void RankGroup::process_over(ProcessId id, AttemptEnd end, const spawner::Ended* report) {
  const Running process = std::move(running_.at(id));
  running_.erase(id);
  add_usage(end.usage);
  end_.end.ended = std::max(end_.end.ended, end.ended);
  if (end.outcome == Outcome::done) {
    if (options_.part.ranks > 1) options_.method.method->rank_left(options_.part.id, process.rank);
  } else if (!decided_) {
    if (report != nullptr) end_.report = *report;
    if (end.outcome == Outcome::failed) blame(process);
    end_badly(std::move(end), process.rank);
  }
  if (running_.empty()) finish();
}

void RankGroup::add_usage(const Usage& usage) {
  Usage& sum = end_.end.usage;
  sum.max_rss = std::max(sum.max_rss, usage.max_rss);
  sum.user += usage.user;
  sum.system += usage.system;
}

void RankGroup::broken(const LaunchTrouble& trouble) {
  if (phase_ != Phase::running || ending_) return;
  for (const auto& [id, process] : running_) {
    if (process.rank == trouble.rank) blame(process);
  }
  AttemptEnd end;
  end.outcome = Outcome::failed;
  end.exit_code = trouble.exit_code == 0 ? 1 : trouble.exit_code;
  end.reason = trouble.what;
  end_badly(std::move(end), trouble.rank);
}

/// The first that did not end well tells why the group did not, and ends the others.
void RankGroup::end_badly(AttemptEnd end, std::optional<std::uint32_t> culprit) {
  decided_ = true;
  end_.end.outcome = end.outcome;
  end_.end.exit_code = end.exit_code;
  end_.end.signal = end.signal;
  end_.end.reason = std::move(end.reason);
  if (culprit && options_.part.ranks > 1 && !end_.end.reason.empty()) {
    end_.end.reason = "rank " + std::to_string(*culprit) + ": " + end_.end.reason;
  }
  if (events_.ending && !stopped_ && !running_.empty()) events_.ending();
  stop_all();
}

void RankGroup::stop_all() {
  if (std::exchange(ending_, true)) return;
  for (const auto& [id, process] : running_) node_.processes.stop(id, defaults::stop_grace);
}

void RankGroup::stop(const std::string& reason) {
  if (stopped_ || phase_ == Phase::over) return;
  stopped_ = reason;
  if (phase_ == Phase::running) return stop_all();
  end_.end.outcome = Outcome::cancelled;
  end_.end.reason = reason;
  finish();
}

void RankGroup::finish() {
  const auto keep = shared_from_this();
  phase_ = Phase::over;
  options_.method.method->release(options_.part.id);
  events_.over(std::move(end_));
}

}  // namespace trireme
