#include "node/task_attempt.hpp"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "core/defaults.hpp"
#include "node/end_words.hpp"
#include "node/log_tail.hpp"

namespace trireme {
TaskAttempt::TaskAttempt(NodeContext& node, StartTask part, Over over)
    : node_(node),
      part_(std::move(part)),
      over_(std::move(over)),
      folder_(node.paths.attempt(part_.task.id, part_.id.attempt)),
      output_(part_.task.output == OutputMode::inherit ? node.run.output : part_.task.output),
      provision_(node) {}

TaskAttempt::~TaskAttempt() {
  stop_.request_stop();
  node_.output.drop(streams_);
}

void TaskAttempt::start() {
  const TaskDescription& task = part_.task;
  provision_.ask(task.environment, task.per_rank, part_.local_ranks, [weak = weak_from_this()](Status status) {
    const auto self = weak.lock();
    if (!self) return;
    status.ok() ? self->plan() : self->fail(status.error());
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
    spawn.cpus = cpus_of(node_.node, provision_.allocations()[i]);
    spawn.timeout_ms = to_milliseconds(task.timeout);
    spawn.grace_ms = static_cast<std::uint32_t>(defaults::stop_grace.count());

    const std::string attempt = node_.run.run_id + "/task/" + std::to_string(part_.id.task.value) + "/" +
                                std::to_string(part_.id.attempt) + "/" + std::to_string(rank);
    process.variables = make_variables(node_, provision_.environment(), provision_.allocations()[i], attempt);
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
    return prepared.ok() ? run() : fail(prepared.error());
  }
  const bool posted = node_.files.run<Status>(
      [preparation = preparation_, token = stop_.get_token()] { return prepare(preparation, token); },
      [weak = weak_from_this()](Status prepared) {
        const auto self = weak.lock();
        if (!self) return;
        if (self->cancelled_) return self->finish();
        if (!prepared.ok()) return self->fail(prepared.error());
        self->run();
      });
  if (!posted) fail({"too much file work is waiting on this node", "", "", ExitCode::runtime_failed});
}

void TaskAttempt::run() {
  phase_ = Phase::running;
  const auto weak = weak_from_this();
  const TaskDescription& task = part_.task;
  group_ = std::make_shared<RankGroup>(
      node_,
      RankGroup::Options{.part = {part_.id, part_.first_rank, part_.local_ranks, task.ranks, part_.layout},
                         .method = method_,
                         .timeout = task.timeout},
      RankGroup::Events{.started =
                            [weak](std::uint32_t, const spawner::Started& report) {
                              if (const auto self = weak.lock()) self->started(report);
                            },
                        .ending = nullptr,
                        .over =
                            [weak](GroupEnd end) {
                              if (const auto self = weak.lock()) self->processes_over(std::move(end));
                            }});
  group_->start(std::exchange(ranks_, {}));
}

void TaskAttempt::started(const spawner::Started& report) {
  if (std::exchange(told_started_, true)) return;
  TaskStarted message{part_.id, report.pid, report.at.wall_ns, {}, {}, method_.why};
  for (const Allocation& allocation : provision_.allocations()) {
    for (const std::uint32_t core : allocation.cores) message.cores.push_back(node_.node.cores[core].id);
    for (const auto& gpu : allocation.gpus) message.gpus.push_back(node_.node.gpus[gpu.gpu].index);
  }
  std::sort(message.gpus.begin(), message.gpus.end());
  message.gpus.erase(std::unique(message.gpus.begin(), message.gpus.end()), message.gpus.end());
  node_.hooks.send(std::move(message));
}

void TaskAttempt::processes_over(GroupEnd end) {
  end_ = std::move(end.end);
  last_words_ = std::move(end.stderr_path);
  provision_.give_back();
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
  if (end_.outcome == Outcome::failed && output_ == OutputMode::none && told_started_)
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
    case Phase::provision:
      finish();
      break;
    case Phase::running:
      group_->stop(reason);
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
  if (phase_ == Phase::storing) tidy();
  phase_ = Phase::over;
  provision_.give_back();
  if (end_.started == 0) end_.started = wall_now();
  if (end_.ended == 0) end_.ended = wall_now();
  over_(std::move(end_));
}

}  // namespace trireme
