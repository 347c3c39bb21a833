#include "node/task_attempt.hpp"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "core/defaults.hpp"
#include "node/end_words.hpp"
#include "node/log_tail.hpp"

namespace trireme {
namespace {

/// Rank 0 has the plain name, the others their number behind it.
std::string numbered(std::string name, std::uint32_t rank) {
  return rank == 0 ? name : std::move(name) + "." + std::to_string(rank);
}

}  // namespace

TaskAttempt::TaskAttempt(NodeContext& node, StartTask part, Over over)
    : node_(node),
      part_(std::move(part)),
      over_(std::move(over)),
      folder_(node.paths.attempt(part_.task.id, part_.id.attempt)),
      output_(part_.task.output == OutputMode::inherit ? node.run.output : part_.task.output) {}

TaskAttempt::~TaskAttempt() {
  stop_.request_stop();
  node_.output.drop(streams_);
}

void TaskAttempt::start() {
  if (part_.task.environment.empty()) return ask_for_resources();
  node_.environments.get(part_.task.environment, [weak = weak_from_this()](Result<Environments::Made> made) {
    const auto self = weak.lock();
    if (!self || self->phase_ != Phase::environment) return;
    if (!made) return self->fail(made.error());
    self->changes_ = std::move(*made);
    self->ask_for_resources();
  });
}

void TaskAttempt::ask_for_resources() {
  phase_ = Phase::resources;
  if (!node_.resources.ever_fits(part_.task.per_rank, part_.local_ranks)) {
    return fail(
        {"it asks for " + to_string(part_.task.per_rank.times(part_.local_ranks)) + ", which this node does not have",
         "", "", ExitCode::does_not_fit});
  }
  ticket_ = node_.resources.ask(part_.task.per_rank, part_.local_ranks,
                                [weak = weak_from_this()](std::vector<Allocation> allocations) {
                                  // It is withdrawn before the attempt goes, so there is one.
                                  const auto self = weak.lock();
                                  self->allocations_ = std::move(allocations);
                                  self->plan();
                                });
}

Template::Lookup TaskAttempt::lookup(std::uint32_t rank) const {
  return [this, rank](std::string_view name) -> std::optional<std::string> {
    if (name == "task_id") return part_.task.id;
    if (name == "task_dir") return folder_.string();
    if (name == "run_dir") return node_.run.run_dir;
    if (name == "workflow_dir") return node_.run.workflow_dir;
    if (name == "host") return node_.host;
    if (name == "rank") return std::to_string(rank);
    if (name == "attempt") return std::to_string(part_.id.attempt);
    if (name == "scratch") return scratch_.string();
    return std::nullopt;
  };
}

Status TaskAttempt::add_moves(const std::vector<Staging>& stagings, bool outputs, std::vector<FileMove>& moves) {
  for (const Staging& staging : stagings) {
    const bool per_rank = mentions(staging.from, "rank") || mentions(staging.to, "rank");
    // What a task makes as a whole is looked for where its first rank runs.
    if (outputs && !per_rank && part_.first_rank != 0) continue;
    for (std::uint32_t i = 0; i < (per_rank ? part_.local_ranks : 1); ++i) {
      const auto values = lookup(part_.first_rank + i);
      auto from = staging.from.expand(values);
      if (!from) return std::move(from).error();
      auto to = staging.to.expand(values);
      if (!to) return std::move(to).error();
      moves.push_back({std::move(*from), std::move(*to), staging.mode});
    }
  }
  return {};
}

Status TaskAttempt::plan_files() {
  const TaskDescription& task = part_.task;
  const auto names_scratch = [](const std::vector<Staging>& stagings) {
    return std::any_of(stagings.begin(), stagings.end(), [](const Staging& staging) {
      return mentions(staging.from, "scratch") || mentions(staging.to, "scratch");
    });
  };
  if (any_mentions(task.command, "scratch") || mentions(task.script, "scratch") || mentions(task.env, "scratch") ||
      mentions(task.cwd, "scratch") || mentions(task.stdin_from, "scratch") || mentions(task.stdout_to, "scratch") ||
      mentions(task.stderr_to, "scratch") || names_scratch(task.inputs) || names_scratch(task.outputs)) {
    scratch_ =
        node_.tmp_folder / ("scratch-" + std::to_string(part_.id.task.value) + "-" + std::to_string(part_.id.attempt));
    preparation_.folders.push_back(scratch_);
  }
  preparation_.folder = folder_;
  if (auto added = add_moves(task.inputs, false, preparation_.inputs); !added.ok()) return added;
  return add_moves(task.outputs, true, outputs_);
}

Result<std::string> TaskAttempt::output_path(const Template& named, bool is_stderr, std::uint32_t rank) {
  if (named.empty() && output_ == OutputMode::none) return std::string("/dev/null");
  if (named.empty() && output_ == OutputMode::stream) {
    auto stream = node_.output.open({path_of_id(part_.task.id), part_.id.attempt, rank, is_stderr});
    if (!stream) return stream.error();
    streams_.push_back(*stream);
    return OutputCollector::path(**stream);
  }
  if (named.empty()) return (folder_ / numbered(std::string(is_stderr ? stderr_file : stdout_file), rank)).string();
  auto text = named.expand(lookup(rank));
  if (!text) return text;
  const std::string path = path_under(folder_, *text);
  preparation_.folders.push_back(std::filesystem::path(path).parent_path());
  return mentions(named, "rank") ? path : numbered(path, rank);
}

Status TaskAttempt::plan_processes() {
  const TaskDescription& task = part_.task;
  for (std::uint32_t i = 0; i < part_.local_ranks; ++i) {
    const std::uint32_t rank = part_.first_rank + i;
    const auto values = lookup(rank);
    RankProcess process;
    process.rank = rank;
    spawner::Spawn& spawn = process.spawn;
    auto argv = make_program(task.command, task.script, folder_ / numbered("script", rank), node_.run.workflow_dir,
                             values, preparation_);
    if (!argv) return std::move(argv).error();
    spawn.argv = std::move(*argv);
    auto cwd = task.cwd.expand(values);
    auto in = task.stdin_from.expand(values);
    auto out = output_path(task.stdout_to, false, rank);
    auto err = output_path(task.stderr_to, true, rank);
    for (auto* text : {&cwd, &in, &out, &err}) {
      if (!*text) return std::move(*text).error();
    }
    spawn.cwd = cwd->empty() ? folder_.string() : path_under(folder_, *cwd);
    if (!in->empty()) spawn.stdin_path = path_under(folder_, *in);
    spawn.stdout_path = std::move(*out);
    spawn.stderr_path = std::move(*err);
    spawn.cpus = cpus_of(node_.node, allocations_[i]);
    spawn.timeout_ms = to_milliseconds(task.timeout);
    spawn.grace_ms = static_cast<std::uint32_t>(defaults::stop_grace.count());

    const std::string attempt = node_.run.run_id + "/task/" + std::to_string(part_.id.task.value) + "/" +
                                std::to_string(part_.id.attempt) + "/" + std::to_string(rank);
    process.variables = make_variables(node_, changes_, allocations_[i], attempt);
    add_proxy(node_.proxy, node_.hooks.service_names(), process.variables);
    // The order to start may overtake the epoch that makes a service known here.
    add_proxy(node_.proxy, task.services, process.variables);
    add_python(node_.python, process.variables);
    process.variables.insert_or_assign("TRIREME_TOKEN", node_.run.control_token);
    process.variables.insert_or_assign("TRIREME_TASK_ID", task.id);
    process.variables.insert_or_assign("TRIREME_RANK", std::to_string(rank));
    process.variables.insert_or_assign("TRIREME_RANKS", std::to_string(task.ranks));
    process.variables.insert_or_assign("PWD", spawn.cwd);
    if (auto added = add_user(task.env, values, process.variables); !added.ok()) return added;
    ranks_.push_back(std::move(process));
  }
  const RankProcess& first = ranks_.front();
  auto method = choose_method(
      node_.methods, node_.run.launcher, task.mpi,
      [&] { return node_.programs.find(first.spawn.argv.front(), first.variables, first.spawn.cwd); },
      node_.surroundings);
  if (!method) return std::move(method).error();
  method_ = std::move(*method);
  return {};
}

void TaskAttempt::plan() {
  phase_ = Phase::preparing;
  if (auto planned = plan_files(); !planned.ok()) return fail(planned.error());
  if (auto planned = plan_processes(); !planned.ok()) return fail(planned.error());
  if (preparation_.inputs.empty()) {
    // Some folders and small files: quicker than to hand it over.
    auto prepared = prepare(preparation_, stop_.get_token());
    return prepared.ok() ? wire() : fail(prepared.error());
  }
  const bool posted = node_.files.run<Status>(
      [preparation = preparation_, token = stop_.get_token()] { return prepare(preparation, token); },
      [weak = weak_from_this()](Status prepared) {
        const auto self = weak.lock();
        if (!self) return;
        if (self->cancelled_) return self->finish();
        if (!prepared.ok()) return self->fail(prepared.error());
        self->wire();
      });
  if (!posted) fail({"too much file work is waiting on this node", "", "", ExitCode::runtime_failed});
}

void TaskAttempt::wire() {
  phase_ = Phase::wiring;
  const auto weak = weak_from_this();
  method_.method->prepare(part_, method_.kind,
                          {.ready =
                               [weak](Result<std::vector<RankWiring>> wiring) {
                                 const auto self = weak.lock();
                                 if (!self || self->phase_ != Phase::wiring) return;
                                 if (!wiring) return self->fail(wiring.error());
                                 self->run(std::move(*wiring));
                               },
                           .broken =
                               [weak](const LaunchTrouble& trouble) {
                                 if (const auto self = weak.lock()) self->broken(trouble);
                               },
                           .used =
                               [weak](const Usage& usage) {
                                 const auto self = weak.lock();
                                 if (self) self->add_usage(usage);
                               }});
}

void TaskAttempt::run(std::vector<RankWiring> wiring) {
  phase_ = Phase::running;
  end_.started = wall_now();
  for (std::size_t i = 0; i < ranks_.size(); ++i) {
    RankProcess& process = ranks_[i];
    for (auto& [name, value] : wiring[i].variables) process.variables.insert_or_assign(name, std::move(value));
    process.variables.merge(wiring[i].defaults);
    process.spawn.env = to_entries(process.variables);
    auto& argv = process.spawn.argv;
    argv.insert(argv.begin(), wiring[i].wrapper.begin(), wiring[i].wrapper.end());
    process.spawn.connect_path = std::move(wiring[i].connect_path);
    process.spawn.connect_greeting = std::move(wiring[i].connect_greeting);
    Running running{process.rank, process.spawn.stderr_path};
    running_.emplace(node_.processes.start(std::move(process.spawn), *this), std::move(running));
  }
  ranks_.clear();
}

void TaskAttempt::on_process_started(ProcessId, const spawner::Started& report) {
  if (std::exchange(told_started_, true)) return;
  TaskStarted message{part_.id, report.pid, report.at.wall_ns, {}, {}, method_.why};
  for (const Allocation& allocation : allocations_) {
    for (const std::uint32_t core : allocation.cores) message.cores.push_back(node_.node.cores[core].id);
    for (const auto& gpu : allocation.gpus) message.gpus.push_back(node_.node.gpus[gpu.gpu].index);
  }
  std::sort(message.gpus.begin(), message.gpus.end());
  message.gpus.erase(std::unique(message.gpus.begin(), message.gpus.end()), message.gpus.end());
  end_.started = report.at.wall_ns;
  node_.hooks.send(std::move(message));
}

void TaskAttempt::on_process_failed(ProcessId id, const spawner::Failed& report) {
  process_over(id, end_of(report));
}

void TaskAttempt::on_process_lost(ProcessId id, const Error& why) {
  AttemptEnd end;
  end.outcome = Outcome::failed;
  end.reason = why.text();
  end.ended = wall_now();
  process_over(id, end);
}

void TaskAttempt::on_process_ended(ProcessId id, const spawner::Ended& report) {
  AttemptEnd end = end_of(report, part_.task.timeout);
  if (report.stopped && !report.timed_out) {
    // By us; else by the spawner itself, whose lease ran out.
    end.outcome = cancelled_ || ending_ ? Outcome::cancelled : Outcome::lost;
    end.reason = cancelled_.value_or(ending_ ? "" : "its node was cut off from the run for too long");
  }
  process_over(id, end);
}

void TaskAttempt::process_over(ProcessId id, AttemptEnd end) {
  const Running process = std::move(running_.at(id));
  running_.erase(id);
  add_usage(end.usage);
  end_.ended = std::max(end_.ended, end.ended);
  if (end.outcome == Outcome::done) {
    if (part_.task.ranks > 1) method_.method->rank_left(part_.id, process.rank);
  } else if (end_.outcome == Outcome::done) {
    if (end.outcome == Outcome::failed) last_words_ = process.stderr_path;
    end_badly(std::move(end), process.rank);
  }
  if (running_.empty()) all_processes_over();
}

void TaskAttempt::add_usage(const Usage& usage) {
  end_.usage.max_rss = std::max(end_.usage.max_rss, usage.max_rss);
  end_.usage.user += usage.user;
  end_.usage.system += usage.system;
}

void TaskAttempt::broken(const LaunchTrouble& trouble) {
  if (phase_ != Phase::running || ending_) return;
  for (const auto& [id, process] : running_) {
    if (process.rank == trouble.rank) last_words_ = process.stderr_path;
  }
  AttemptEnd end;
  end.outcome = Outcome::failed;
  end.exit_code = trouble.exit_code == 0 ? 1 : trouble.exit_code;
  end.reason = trouble.what;
  end_badly(std::move(end), trouble.rank);
}

/// The first that did not end well tells why the attempt did not, and ends the others.
void TaskAttempt::end_badly(AttemptEnd end, std::optional<std::uint32_t> culprit) {
  end_.outcome = end.outcome;
  end_.exit_code = end.exit_code;
  end_.signal = end.signal;
  end_.reason = std::move(end.reason);
  if (culprit && part_.task.ranks > 1 && !end_.reason.empty()) {
    end_.reason = "rank " + std::to_string(*culprit) + ": " + end_.reason;
  }
  if (std::exchange(ending_, true)) return;
  for (const auto& [other, process] : running_) node_.processes.stop(other, defaults::stop_grace);
}

void TaskAttempt::all_processes_over() {
  node_.resources.give_back(std::exchange(allocations_, {}));
  method_.method->release(part_.id);
  phase_ = Phase::storing;
  node_.output.finish(streams_, [weak = weak_from_this()](const Status& kept) {
    if (const auto self = weak.lock()) self->written(kept);
  });
}

/// All that the processes wrote is where it belongs, or is lost.
void TaskAttempt::written(const Status& kept) {
  const auto streams = std::exchange(streams_, {});
  if (!kept.ok() && end_.outcome == Outcome::done) {
    end_.outcome = Outcome::failed;
    end_.reason = "its output could not be kept: " + kept.error().text();
  }
  if (end_.outcome == Outcome::failed && output_ == OutputMode::none)
    end_.reason += "; " + std::string(output_not_kept);
  if (!last_words_.empty()) {
    for (const auto& stream : streams) {
      if (OutputCollector::path(*stream) == last_words_) {
        const std::string& tail = OutputCollector::tail(*stream);
        const std::size_t most = last_words_bytes();
        const std::string_view end = std::string_view(tail).substr(tail.size() - std::min(tail.size(), most));
        return add_last_words(end_of_text(std::string(end), tail.size() >= most, defaults::log_tail_lines));
      }
    }
    const bool posted = node_.files.run<std::string>(
        [path = last_words_, most = last_words_bytes()] { return tail_of_file(path, defaults::log_tail_lines, most); },
        [weak = weak_from_this()](const std::string& words) {
          if (const auto self = weak.lock()) self->add_last_words(words);
        });
    if (posted) return;
  }
  add_last_words("");
}

std::size_t TaskAttempt::last_words_bytes() const {
  return part_.task.mpi != MpiKind::none ? defaults::log_tail_bytes : defaults::task_tail_bytes;
}

/// Programs, and MPI libraries at length, say on stderr what went wrong: the end of it belongs to the reason.
void TaskAttempt::add_last_words(const std::string& words) {
  if (!words.empty()) end_.reason += "\n" + words;
  const bool good = end_.outcome == Outcome::done;
  if ((good && !outputs_.empty()) || !scratch_.empty()) return store();
  finish();
}

void TaskAttempt::store() {
  if (end_.outcome != Outcome::done) outputs_.clear();
  const bool posted = node_.files.run<Status>(
      [folder = folder_, outputs = outputs_, scratch = scratch_, token = stop_.get_token()] {
        Status stored = stage_out(folder, outputs, token);
        std::error_code ignored;  // the private folder goes at the end of the run, with all in it
        if (!scratch.empty()) std::filesystem::remove_all(scratch, ignored);
        return stored;
      },
      [weak = weak_from_this()](Status stored) {
        const auto self = weak.lock();
        if (!self) return;
        if (!stored.ok()) {
          self->end_.outcome = self->cancelled_ ? Outcome::cancelled : Outcome::failed;
          self->end_.reason = self->cancelled_.value_or(stored.error().text());
        }
        self->finish();
      });
  if (!posted) fail({"too much file work is waiting on this node", "", "", ExitCode::runtime_failed});
}

/// The folder of a task with several parts is also its other nodes'.
void TaskAttempt::tidy() const {
  const bool ours = part_.local_ranks == part_.task.ranks && end_.outcome == Outcome::done;
  if (!ours || output_ == OutputMode::files) return;
  // Nobody makes another attempt at what is done, so nobody waits for this.
  std::vector<std::filesystem::path> scripts;
  for (const auto& [path, text] : preparation_.files) scripts.push_back(path);
  const bool posted = node_.files.tidy([folder = folder_, scripts = std::move(scripts)] {
    std::error_code ignored;
    for (const auto& path : scripts) std::filesystem::remove(path, ignored);
    // Goes only when it is empty.
    if (::rmdir(folder.c_str()) == 0) ::rmdir(folder.parent_path().c_str());
  });
  static_cast<void>(posted);  // with so much to do they stay, which harms nothing
}

void TaskAttempt::cancel(const std::string& reason) {
  if (cancelled_ || phase_ == Phase::over) return;
  cancelled_ = reason;
  stop_.request_stop();
  switch (phase_) {
    case Phase::resources:
      node_.resources.withdraw(ticket_);
      [[fallthrough]];
    case Phase::environment:
      finish();
      break;
    case Phase::wiring:
      finish();
      break;
    case Phase::running:
      ending_ = true;
      for (const auto& [id, process] : running_) node_.processes.stop(id, defaults::stop_grace);
      break;
    case Phase::preparing:
    case Phase::storing:  // the file work is told, and its completion goes on from here
    case Phase::over:
      break;
  }
}

void TaskAttempt::fail(const Error& error) {
  end_.outcome = Outcome::failed;
  end_.reason = error.text();
  finish();
}

void TaskAttempt::finish() {
  const auto keep = shared_from_this();
  // What was cancelled before any process ran; later the processes' ends tell.
  if (cancelled_ && phase_ < Phase::running) {
    end_.outcome = Outcome::cancelled;
    end_.reason = *cancelled_;
  }
  if (phase_ == Phase::wiring) method_.method->release(part_.id);
  if (phase_ == Phase::storing) tidy();
  phase_ = Phase::over;
  node_.resources.give_back(std::exchange(allocations_, {}));
  if (end_.started == 0) end_.started = wall_now();
  if (end_.ended == 0) end_.ended = wall_now();
  over_(std::move(end_));
}

}  // namespace trireme
