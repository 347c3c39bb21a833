// trireme run FILE: the only command that calls MPI. Everything else about a run is in the library.
#include "runtime/run.hpp"

#include <mpi.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <ostream>
#include <system_error>
#include <thread>
#include <unordered_map>

#include "cli/command.hpp"
#include "cli/read/rundir.hpp"
#include "cli/workflow_file.hpp"
#include "core/defaults.hpp"
#include "core/units.hpp"
#include "journal/names.hpp"
#include "journal/reader.hpp"
#include "observe/progress.hpp"
#include "observe/summary.hpp"
#include "runtime/launcher.hpp"

namespace trireme::cli {
namespace {

namespace fs = std::filesystem;

struct RunOptions {
  WorkflowArguments workflow;
  std::string run_dir;
  std::string resume;
  std::string progress = "auto";
  std::string worker_memory;
  OutputMode output = OutputMode::inherit;  ///< given here: instead of what the workflow says
  std::string dashboard;
  bool json = false;
  RunConfig config;
};

/// Ends the process with `code` unless it is destroyed before the deadline: MPI_Finalize may hang, and by then all that matters
/// is done.
class Deadline {
 public:
  Deadline(Duration limit, int code)
      : thread_([this, limit, code] {
          std::unique_lock lock(mutex_);
          if (!over_.wait_for(lock, limit, [this] { return done_; })) std::_Exit(code);
        }) {}
  ~Deadline() {
    {
      const std::scoped_lock lock(mutex_);
      done_ = true;
    }
    over_.notify_one();
    thread_.join();
  }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable over_;
  bool done_ = false;
  std::thread thread_;
};

/// "Open MPI" or "MPICH".
std::string mpi_library() {
  std::string text(MPI_MAX_LIBRARY_VERSION_STRING, '\0');
  int length = 0;
  MPI_Get_library_version(text.data(), &length);
  text.resize(static_cast<std::size_t>(length));
  for (const char* name : {"Open MPI", "MPICH", "Intel(R) MPI", "CRAY MPICH"}) {
    if (text.find(name) != std::string::npos) return name;
  }
  return text.substr(0, text.find('\n'));
}

/// On rank 0: the workflow and what an earlier run has done of it.
struct Prepared {
  WorkflowDescription workflow;
  FormerRun former;
};

FormerRun former_run(const observe::RunView& view) {
  FormerRun former;
  for (const observe::TaskRecord& record : view.tasks()) {
    FormerTask task{record.id, record.state == TaskState::done};
    for (const observe::AttemptPart& part : record.parts) task.attempts = std::max(task.attempts, part.attempt + 1);
    former.tasks.push_back(std::move(task));
  }
  for (const observe::ServiceRecord& record : view.services()) {
    FormerService service{record.name, {}};
    for (const observe::ReplicaRecord& life : record.lives) {
      if (life.replica >= service.lives.size()) service.lives.resize(life.replica + 1);
      std::uint32_t& made = service.lives[life.replica];
      made = std::max(made, life.attempt + 1);
    }
    former.services.push_back(std::move(service));
  }
  return former;
}

/// What only the log itself holds: submissions to the run while it was on, and the results of functions.
Status add_what_grew(const RunPaths& paths, FormerRun& former) {
  auto log = JournalReader::open(paths.events());
  if (!log) return log.error();
  EventNames names;
  std::unordered_map<std::string, std::string> results;
  while (auto event = log->next()) {
    names.learn(event->body);
    if (auto* ended = std::get_if<events::AttemptEnded>(&event->body); ended != nullptr && !ended->end.result.empty()) {
      results[names.task(ended->attempt.task)] = std::move(ended->end.result);
    }
    if (auto* grew = std::get_if<events::WorkflowGrew>(&event->body)) {
      former.submissions.push_back(std::move(grew->text));
    }
  }
  for (FormerTask& task : former.tasks) {
    if (const auto result = results.find(task.id); result != results.end()) task.result = std::move(result->second);
  }
  return {};
}

// Among the settings that the log keeps; no parameter has such a name.
constexpr std::string_view time_scale_setting = "--time-scale=";
constexpr std::string_view output_setting = "--output=";

const std::map<std::string, OutputMode> output_modes{
    {"files", OutputMode::files}, {"stream", OutputMode::stream}, {"none", OutputMode::none}};

/// What an earlier life of the run was given counts, unless it is given anew.
void take_settings(const std::vector<std::string>& earlier, RunOptions& options) {
  WorkflowArguments& workflow = options.workflow;
  std::vector<std::string> all;
  for (const std::string& setting : earlier) {
    if (setting.starts_with(time_scale_setting)) {
      if (!workflow.time_scale)
        workflow.time_scale = std::strtod(setting.substr(time_scale_setting.size()).c_str(), nullptr);
    } else if (setting.starts_with(output_setting)) {
      const auto mode = output_modes.find(setting.substr(output_setting.size()));
      if (options.output == OutputMode::inherit && mode != output_modes.end()) options.output = mode->second;
    } else {
      all.push_back(setting);
    }
  }
  // What is given now comes after, and so counts where both set a parameter.
  all.insert(all.end(), workflow.settings.begin(), workflow.settings.end());
  workflow.settings = std::move(all);
}

/// For the next life of the run.
std::vector<std::string> settings_to_keep(const RunOptions& options) {
  std::vector<std::string> settings = options.workflow.settings;
  if (const auto scale = options.workflow.time_scale) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.17g", *scale);
    settings.push_back(std::string(time_scale_setting) + text.data());
  }
  for (const auto& [name, mode] : output_modes) {
    if (mode == options.output) settings.push_back(std::string(output_setting) + name);
  }
  return settings;
}

Status prepare(RunOptions& options, RunConfig& config, Prepared& prepared, Context& context) {
  if (!options.resume.empty()) {
    auto earlier = load_run(options.resume, context);
    if (!earlier) return earlier.error();
    prepared.former = former_run(earlier->view);
    if (auto grown = add_what_grew(earlier->paths, prepared.former); !grown) return grown;
    config.resume = true;
    config.ended_before = earlier->view.ended();
    config.run_dir = earlier->paths.root();
    if (options.workflow.file.empty()) options.workflow.file = earlier->view.workflow_file();
    take_settings(earlier->view.settings(), options);
  }
  auto workflow = load(options.workflow, context);
  if (!workflow) return workflow.error();
  prepared.workflow = std::move(*workflow);
  config.name = prepared.workflow.name;
  config.environments = prepared.workflow.environments;
  config.stop_on_failure = prepared.workflow.stop_on_failure;
  const OutputMode output = options.output == OutputMode::inherit ? prepared.workflow.output : options.output;
  config.output = output == OutputMode::inherit ? OutputMode::files : output;
  config.workflow_file = fs::absolute(options.workflow.file).lexically_normal();
  config.workflow_dir = prepared.workflow.directory;
  config.settings = settings_to_keep(options);
  return {};
}

/// From MPI_Init to the end of the run; the exit code, and whether MPI_Finalize may be called.
std::pair<ExitCode, bool> run_under_mpi(RunOptions& options, Context& context) {
  int rank = 0;
  int size = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  if (auto launcher = check_launcher(process_environment, size, mpi_library()); !launcher) {
    context.fail(launcher.error());
    return {context.exit_code, true};
  }

  Prepared prepared;
  auto end = run_on(
      MPI_COMM_WORLD, options.config, [&](RunConfig& config) { return prepare(options, config, prepared, context); },
      [&](DriverContext& driver) {
        return driver.pilot.submit(std::move(prepared.workflow), std::move(prepared.former));
      });
  if (!end) {
    if (rank == pilot_rank || end.error().code == ExitCode::runtime_failed) context.say(end.error().text());
    return {end.error().code, true};
  }
  if (end->error) context.say(end->error->text());
  if (rank == pilot_rank) {
    if (options.json) context.out << end->json << std::flush;
    if (!end->text.empty()) context.say(end->text);
  }
  return {end->code, end->clean};
}

/// `--dashboard [PORT]`: the word after it is a port only if it is a number, since it may be the workflow file as well.
Status take_dashboard(RunOptions& options) {
  options.config.dashboard = 0;
  const std::string& word = options.dashboard;
  if (word.empty()) return {};
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), port);
  if (error == std::errc() && end == word.data() + word.size()) {
    options.config.dashboard = port;
    return {};
  }
  if (!options.workflow.file.empty()) {
    return Error{"\"" + word + "\" is no port", "--dashboard", "it is a number up to 65535, or nothing",
                 ExitCode::usage};
  }
  options.workflow.file = word;
  return {};
}

void run(RunOptions& options, Context& context, bool dashboard) {
  auto progress = observe::parse_progress_mode(options.progress);
  if (!progress) return context.fail(progress.error());
  options.config.progress = *progress;
  options.config.run_dir = options.run_dir;
  options.config.handle_signals = true;
  options.config.keep_to_reserved = true;
  options.config.say = [&context](const std::string& text) { context.say(text); };
  if (dashboard) {
    if (auto taken = take_dashboard(options); !taken) return context.fail(taken.error());
  }
  if (!options.worker_memory.empty()) {
    auto memory = parse_size(options.worker_memory);
    if (!memory) return context.fail(memory.error());
    options.config.worker_memory = *memory;
  }
  if (options.workflow.file.empty() && options.resume.empty()) {
    return context.fail({"name a workflow file, or a run with --resume", "", "", ExitCode::usage});
  }

  int provided = 0;
  if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS) {
    return context.fail({"MPI_Init failed", "", "", ExitCode::runtime_failed});
  }
  const auto [code, clean] = run_under_mpi(options, context);
  context.exit_code = code;
  context.out.flush();
  context.err.flush();
  if (!clean) std::_Exit(to_int(code));
  const Deadline deadline(defaults::finalize_deadline, to_int(code));
  MPI_Finalize();
}

}  // namespace

void add_run(CLI::App& app, Context& context) {
  auto options = std::make_shared<RunOptions>();
  RunConfig& config = options->config;
  CLI::App* command =
      app.add_subcommand("run", "Run a workflow; start it with mpirun or srun, one rank per node, or alone");
  add_workflow_arguments(*command, options->workflow);
  command->get_option("FILE")->required(false);
  command->add_option("--run-dir", options->run_dir,
                      "where the run keeps all it writes (default: ./trireme-runs/NAME-TIME)");
  command->add_option("--resume", options->resume, "go on with an earlier run: what is done is not done again");
  command->add_option("--launcher", config.launcher, "how MPI tasks are started")
      ->check(CLI::IsMember(launcher_names()));
  command->add_option("--dvm-uri", config.dvm_uri,
                      "the PMIx runtime (a PRRTE DVM) that --launcher dvm asks; default: what started this one");
  command
      ->add_option("--output", options->output,
                   "what becomes of the output of tasks that do not say it: files, stream or none")
      ->transform(CLI::Transformer(output_modes));
  command->add_option("--progress", options->progress, "auto, bar, plain or none");
  command->add_option("--worker-cores", config.worker_cores, "cores that each rank has to give, instead of its node's");
  command->add_option("--worker-gpus", config.worker_gpus, "GPUs that each rank has to give");
  command->add_option("--worker-memory", options->worker_memory, "memory that each rank has to give, e.g. 16G");
  command->add_option(
      "--reserve-cores", config.reserve_cores,
      "cores of each host never given away: l3 (the first of each L3 cache), a number, or a list as 0,8-9");
  command->add_flag("--dedicated-pilot", config.dedicated_pilot, "rank 0 only steers and takes no work");
  CLI::Option* dashboard =
      command
          ->add_option("--dashboard", options->dashboard,
                       "rank 0 serves a page that shows the run; the port on its loopback (default: any free one)")
          ->expected(0, 1)
          ->type_name("[PORT]");
  command->add_option("--log-level", config.log_level, "trace, debug, info, warn or error")
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error"}));
  command->add_flag("--json", options->json, "print the summary as JSON on stdout at the end");
  command->callback([options, dashboard, &context] { run(*options, context, dashboard->count() > 0); });
}

}  // namespace trireme::cli
