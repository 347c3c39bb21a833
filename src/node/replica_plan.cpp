#include "node/replica_plan.hpp"

#include <utility>

#include "core/defaults.hpp"
#include "node/log_tail.hpp"

namespace trireme {
namespace {

Template::Lookup lookup_of(const NodeContext& node, const StartReplica& order, const ReplicaValues& values,
                           std::uint32_t rank) {
  return [&, rank](std::string_view name) -> std::optional<std::string> {
    if (name == "port") return std::to_string(values.head.port);
    if (name == "socket") return values.head.socket;
    if (name == "host") return "127.0.0.1";
    if (name == "key") return values.head.key;
    if (name == "head") return values.head.host;
    if (name == "head_port") return std::to_string(values.head.meeting_port);
    if (name == "rank") return std::to_string(rank);
    if (name == "replica") return std::to_string(order.id.replica);
    if (name == "attempt") return std::to_string(order.id.attempt);
    if (name == "task_dir") return values.folder.string();
    if (name == "run_dir") return node.run.run_dir;
    if (name == "workflow_dir") return node.run.workflow_dir;
    if (name == "scratch") return values.scratch.string();
    return std::nullopt;
  };
}

Result<RankProcess> plan_rank(NodeContext& node, const StartReplica& order, const Provision& provision,
                              const ReplicaValues& values, std::uint32_t rank, Preparation& preparation) {
  const ServiceDescription& service = order.service;
  const Allocation& allocation = provision.allocations()[rank - order.first_rank];
  const auto lookup = lookup_of(node, order, values, rank);
  RankProcess process;
  process.rank = rank;
  spawner::Spawn& spawn = process.spawn;
  auto argv = make_program(service.command, service.script, values.folder / numbered("script", rank),
                           node.run.workflow_dir, lookup, preparation);
  if (!argv) return std::move(argv).error();
  spawn.argv = std::move(*argv);
  auto cwd = service.cwd.expand(lookup);
  if (!cwd) return std::move(cwd).error();
  spawn.cwd = cwd->empty() ? values.folder.string() : path_under(values.folder, *cwd);
  spawn.stdout_path = (values.folder / numbered(std::string(stdout_file), rank)).string();
  spawn.stderr_path = (values.folder / numbered(std::string(stderr_file), rank)).string();
  spawn.cpus = cpus_of(node.node, allocation);
  spawn.grace_ms = static_cast<std::uint32_t>(defaults::stop_grace.count());

  const ReplicaId id = order.id;
  std::string attempt = node.run.run_id + "/service/" + std::to_string(id.service.value) + "/" +
                        std::to_string(id.replica) + "/" + std::to_string(id.attempt);
  if (service.ranks > 1) attempt += "/" + std::to_string(rank);
  process.variables = make_variables(node, provision.environment(), allocation, attempt);
  // `ollama serve` binds to OLLAMA_HOST: only a service that calls others is told where they are.
  add_python(node.python, process.variables);
  if (!service.uses.empty()) add_proxy(node.proxy, service.uses, process.variables);
  process.variables.insert_or_assign("TRIREME_RANK", std::to_string(rank));
  process.variables.insert_or_assign("TRIREME_RANKS", std::to_string(service.ranks));
  process.variables.insert_or_assign("PWD", spawn.cwd);
  if (auto added = add_user(service.env, lookup, process.variables); !added.ok()) return added.error();
  return process;
}

}  // namespace

bool mentions(const ServiceDescription& service, std::string_view name) {
  return any_mentions(service.command, name) || mentions(service.script, name) || mentions(service.env, name) ||
         mentions(service.cwd, name) || mentions(service.ready.argument, name) ||
         (service.live && mentions(service.live->argument, name));
}

ReplicaValues replica_values(const NodeContext& node, const StartReplica& order) {
  const ReplicaId id = order.id;
  ReplicaValues values;
  values.head.replica = id;
  values.folder = node.paths.replica(order.service.name, id.replica, id.attempt);
  if (mentions(order.service, "scratch")) values.scratch = node.tmp_folder / ("scratch-" + LaunchId(id).text());
  return values;
}

Result<ReplicaPlan> plan_replica(NodeContext& node, const StartReplica& order, const Provision& provision,
                                 const ReplicaValues& values, bool append) {
  const ServiceDescription& service = order.service;
  ReplicaPlan plan;
  plan.preparation.folder = values.folder;
  if (!values.scratch.empty()) plan.preparation.folders.push_back(values.scratch);
  for (std::uint32_t i = 0; i < order.local_ranks; ++i) {
    auto process = plan_rank(node, order, provision, values, order.first_rank + i, plan.preparation);
    if (!process) return std::move(process).error();
    process->spawn.append = append;
    plan.ranks.push_back(std::move(*process));
  }
  const auto lookup = lookup_of(node, order, values, 0);
  auto ready = service.ready.argument.expand(lookup);
  auto live = service.live ? service.live->argument.expand(lookup) : Result<std::string>(std::string());
  for (auto* text : {&ready, &live}) {
    if (!*text) return std::move(*text).error();
  }
  plan.ready_argument = std::move(*ready);
  plan.live_argument = std::move(*live);
  const RankProcess& first = plan.ranks.front();
  auto method = choose_method(
      node.methods, node.run.launcher, service.mpi,
      [&] { return node.programs.find(first.spawn.argv.front(), first.variables, first.spawn.cwd); },
      node.surroundings);
  if (!method) return std::move(method).error();
  plan.method = std::move(*method);
  return plan;
}

AttemptEnd finished(const NodeContext& node, const ReplicaValues& values, AttemptEnd end, bool was_asked) {
  if (!values.scratch.empty()) {
    const auto remove = [scratch = values.scratch] {
      std::error_code unremoved;  // what stays here goes with the private folder at the end of the run
      std::filesystem::remove_all(scratch, unremoved);
    };
    static_cast<void>(node.files.post(remove, [] {}));
  }
  if (was_asked) {
    end.outcome = Outcome::cancelled;
    end.reason = stopped_on_request;
  }
  if (end.started == 0) end.started = wall_now();
  if (end.ended == 0) end.ended = wall_now();
  return end;
}

std::string words_of_logs(const std::vector<std::filesystem::path>& logs) {
  for (const std::filesystem::path& log : logs) {
    const std::string tail = tail_of_file(log, defaults::log_tail_lines, defaults::log_tail_bytes);
    if (!tail.empty()) return "; the end of its " + log.filename().string() + ":\n" + tail;
  }
  return "; it wrote nothing to stdout and stderr";
}

}  // namespace trireme
