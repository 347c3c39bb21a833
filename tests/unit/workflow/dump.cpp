#include "dump.hpp"

#include <array>
#include <string_view>

namespace {

using namespace trireme;

constexpr std::array mpi_kinds{"none", "automatic", "openmpi", "mpich", "pmix"};

class Dump {
 public:
  void heading(const std::string& text) { out_ += text + "\n"; }
  void line(std::string_view key, const std::string& value) {
    if (!value.empty()) out_ += "  " + std::string(key) + ": " + value + "\n";
  }
  void line(std::string_view key, const Template& value) { line(key, visible(value.source())); }
  template <typename T>
  void number(std::string_view key, T value, T usual) {
    if (value != usual) line(key, std::to_string(value));
  }
  void duration(std::string_view key, Duration value, Duration usual) {
    if (value != usual) line(key, format_duration(value));
  }
  void list(std::string_view key, const std::vector<std::string>& values) {
    std::string text;
    for (const std::string& value : values) text += (text.empty() ? "" : ", ") + value;
    line(key, text);
  }
  template <typename E, std::size_t n>
  void word(std::string_view key, E value, E usual, const std::array<const char*, n>& words) {
    if (value != usual) line(key, words.at(static_cast<std::size_t>(value)));
  }

  void output(OutputMode mode) {
    word("output", mode, OutputMode::inherit, std::array{"inherit", "files", "stream", "none"});
  }

  template <typename Description>
  void program(const Description& d) {
    std::string command;
    for (const Template& argument : d.command) {
      command += (command.empty() ? "[" : "] [") + visible(argument.source());
    }
    line("command", command.empty() ? command : command + "]");
    line("script", d.script);
    for (const auto& [name, value] : d.env) line("env " + name, "[" + visible(value.source()) + "]");
    line("environment", d.environment);
    line("cwd", d.cwd);
  }

  void task(const TaskDescription& d) {
    heading("task " + d.id);
    if (d.id != d.name) line("name", d.name);
    program(d);
    if (d.function) line("function", d.function.library + " " + d.function.name + " " + d.function.args);
    line("stdin", d.stdin_from);
    line("stdout", d.stdout_to);
    line("stderr", d.stderr_to);
    output(d.output);
    number("ranks", d.ranks, 1u);
    word("mpi", d.mpi, MpiKind::none, mpi_kinds);
    if (d.per_rank != TaskDescription{}.per_rank) line("per rank", to_string(d.per_rank));
    number("ranks per node", d.ranks_per_node, 0u);
    if (d.exclusive) line("exclusive", "true");
    line("colocate", d.colocate);
    list("after", d.after);
    list("services", d.services);
    for (const Staging& staging : d.inputs) line("input", text(staging));
    for (const Staging& staging : d.outputs) line("output", text(staging));
    duration("timeout", d.timeout, Duration{0});
    number("retries", d.retries, 0u);
    number("priority", d.priority, 0);
  }

  void service(const ServiceDescription& d) {
    const ServiceDescription usual;
    heading("service " + d.name);
    program(d);
    number("replicas", d.replicas, usual.replicas);
    number("replicas max", d.replicas_max, usual.replicas_max);
    duration("cooldown", d.cooldown, usual.cooldown);
    duration("uptime", d.uptime, usual.uptime);
    number("priority", d.priority, usual.priority);
    list("after", d.after);
    number("ranks", d.ranks, usual.ranks);
    word("mpi", d.mpi, MpiKind::none, mpi_kinds);
    if (d.per_rank != usual.per_rank) line("per rank", to_string(d.per_rank));
    number("ranks per node", d.ranks_per_node, 0u);
    constexpr std::array probes{"tcp", "http", "stdout", "file"};
    word("ready", d.ready.kind, usual.ready.kind, probes);
    line("ready argument", d.ready.argument);
    duration("ready timeout", d.ready.timeout, usual.ready.timeout);
    if (d.live) {
      line("live", probes.at(static_cast<std::size_t>(d.live->kind)));
      line("live argument", d.live->argument);
      duration("live every", d.live->every, defaults::live_every);
      number("live failures", d.live->failures, defaults::live_failures);
    }
    number("restart max", d.restart_max, usual.restart_max);
    duration("restart backoff", d.restart_backoff, usual.restart_backoff);
    word("api", d.api, usual.api, std::array{"http", "openai", "ollama", "native"});
    for (const Model& model : d.models) {
      line("model", model.name + (model.upstream.empty() ? "" : " = " + model.upstream));
    }
    number("concurrency", d.concurrency, usual.concurrency);
    number("queue", d.queue, usual.queue);
    word("policy", d.policy, usual.policy,
         std::array{"round_robin", "random", "power_of_two", "least_outstanding", "hash", "prefix"});
    word("retry", d.retry, usual.retry, std::array{"safe", "always"});
    duration("drain", d.drain, usual.drain);
    for (const RemoteEndpoint& remote : d.remote) {
      line("remote", remote.url);
      line("remote key_env", remote.key_env);
      line("remote key_file", remote.key_file);
      line("remote ca_file", remote.ca_file);
      number("remote concurrency", remote.concurrency, defaults::concurrency);
      number("remote requests_per_minute", remote.requests_per_minute, 0u);
    }
    if (d.prefer == Preference::remote) line("prefer", "remote");
    if (d.prefer == Preference::none) line("prefer", "none");
    list("uses", d.uses);
  }

  std::string take() { return std::move(out_); }

 private:
  static std::string visible(std::string_view text) {
    std::string out;
    for (char c : text) {
      if (c == '\n') {
        out += "\\n";
      } else {
        out += c;
      }
    }
    return out;
  }
  static std::string text(const Staging& staging) {
    constexpr std::array modes{"copy", "link", "move", "transfer", "broadcast"};
    return std::string(modes.at(static_cast<std::size_t>(staging.mode))) + " " + staging.from.source() + " -> " +
           (staging.to.empty() ? "(stays)" : staging.to.source());
  }

  std::string out_;
};

}  // namespace

std::string dump(const WorkflowDescription& workflow) {
  Dump out;
  out.heading("workflow " + workflow.name);
  out.output(workflow.output);
  if (workflow.stop_on_failure) out.line("on_failure", std::string("stop"));
  for (const EnvironmentDescription& environment : workflow.environments) {
    out.heading("environment " + environment.name);
    out.line("setup", environment.setup);
  }
  for (const ServiceDescription& service : workflow.services) out.service(service);
  for (const TaskFamily& family : workflow.tasks) {
    for (std::uint32_t i = 0; i < family.size(); ++i) out.task(family.instance(i));
  }
  return out.take();
}
