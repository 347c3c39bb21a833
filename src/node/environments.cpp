#include "node/environments.hpp"

#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <utility>

#include "core/defaults.hpp"
#include "core/run_paths.hpp"
#include "node/end_words.hpp"
#include "node/log_tail.hpp"
#include "node/staging.hpp"

namespace trireme {
namespace {

Result<Variables> read_variables(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Error{"it did not come to its end", "", "a setup must not call exit", ExitCode::runtime_failed};
  std::vector<std::string> entries;
  for (std::string entry; std::getline(file, entry, '\0');) entries.push_back(std::move(entry));
  std::error_code ignored;
  std::filesystem::remove(path, ignored);
  // Nothing of ours is in there, so nothing is left out.
  return base_variables(entries);
}

}  // namespace

/// One environment. It lives as long as Environments does, so processes may name it as their owner.
class Environments::Setup final : public ProcessOwner, public std::enable_shared_from_this<Setup> {
 public:
  Setup(EnvironmentDescription description, Processes& processes, FileWorker& files, const Options& options)
      : description_(std::move(description)), processes_(processes), files_(files), options_(options) {}

  void get(Callback callback) {
    if (made_) return callback(*made_);
    waiting_.push_back(std::move(callback));
    if (waiting_.size() == 1) run();
  }

  void stop(std::chrono::milliseconds grace) {
    stopped_ = true;
    if (process_ != 0) processes_.stop(process_, grace);
  }

  void on_process_started(ProcessId, const spawner::Started&) override {}
  void on_process_failed(ProcessId, const spawner::Failed& report) override {
    process_ = 0;
    finish(failure(report.text, ""), true);
  }
  void on_process_lost(ProcessId, const Error& why) override {
    process_ = 0;
    finish(failure(why.text(), ""), false);
  }
  void on_process_ended(ProcessId, const spawner::Ended& report) override {
    process_ = 0;
    if (stopped_) return finish(failure("it was stopped", ""), false);
    struct Reading {
      Result<Variables> variables;
      std::string tail;
    };
    const bool good = report.exit_code == 0 && report.signo == 0 && !report.timed_out;
    const bool posted = files_.run<Reading>(
        [good, output = output_, log = log_]() -> Reading {
          std::string tail = tail_of_file(log, defaults::log_tail_lines, defaults::log_tail_bytes);
          if (!good) return {Variables{}, std::move(tail)};
          return {read_variables(output), std::move(tail)};
        },
        [weak = weak_from_this(), good, report](Reading reading) {
          const auto self = weak.lock();
          if (!self) return;
          if (!good) {
            const std::string how = words_for_end(report, defaults::environment_timeout);
            self->finish(self->failure(how, reading.tail), true);
          } else if (!reading.variables) {
            self->finish(self->failure(reading.variables.error().text(), reading.tail), true);
          } else {
            self->finish(
                std::make_shared<const VariableChanges>(changes_between(self->options_.base, *reading.variables)),
                true);
          }
        });
    if (!posted) finish(failure("too much file work is waiting", ""), false);
  }

 private:
  void run() {
    const std::string file = path_of_id(description_.name);
    output_ = options_.tmp_folder / ("environment-" + file);
    log_ = options_.log_folder / (file + ".log");
    const auto setup = description_.setup.expand(options_.lookup);
    Status ready = setup ? make_folder(options_.log_folder) : Status(setup.error());
    if (!ready.ok()) return finish(failure(ready.error().text(), ""), true);

    spawner::Spawn request;
    // The file's name comes as an argument, so that nothing in it can be taken for shell syntax.
    request.argv = {
        "bash", "-c",
        *setup + "\ntrireme_status=$?\n[ $trireme_status = 0 ] && exec env -0 > \"$0\"\nexit $trireme_status",
        output_.string()};
    request.env = to_entries(options_.base);
    request.cwd = options_.workflow_dir.string();
    request.stdout_path = request.stderr_path = log_.string();
    request.timeout_ms = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(defaults::environment_timeout).count());
    request.grace_ms =
        static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::milliseconds>(defaults::stop_grace).count());
    process_ = processes_.start(std::move(request), *this);
  }

  Error failure(const std::string& why, const std::string& tail) const {
    Error error{"the environment '" + description_.name + "' could not be made: " + why, "", "", ExitCode::failed};
    if (!tail.empty()) error.what += "\n" + tail;
    return error;
  }

  void finish(Result<Made> made, bool keep) {
    if (keep) made_ = made;
    // A callback may ask again, which must not be answered from this list.
    for (const Callback& callback : std::exchange(waiting_, {})) callback(made);
  }

  const EnvironmentDescription description_;
  Processes& processes_;
  FileWorker& files_;
  const Options& options_;
  std::filesystem::path output_;
  std::filesystem::path log_;
  ProcessId process_ = 0;
  bool stopped_ = false;
  std::optional<Result<Made>> made_;
  std::vector<Callback> waiting_;
};

Environments::Environments(Processes& processes, FileWorker& files, Options options)
    : processes_(processes), files_(files), options_(std::move(options)) {}

Environments::~Environments() = default;

void Environments::define(EnvironmentDescription description) {
  const std::string name = description.name;
  if (setups_.contains(name)) return;
  setups_.emplace(name, std::make_shared<Setup>(std::move(description), processes_, files_, options_));
}

void Environments::get(const std::string& name, Callback callback) {
  const auto found = setups_.find(name);
  if (found == setups_.end()) {
    return callback(Error{"the environment '" + name + "' is not defined", "", "", ExitCode::usage});
  }
  found->second->get(std::move(callback));
}

void Environments::stop(std::chrono::milliseconds grace) {
  for (const auto& [name, setup] : setups_) setup->stop(grace);
}

}  // namespace trireme
