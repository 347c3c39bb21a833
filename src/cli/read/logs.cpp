// trireme logs RUN TASK|SERVICE: the output of a task's attempt or of a replica.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <fstream>
#include <memory>
#include <optional>
#include <ostream>
#include <system_error>
#include <thread>

#include "cli/command.hpp"
#include "cli/read/json.hpp"
#include "cli/read/rundir.hpp"
#include "core/defaults.hpp"
#include "core/words.hpp"
#include "observe/task_output.hpp"

namespace trireme::cli {
namespace {

namespace fs = std::filesystem;

struct LogsOptions {
  std::string run;
  std::string name;
  bool from_stderr = false;
  std::optional<std::uint32_t> attempt;
  std::optional<std::uint32_t> replica;
  std::optional<std::uint32_t> rank;
  bool follow = false;
  bool json = false;
};

/// The output of which life of what.
struct Source {
  fs::path folder;
  std::uint32_t attempt = 0;
  std::optional<std::uint32_t> replica;
};

Error no_such(const std::string& what, const LoadedRun& run) {
  return {what, run.paths.root().string(), "", ExitCode::usage};
}

Result<Source> source_of_task(const LoadedRun& run, const observe::TaskRecord& task, const LogsOptions& options) {
  if (options.replica) {
    return Error{task.id + " is a task: it has attempts, and no replicas", "--replica", "", ExitCode::usage};
  }
  if (task.parts.empty()) {
    return Error{"task " + task.id + " has not run, so it has no output", run.paths.root().string(),
                 "`trireme explain` says why", ExitCode::usage};
  }
  const std::uint32_t attempt = options.attempt.value_or(task.parts.back().attempt);
  if (const std::uint32_t rank = options.rank.value_or(0); rank >= task.ranks) {
    return no_such(
        "task " + task.id + " has " + counted(task.ranks, "rank") + " and so no rank " + std::to_string(rank), run);
  }
  const bool known =
      std::any_of(task.parts.begin(), task.parts.end(), [&](const auto& part) { return part.attempt == attempt; });
  if (!known) return no_such("task " + task.id + " had no attempt " + std::to_string(attempt), run);
  return Source{run.paths.attempt(task.id, attempt), attempt, {}};
}

Result<Source> source_of_service(const LoadedRun& run, const observe::ServiceRecord& service,
                                 const LogsOptions& options) {
  if (const std::uint32_t rank = options.rank.value_or(0); rank >= service.ranks) {
    return no_such("service " + service.name + " has " + counted(service.ranks, "rank") + " and so no rank " +
                       std::to_string(rank),
                   run);
  }
  const std::uint32_t replica = options.replica.value_or(0);
  const observe::ReplicaRecord* newest = service.newest(replica);
  if (newest == nullptr) {
    return no_such("replica " + std::to_string(replica) + " of service " + service.name + " was not started", run);
  }
  const std::uint32_t attempt = options.attempt.value_or(newest->attempt);
  return Source{run.paths.replica(service.name, replica, attempt), attempt, replica};
}

Result<Source> find_source(const LoadedRun& run, const LogsOptions& options) {
  if (const auto* task = run.view.find_task(options.name)) return source_of_task(run, *task, options);
  if (const auto* service = run.view.find_service(options.name)) {
    return source_of_service(run, *service, options);
  }
  std::vector<std::string> names;
  for (const auto& service : run.view.services()) names.push_back(service.name);
  for (const auto& task : run.view.tasks()) names.push_back(task.id);
  return Error{"the run has no task and no service " + options.name, run.paths.root().string(),
               did_you_mean(options.name, names), ExitCode::usage};
}

/// Copies what the file has from `offset` on, and returns where it ends now.
std::streamoff copy_from(const fs::path& path, std::streamoff offset, std::ostream& out) {
  std::ifstream file(path, std::ios::binary);
  file.seekg(offset);
  std::array<char, 64 << 10> buffer{};
  while (file && out) {
    file.read(buffer.data(), buffer.size());
    out.write(buffer.data(), file.gcount());
    offset += file.gcount();
  }
  return offset;
}

/// What is shown: a task's output, wherever it is kept, or a replica's file.
class Shown {
 public:
  Shown(const LoadedRun& run, const LogsOptions& options, const Source& source)
      : file_(source.folder /
              numbered(std::string(options.from_stderr ? stderr_file : stdout_file), options.rank.value_or(0))) {
    if (const auto* task = run.view.find_task(options.name)) {
      task_.emplace(run.paths, *task, source.attempt, options.rank.value_or(0), options.from_stderr);
      file_ = task_->file();
    }
  }

  const fs::path& file() const { return file_; }
  void copy_new(std::ostream& out) {
    any_ = false;
    if (task_) {
      task_->read_new([&](std::string_view bytes) {
        any_ = true;
        out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
      });
    } else {
      offset_ = copy_from(file_, offset_, out);
    }
  }
  /// Whether the last copy_new() of a task found something.
  bool any() const { return any_; }
  std::uint64_t damaged() const { return task_ ? task_->damaged() : 0; }

 private:
  fs::path file_;
  std::optional<observe::TaskOutput> task_;
  std::streamoff offset_ = 0;
  bool any_ = false;
};

/// Whether what is written to the file is still being written: the attempt, or the replica's life, is not over.
bool still_runs(const LoadedRun& run, const LogsOptions& options, const Source& source) {
  if (run.view.ended() || run.is_lost()) return false;
  if (const auto* task = run.view.find_task(options.name)) {
    return std::any_of(task->parts.begin(), task->parts.end(), [&](const auto& part) {
      return part.attempt == source.attempt && part.phase != observe::AttemptPart::Phase::over;
    });
  }
  const auto* service = run.view.find_service(options.name);
  const auto* life = service != nullptr ? service->newest(source.replica.value_or(0)) : nullptr;
  return life != nullptr && life->attempt == source.attempt && life->ended == 0;
}

/// Whether there is a place where output would be, though nothing has been written: a file, or a node's stream.
bool has_output(const LoadedRun& run, const LogsOptions& options, const Source& source, const fs::path& file) {
  std::error_code error;
  if (fs::exists(file, error)) return true;
  const auto* task = run.view.find_task(options.name);
  return task != nullptr && std::any_of(task->parts.begin(), task->parts.end(), [&](const auto& part) {
           return part.attempt == source.attempt && fs::exists(run.paths.output_index(part.rank), error);
         });
}

/// Where else it may be.
std::string elsewhere(const LoadedRun& run, const LogsOptions& options, const Source& source) {
  std::error_code error;
  const auto* task = run.view.find_task(options.name);
  for (const auto& part : task != nullptr ? task->parts : std::vector<observe::AttemptPart>{}) {
    const fs::path executors = run.paths.node(part.rank) / "executors";
    if (part.attempt == source.attempt && part.pid == 0 && fs::exists(executors, error)) {
      return "what functions print is in the logs of their executors, in " + executors.string();
    }
  }
  return "it may have been sent elsewhere, not kept (`output: none`), or removed";
}

void show(const LogsOptions& options, Context& context) {
  const auto run = load_run(options.run, context);
  if (!run.ok()) return context.fail(run.error());
  const auto source = find_source(*run, options);
  if (!source.ok()) return context.fail(source.error());
  if (options.json) {
    const std::uint32_t rank = options.rank.value_or(0);
    Json json{{"name", options.name},
              {"attempt", source->attempt},
              {"replica", source->replica ? Json(*source->replica) : Json()},
              {"folder", source->folder.string()},
              {"stdout", (source->folder / numbered(std::string(stdout_file), rank)).string()},
              {"stderr", (source->folder / numbered(std::string(stderr_file), rank)).string()}};
    print(context.out, json);
    return;
  }

  Shown shown(*run, options, *source);
  shown.copy_new(context.out);
  if (!shown.any() && !options.follow && !has_output(*run, options, *source, shown.file())) {
    return context.fail(
        {"there is no such output", shown.file().string(), elsewhere(*run, options, *source), ExitCode::usage});
  }
  // How a live run goes on is in its log; that is read anew now and then, the output more often.
  bool runs = options.follow && still_runs(*run, options, *source);
  while (runs && context.out.flush()) {
    for (int i = 0; i < 10; ++i) {
      std::this_thread::sleep_for(defaults::journal_poll);
      shown.copy_new(context.out.flush());
    }
    const auto now = load_run(options.run, context);
    runs = now.ok() && still_runs(*now, options, *source);
    if (!runs) shown.copy_new(context.out);
  }
  if (shown.damaged() > 0) {
    context.fail({counted(shown.damaged(), "piece") + " of it " + (shown.damaged() == 1 ? "is" : "are") +
                      " damaged and left out",
                  run->paths.root().string(), "its node was cut off while it wrote, or the disk was full",
                  ExitCode::failed});
  }
}

}  // namespace

void add_logs(CLI::App& app, Context& context) {
  auto options = std::make_shared<LogsOptions>();
  CLI::App* command = app.add_subcommand("logs", "The output of a task or of a service's replica");
  command->add_option("RUN", options->run, "Run directory, name under ./trireme-runs, or `last`")->required();
  command->add_option("NAME", options->name, "Id of a task, or name of a service")->required();
  command->add_flag("--stderr", options->from_stderr, "Its standard error instead of its output");
  command->add_option("--attempt", options->attempt, "Which attempt; the last where not given");
  command->add_option("--rank", options->rank, "Which process of a task with several; 0 where not given");
  command->add_option("--replica", options->replica, "Which replica of a service; 0 where not given");
  command->add_flag("--follow", options->follow, "Go on until it ends");
  command->add_flag("--json", options->json, "Print where the output lies, as JSON");
  command->callback([options, &context] { show(*options, context); });
}

}  // namespace trireme::cli
