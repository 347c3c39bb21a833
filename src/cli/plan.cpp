// trireme plan FILE: what would run where, by the real pilot over made-up nodes like this one.
#include "pilot/plan.hpp"

#include <unistd.h>

#include <array>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <unordered_map>

#include "cli/command.hpp"
#include "cli/placement_drawing.hpp"
#include "cli/workflow_file.hpp"
#include "core/units.hpp"
#include "core/words.hpp"
#include "launch/choice.hpp"
#include "node/launch_method.hpp"
#include "node/spawner/environment.hpp"
#include "node/topology.hpp"
#include "node/workplace.hpp"

namespace trireme::cli {
namespace {

struct PlanOptions {
  WorkflowArguments workflow;
  std::uint32_t nodes = 1;
  VirtualNode node;
  std::string memory;
  std::string topology;
  std::string reserve_cores;
  std::string launcher = "auto";
  std::string dvm_uri;
  bool json = false;
};

/// How a planned task would be started, from here: the login node where a plan is made may lack what a job has.
struct PlannedLaunch {
  std::string method;  ///< empty: it cannot be started, and `why` says why not
  std::string why;
};
using PlannedLaunches = std::unordered_map<std::string, PlannedLaunch>;  // by the task's id

/// The launch methods that this build has.
std::string methods_text() {
  std::string out;
  for (const std::string_view name : built_launch_method_names()) {
    out += (out.empty() ? "" : ", ") + std::string(name);
  }
  return out;
}

PlannedLaunches plan_launches(const WorkflowDescription& workflow, const PlanOptions& options) {
  const Variables base = base_variables(scrub(environ));
  const Surroundings here = look_around(base, base_variables(launcher_entries(environ)), options.dvm_uri);
  ProgramKinds programs;
  PlannedLaunches out;
  const auto plan_launch = [&](const TaskDescription& task) {
    const auto find = [&]() -> ProgramMpi {
      // A script is bash to the agent, which is linked to no MPI. What is known only when the task runs is left open here.
      const auto values = [&](std::string_view name) -> std::optional<std::string> {
        if (name == "workflow_dir") return workflow.directory;
        return std::nullopt;
      };
      if (task.command.empty()) return {};
      const auto program = make_command({task.command.front()}, workflow.directory, values);
      return program ? programs.find(program->front(), base, workflow.directory) : ProgramMpi{};
    };
    auto choice = choose_launch(options.launcher, mpi_of_task(task.mpi, find), here);
    out.emplace(task.id, choice ? PlannedLaunch{std::string(choice->method), std::move(choice->why)}
                                : PlannedLaunch{"", choice.error().text()});
  };
  for (const TaskFamily& family : workflow.tasks) {
    for (std::uint32_t i = 0; i < family.size(); ++i) plan_launch(family.instance(i));
  }
  return out;
}

std::string launch_text(const PlannedLaunch& launch) {
  if (launch.method.empty()) return "  cannot be started here: " + launch.why;
  return launch.why.empty() ? "" : "  by " + launch.why;
}

std::string places(const std::vector<pilot::PlannedPart>& parts) {
  std::string out;
  for (const auto& part : parts) {
    out += (out.empty() ? "rank " : ", rank ") + std::to_string(part.rank);
    if (part.local_ranks > 1) out += " (" + std::to_string(part.local_ranks) + " processes)";
  }
  return out;
}

nlohmann::json to_json(const std::vector<pilot::PlannedPart>& parts) {
  nlohmann::json out = nlohmann::json::array();
  for (const auto& part : parts) out.push_back({{"rank", part.rank}, {"processes", part.local_ranks}});
  return out;
}

/// What a service is started with, as a person would type it.
std::string command_text(const ServiceDescription& service) {
  std::string out;
  for (const Template& word : service.command) {
    const std::string text = word.source();
    const bool plain = text.find_first_of(" \t\n'\"") == std::string::npos && !text.empty();
    out += (out.empty() ? "" : " ") + (plain ? text : "'" + text + "'");
  }
  for (const auto& [name, value] : service.env) out = name + "=" + value.source() + " " + out;
  return out;
}

std::string per_replica_text(const ServiceDescription& service) {
  const std::string each = to_string(service.per_rank);
  return service.ranks == 1 ? each : std::to_string(service.ranks) + " ranks of " + each;
}

std::string ready_text(const Probe& ready) {
  constexpr std::array kinds{"tcp", "http ", "stdout ", "file "};
  return std::string(kinds.at(static_cast<std::size_t>(ready.kind))) + ready.argument.source() + " within " +
         format_duration(ready.timeout);
}

void print(const pilot::Plan& plan, const WorkflowDescription& workflow, const PlannedLaunches& launches,
           const PlanOptions& options, const Resources& node, Context& context) {
  context.out << options.nodes << (options.nodes == 1 ? " node" : " nodes") << " of " << to_string(node) << '\n';
  for (const ServiceDescription& service : workflow.services) {
    if (service.command.empty()) continue;
    context.out << "service  " << service.name << ": " << printable(command_text(service)) << " ("
                << per_replica_text(service) << "; ready by " << ready_text(service.ready) << ")\n";
  }
  for (const auto& replica : plan.replicas) {
    context.out << "service  " << replica.service << '/' << replica.replica << "  " << places(replica.parts) << '\n';
  }
  for (const auto& task : plan.tasks) {
    context.out << "wave " << task.wave + 1 << "   " << printable(task.id) << "  " << places(task.parts)
                << launch_text(launches.at(task.id)) << '\n';
  }
  context.out << "launch methods of this build: " << methods_text() << '\n';
}

nlohmann::json to_json(const pilot::Plan& plan, const WorkflowDescription& workflow, const PlannedLaunches& launches,
                       const PlanOptions& options, const Resources& node) {
  nlohmann::json out{{"nodes", options.nodes},
                     {"node", {{"cores", node.cores}, {"gpus", node.gpus / 1000.0}, {"memory", node.memory}}},
                     {"waves", plan.waves},
                     {"launch_methods", methods_text()},
                     {"services", nlohmann::json::array()},
                     {"replicas", nlohmann::json::array()},
                     {"tasks", nlohmann::json::array()}};
  for (const ServiceDescription& service : workflow.services) {
    if (service.command.empty()) continue;
    out["services"].push_back(
        {{"service", service.name}, {"command", command_text(service)}, {"ready", ready_text(service.ready)}});
  }
  for (const auto& replica : plan.replicas) {
    out["replicas"].push_back({{"service", replica.service},
                               {"replica", replica.replica},
                               {"rank", replica.parts.front().rank},
                               {"parts", to_json(replica.parts)}});
  }
  for (const auto& task : plan.tasks) {
    const PlannedLaunch& launch = launches.at(task.id);
    out["tasks"].push_back({{"task", task.id},
                            {"wave", task.wave + 1},
                            {"parts", to_json(task.parts)},
                            {"launch", {{"method", launch.method}, {"why", launch.why}}}});
  }
  return out;
}

void plan(PlanOptions& options, Context& context) {
  auto workflow = load(options.workflow, context);
  if (!workflow) return context.fail(workflow.error());
  if (!options.memory.empty()) {
    auto memory = parse_size(options.memory);
    if (!memory) return context.fail(memory.error());
    options.node.memory = *memory;
  }
  NodeSources sources;
  if (!options.topology.empty()) {
    sources.hwloc_xml = options.topology;
    // What this host and its scheduler grant means nothing for another one.
    sources.environment = [](std::string_view) { return std::nullopt; };
    sources.proc = sources.sys = sources.dev = "/nonexistent";
  }
  auto machine = discover_node(sources);
  if (!machine) {
    Error error = machine.error();
    if (!options.topology.empty()) error.code = ExitCode::usage;  // the file's fault, and not this machine's
    return context.fail(error);
  }
  if (!options.reserve_cores.empty()) {
    if (auto reserved = reserve_cores(*machine, options.reserve_cores); !reserved)
      return context.fail(reserved.error());
  }
  const NodeResources each = share(*machine, 0, 1, options.node);
  const Resources node = each.amount();
  auto made = pilot::make_plan(*workflow, std::vector<Resources>(options.nodes, node));
  if (!made) return context.fail(made.error());
  const PlannedLaunches launches = plan_launches(*workflow, options);
  if (options.json) {
    // What --set gave need not be UTF-8.
    context.out << to_json(*made, *workflow, launches, options, node)
                       .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)
                << '\n';
  } else {
    print(*made, *workflow, launches, options, node, context);
    if (!options.topology.empty()) context.out << draw_placement(*made, *workflow, each);
  }
}

}  // namespace

void add_plan(CLI::App& app, Context& context) {
  auto options = std::make_shared<PlanOptions>();
  CLI::App* command = app.add_subcommand("plan", "Show what would run where, on nodes like this one or as given");
  add_workflow_arguments(*command, options->workflow);
  command->add_option("--nodes", options->nodes, "how many nodes (ranks)")->check(CLI::Range(1u, 1u << 20));
  command->add_option("--worker-cores", options->node.cores, "cores of each node");
  command->add_option("--worker-gpus", options->node.gpus, "GPUs of each node");
  command->add_option("--worker-memory", options->memory, "memory of each node, e.g. 512G");
  command
      ->add_option("--topology", options->topology,
                   "draw the placement on nodes of this hwloc XML file (lstopo makes one)")
      ->check(CLI::ExistingFile);
  command->add_option("--reserve-cores", options->reserve_cores,
                      "cores never given away: l3, a number, or a list as 0,8-9");
  command->add_option("--launcher", options->launcher, "how MPI tasks would be started, as of run")
      ->check(CLI::IsMember(launcher_names()));
  command->add_option("--dvm-uri", options->dvm_uri, "the PMIx runtime that --launcher dvm would ask");
  command->add_flag("--json", options->json, "machine-readable output");
  command->callback([options, &context] { plan(*options, context); });
}

}  // namespace trireme::cli
