#include "runtime/convert.hpp"

#include <cmath>

namespace trireme {
namespace {

/// Parses texts and remembers the first mistake, so that the callers below read as a list of fields.
class Texts {
 public:
  Texts(std::string where, const std::string& folder) : where_(std::move(where)), folder_(folder) {}

  Template strict(const std::string& text) { return parse(text, Template::Mode::strict); }
  Template script(const std::string& text) { return parse(text, Template::Mode::script); }
  std::vector<Template> command(const std::vector<std::string>& texts) {
    std::vector<Template> out;
    for (const std::string& text : texts) out.push_back(strict(text));
    // One without a slash is looked for in PATH.
    if (!texts.empty() && texts.front().find('/') != std::string::npos) out.front().make_absolute(folder_);
    return out;
  }
  Staging input(const File& file) {
    Staging out{strict(file.from), strict(file.to)};
    const bool url = file.from.find("://") != std::string::npos;
    if (url) out.mode = StagingMode::transfer;
    if (out.to.empty()) {
      Template path = out.from;
      if (url) path.cut_at("?#");
      out.to = path.last_component();
      if (out.to.empty()) fail("the input \"" + file.from + "\" has no last part to name it by");
    }
    if (!url) out.from.make_absolute(folder_);
    return out;
  }
  EnvironmentVariables variables(const std::map<std::string, std::string>& texts) {
    EnvironmentVariables out;
    for (const auto& [name, text] : texts) out[name] = strict(text);
    return out;
  }
  MilliGpus gpus(double count) {
    if (!(count >= 0) || count > 1e6) {
      fail("the number of GPUs is not one");
      return 0;
    }
    return static_cast<MilliGpus>(std::lround(count * whole_gpu));
  }
  void fail(std::string what) {
    if (!error_) error_ = Error{std::move(what), where_, "", ExitCode::usage};
  }
  const std::optional<Error>& error() const { return error_; }

 private:
  Template parse(const std::string& text, Template::Mode mode) {
    auto parsed = Template::parse(text, mode, is_runtime_placeholder);
    if (parsed) return std::move(*parsed);
    fail(parsed.error().what + (parsed.error().hint.empty() ? "" : ": " + parsed.error().hint));
    return {};
  }

  std::string where_;
  const std::string& folder_;
  std::optional<Error> error_;
};

}  // namespace

Result<TaskDescription> describe(const Task& task, const std::string& folder) {
  Texts texts("task " + task.id, folder);
  TaskDescription out;
  out.id = task.id;
  out.name = task.id;
  out.command = texts.command(task.command);
  out.script = texts.script(task.script);
  out.env = texts.variables(task.env);
  out.cwd = texts.strict(task.cwd);
  out.mpi = task.mpi ? MpiKind::automatic : MpiKind::none;
  out.ranks = task.ranks;
  out.per_rank = {task.cores, texts.gpus(task.gpus), task.memory};
  out.after = task.after;
  out.services = task.services;
  for (const File& file : task.inputs) out.inputs.push_back(texts.input(file));
  for (const File& file : task.outputs) out.outputs.push_back({texts.strict(file.from), texts.strict(file.to)});
  out.timeout = task.timeout;
  out.retries = task.retries;
  out.priority = task.priority;
  if (task.id.empty()) texts.fail("a task needs an id");
  if (task.command.empty() == task.script.empty()) texts.fail("a task has either a command or a script");
  if (task.ranks == 0) texts.fail("ranks must be at least 1");
  if (texts.error()) return *texts.error();
  return out;
}

Result<ServiceDescription> describe(const Service& service, const std::string& folder) {
  Texts texts("service " + service.name, folder);
  ServiceDescription out;
  out.name = service.name;
  out.command = texts.command(service.command);
  out.script = texts.script(service.script);
  out.env = texts.variables(service.env);
  out.replicas = service.replicas;
  out.ranks = service.ranks;
  out.ranks_per_node = service.ranks_per_node;
  out.mpi = service.mpi ? MpiKind::automatic : MpiKind::none;
  out.per_rank = {service.cores, texts.gpus(service.gpus), service.memory};
  if (!service.ready_http.empty()) {
    out.ready.kind = Probe::Kind::http;
    out.ready.argument = texts.strict(service.ready_http);
  }
  out.ready.timeout = service.ready_timeout;
  out.concurrency = service.concurrency;
  out.queue = service.queue;
  out.retry = service.retry_always ? RetryKind::always : RetryKind::safe;
  if (service.name.empty()) texts.fail("a service needs a name");
  if (service.command.empty() == service.script.empty()) texts.fail("a service has either a command or a script");
  if (service.ranks == 0) texts.fail("ranks must be at least 1");
  if (service.replicas == 0) texts.fail("replicas must be at least 1");
  if (service.concurrency == 0) texts.fail("concurrency must be at least 1");
  if (texts.error()) return *texts.error();
  return out;
}

}  // namespace trireme
