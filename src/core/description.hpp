// What a workflow consists of: tasks, services, environments. Plain values, as the workflow file or the API gave them.
//
// Parameters are resolved before these exist. Templates may still hold runtime placeholders (core/template.hpp) and, where a
// description stands for many tasks (core/task_family.hpp), the variables of their `foreach`. DESIGN section 5 and
// docs/spec/workflow.md say what each key means.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/defaults.hpp"
#include "core/resources.hpp"
#include "core/template.hpp"
#include "core/units.hpp"

namespace trireme {

using EnvironmentVariables = std::map<std::string, Template>;

enum class MpiKind : std::uint8_t { none, automatic, openmpi, mpich, pmix };

enum class StagingMode : std::uint8_t { copy, link, move, transfer, broadcast };

/// One file or folder that goes into a task's folder before it starts, or out of it when it has ended well.
struct Staging {
  Template from;
  Template to;
  StagingMode mode = StagingMode::copy;
  bool operator==(const Staging&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(from, to, mode);
  }
};

/// A call of a function in a warm executor process, instead of a process of its own (docs/spec/functions.md).
struct FunctionCall {
  enum class Kind : std::uint8_t { none, native, python };
  Kind kind = Kind::none;
  std::string library;  ///< native: path of the shared library; python: a folder that modules are found in, or empty
  std::string name;     ///< native: the symbol; python: "module:name"
  std::string args;     ///< JSON: a list, or a map with `args` and `kwargs`
  bool uses_results = false;  ///< {"result": ID} in `args` stands for the result of that task
  explicit operator bool() const { return kind != Kind::none; }
  bool operator==(const FunctionCall&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(kind, library, name, args, uses_results);
  }
};

/// What becomes of a task's stdout and stderr where it names no files for them (docs/spec/output.md).
enum class OutputMode : std::uint8_t {
  inherit,  ///< what the run says
  files,    ///< `stdout` and `stderr` in the attempt's folder
  stream,   ///< appended to one file of the node
  none,     ///< thrown away
};

struct TaskDescription {
  std::string id;                 ///< "train[seed=1,method=lora]"; unique in the run
  std::string name;               ///< "train": what `after` of other tasks may name for all instances
  std::vector<Template> command;  ///< argument list; empty when there is a script
  Template script;                ///< bash; empty when there is a command
  FunctionCall function;          ///< instead of both
  EnvironmentVariables env;
  std::string environment;  ///< name of an EnvironmentDescription, or empty
  Template cwd;             ///< empty: the attempt's folder
  Template stdin_from;      ///< empty: /dev/null
  Template stdout_to;       ///< empty: `stdout` in the attempt's folder
  Template stderr_to;
  OutputMode output = OutputMode::inherit;  ///< of the two above, where they name no file
  std::uint32_t ranks = 1;
  MpiKind mpi = MpiKind::none;
  Resources per_rank{.cores = defaults::cores_per_rank};
  std::uint32_t ranks_per_node = 0;   ///< on each node, fewer on the last; 0: as they fit
  bool exclusive = false;             ///< on nodes where nothing else runs
  std::string colocate;               ///< tasks that name the same go where the first of them went
  std::vector<std::string> after;     ///< ids, or names that stand for all their instances
  std::vector<std::string> services;  ///< starts once each of these is ready
  std::vector<Staging> inputs;
  std::vector<Staging> outputs;
  Duration timeout{0};  ///< of one attempt; 0: none
  std::uint32_t retries = 0;
  std::int32_t priority = 0;  ///< higher first
  bool operator==(const TaskDescription&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(id, name, command, script, function, env, environment, cwd, stdin_from, stdout_to, stderr_to, output, ranks,
            mpi, per_rank, ranks_per_node, exclusive, colocate, after, services, inputs, outputs, timeout, retries,
            priority);
  }
};

/// How a replica shows that it can answer.
struct Probe {
  enum class Kind : std::uint8_t { tcp, http, stdout_regex, file };
  Kind kind = Kind::tcp;
  Template argument;  ///< http: path; stdout_regex: pattern; file: path
  Duration timeout = defaults::ready_timeout;
  bool operator==(const Probe&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(kind, argument, timeout);
  }
};

/// A check that goes on while a replica serves; by default there is none beyond its process being alive.
struct Liveness {
  Probe::Kind kind = Probe::Kind::http;
  Template argument;
  Duration every = defaults::live_every;
  std::uint32_t failures = defaults::live_failures;
  bool operator==(const Liveness&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(kind, argument, every, failures);
  }
};

enum class ServiceApi : std::uint8_t { http, openai, ollama, native };
enum class PolicyKind : std::uint8_t { round_robin, random, power_of_two, least_outstanding, hash, prefix };
enum class RetryKind : std::uint8_t { safe, always };
/// Which of a service's replicas and remote endpoints are used first; the others when its queue is long.
enum class Preference : std::uint8_t { none, local, remote };

/// A model that a service answers for. `upstream` is the name that the server itself knows; empty: the same.
struct Model {
  std::string name;
  std::string upstream;
  bool operator==(const Model&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(name, upstream);
  }
};

/// A server that is not ours: reached by URL, never started or stopped.
struct RemoteEndpoint {
  std::string url;
  std::string key_env;   ///< environment variable that holds its key, or empty
  std::string key_file;  ///< file that holds its key, or empty
  std::string ca_file;   ///< certificates to trust instead of the system's, or empty
  std::uint32_t concurrency = defaults::concurrency;
  std::uint32_t requests_per_minute = 0;  ///< 0: no limit
  bool operator==(const RemoteEndpoint&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(url, key_env, key_file, ca_file, concurrency, requests_per_minute);
  }
};

struct ServiceDescription {
  std::string name;
  std::vector<Template> command;  ///< empty together with `script` for a purely remote service
  Template script;
  EnvironmentVariables env;
  std::string environment;
  Template cwd;
  std::uint32_t replicas = 1;      ///< at the beginning, and at least
  std::uint32_t replicas_max = 0;  ///< that its load may ask for; 0: always `replicas`
  Duration cooldown = defaults::scale_cooldown;
  Duration uptime{0};              ///< from its first ready replica to its end; 0: until the run ends
  std::int32_t priority = 0;       ///< higher first, among services and tasks
  std::vector<std::string> after;  ///< services that are ready before it is started
  std::uint32_t ranks = 1;         ///< processes of each replica; rank 0 answers requests
  MpiKind mpi = MpiKind::none;
  Resources per_rank{.cores = defaults::service_cores};
  std::uint32_t ranks_per_node = 0;  ///< on each node, fewer on the last; 0: as they fit
  Probe ready;
  std::optional<Liveness> live;
  std::uint32_t restart_max = defaults::restart_max;
  Duration restart_backoff = defaults::restart_backoff;
  ServiceApi api = ServiceApi::http;
  std::vector<Model> models;
  std::uint32_t concurrency = defaults::concurrency;
  std::uint32_t queue = defaults::queue;
  PolicyKind policy = PolicyKind::least_outstanding;
  RetryKind retry = RetryKind::safe;
  Duration drain = defaults::drain;
  std::vector<RemoteEndpoint> remote;
  Preference prefer = Preference::local;
  std::vector<std::string> uses;  ///< services that this one calls: it is given their addresses

  bool has_replicas() const { return !command.empty() || !script.empty(); }
  Resources per_replica() const { return per_rank.times(ranks); }
  bool is_scaled() const { return has_replicas() && replicas_max > replicas; }
  bool operator==(const ServiceDescription&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(name, command, script, env, environment, cwd, replicas, replicas_max, cooldown, uptime, priority, after,
            ranks, mpi, per_rank, ranks_per_node, ready, live, restart_max, restart_backoff, api, models, concurrency,
            queue, policy, retry, drain, remote, prefer, uses);
  }
};

/// Made once per node: `setup` is run by bash, and the variables that it leaves are given to each task that names it.
struct EnvironmentDescription {
  std::string name;
  Template setup;
  bool operator==(const EnvironmentDescription&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(name, setup);
  }
};

}  // namespace trireme
