// trireme submit [options] -- COMMAND…, or trireme submit FILE: gives tasks to a run that is on.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <sstream>

#include "cli/command.hpp"
#include "cli/runtime_access.hpp"
#include "cli/workflow_file.hpp"
#include "core/units.hpp"
#include "workflow/submission.hpp"

namespace trireme::cli {
namespace {

using Json = nlohmann::ordered_json;

struct SubmitOptions {
  std::string run;
  std::string file;
  std::string name, id, cwd, timeout, memory, mpi, environment;
  std::optional<unsigned> cores, ranks, retries;
  std::optional<double> gpus;
  std::optional<int> priority;
  std::vector<std::string> after, services, env, command;
  bool wait = false;
  bool json = false;
};

/// What the options say, with the keys of the workflow file.
Result<Json> task_of(const SubmitOptions& options) {
  Json task;
  const auto put = [&task](const char* key, const auto& value) {
    if (!value.empty()) task[key] = value;
  };
  put("name", options.name);
  put("id", options.id);
  put("timeout", options.timeout);
  put("memory", options.memory);
  put("mpi", options.mpi);
  put("environment", options.environment);
  put("after", options.after);
  put("services", options.services);
  if (options.cores) task["cores"] = *options.cores;
  if (options.ranks) task["ranks"] = *options.ranks;
  if (options.retries) task["retries"] = *options.retries;
  if (options.gpus) task["gpus"] = *options.gpus;
  if (options.priority) task["priority"] = *options.priority;
  if (!options.cwd.empty()) task["cwd"] = std::filesystem::absolute(options.cwd).string();
  for (const std::string& entry : options.env) {
    const std::size_t equals = entry.find('=');
    if (equals == std::string::npos || equals == 0) {
      return Error{"--env is NAME=VALUE", entry, "", ExitCode::usage};
    }
    task["env"][entry.substr(0, equals)] = entry.substr(equals + 1);
  }
  std::vector<std::string> command = options.command;
  std::error_code error;
  // In a workflow file such a program is found from the file's folder; here it is meant from where one types.
  if (command.front().find('/') != std::string::npos && std::filesystem::exists(command.front(), error)) {
    command.front() = std::filesystem::absolute(command.front()).string();
  }
  // A brace in a typed word means itself, and no placeholder of a workflow file.
  for (std::string& word : command) {
    for (std::size_t at = word.find('{'); at != std::string::npos; at = word.find('{', at + 2)) word.insert(at, 1, '{');
  }
  task["command"] = command;
  return Json{{"tasks", Json::array({std::move(task)})}};
}

Result<std::string> body_of(const SubmitOptions& options) {
  if (options.file.empty()) {
    if (options.command.empty()) {
      return Error{"there is nothing to submit", "", "give a command after --, or a file with tasks", ExitCode::usage};
    }
    auto task = task_of(options);
    if (!task) return task.error();
    return task->dump(-1, ' ', false, Json::error_handler_t::replace);
  }
  if (!options.command.empty()) return Error{"there are a file and a command", "", "give one of them", ExitCode::usage};
  std::ifstream in(options.file);
  std::ostringstream text;
  text << in.rdbuf();
  if (!in) return Error{"cannot be read", options.file, "", ExitCode::usage};
  JsonText json = json_of_document(text.str(), options.file);
  if (!json.errors.empty()) return as_error(options.file, json.errors);
  return std::move(json.json);
}

void submit(const SubmitOptions& options, Context& context) {
  auto access = RuntimeAccess::find(options.run);
  if (!access) return context.fail(access.error());
  auto body = body_of(options);
  if (!body) return context.fail(body.error());
  auto answer = access->call("POST", "/runtime/tasks", *body);
  if (!answer) return context.fail(answer.error());
  const auto ids = (*answer)["ids"].get<std::vector<std::string>>();
  if (!options.wait) {
    if (options.json) {
      context.out << answer->dump() << '\n';
    } else {
      for (const std::string& id : ids) context.out << id << '\n';
    }
    return;
  }
  auto tasks = access->wait(ids, false, std::chrono::hours(24 * 365));
  if (!tasks) return context.fail(tasks.error());
  print_ends(*tasks, ids.size(), options.json, context);
}

}  // namespace

void add_submit(CLI::App& app, Context& context) {
  auto options = std::make_shared<SubmitOptions>();
  CLI::App* command = app.add_subcommand("submit", "Give tasks to a run that is on, from inside a task or with --run");
  command->add_option("--file,-f", options->file, "YAML or JSON with `tasks`, as in a workflow file");
  command->add_option("COMMAND", options->command, "the program of the task and its arguments, after --");
  command->add_option("--name", options->name, "what the task is called (default: a number)");
  command->add_option("--id", options->id, "its id, where the name stands for several (default: the name)");
  command->add_option("--cores", options->cores, "cores per rank");
  command->add_option("--gpus", options->gpus, "GPUs per rank; 0.5 shares one");
  command->add_option("--memory", options->memory, "memory per rank, e.g. 4G");
  command->add_option("--ranks", options->ranks, "processes");
  command->add_option("--mpi", options->mpi, "true, openmpi, mpich or pmix: it is an MPI program");
  command->add_option("--after", options->after, "id or name of a task that must be done first; may be repeated")
      ->allow_extra_args(false);
  command->add_option("--service", options->services, "name of a service that must be ready first; may be repeated")
      ->allow_extra_args(false);
  command->add_option("--env", options->env, "NAME=VALUE for its environment; may be repeated")
      ->allow_extra_args(false);
  command->add_option("--environment", options->environment, "an environment of the workflow");
  command->add_option("--cwd", options->cwd, "where it runs (default: a folder of its own)");
  command->add_option("--timeout", options->timeout, "of one attempt, e.g. 10m");
  command->add_option("--retries", options->retries, "attempts beyond the first");
  command->add_option("--priority", options->priority, "higher goes first");
  command->add_flag("--wait", options->wait, "wait until what was submitted has ended");
  command->add_flag("--json", options->json, "machine-readable output");
  add_run_option(*command, options->run);
  command->callback([options, &context] { submit(*options, context); });
}

}  // namespace trireme::cli
