// trireme simulate: the real scheduler over a made-up machine, in virtual time.
#include <algorithm>
#include <iomanip>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>
#include <set>
#include <sstream>

#include "cli/command.hpp"
#include "cli/read/rundir.hpp"
#include "cli/workflow_file.hpp"
#include "core/units.hpp"
#include "simulate/simulation.hpp"
#include "simulate/workload.hpp"

namespace trireme::cli {
namespace {

struct SimulateOptions {
  WorkflowArguments workflow;
  std::uint32_t nodes = 1;
  std::uint32_t cores = 64;
  std::uint32_t gpus = 0;
  std::string memory = "0";
  std::uint32_t tasks = 0;
  std::vector<std::string> shapes;
  std::vector<std::string> durations;
  std::uint32_t run_length = 100;
  double failures = 0;
  std::string tick = "1ms";
  std::uint64_t seed = 1;
  bool json = false;
};

std::string number(double value, int digits = 1) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(digits) << value;
  return out.str();
}

Result<simulate::Options> simulation_options(const SimulateOptions& options) {
  simulate::Options out;
  const auto memory = parse_size(options.memory);
  if (!memory) return memory.error();
  out.nodes.assign(options.nodes, Resources{options.cores, options.gpus * whole_gpu, *memory});
  const auto tick = parse_duration(options.tick);
  if (!tick) return tick.error();
  if (*tick > simulate::longest_duration / 2) {
    return Error{options.tick + " is longer than anything that is simulated", "--tick", "1ms is usual",
                 ExitCode::usage};
  }
  out.tick = *tick;
  out.failures = options.failures;
  out.seed = options.seed;
  for (const std::string& text : options.durations) {
    const std::size_t equals = text.rfind('=');  // ids may hold one, and a distribution does not
    const auto distribution =
        simulate::Distribution::parse(equals == std::string::npos ? text : std::string_view(text).substr(equals + 1));
    if (!distribution) return distribution.error();
    if (equals == std::string::npos) {
      out.duration = *distribution;
    } else {
      out.durations.insert_or_assign(text.substr(0, equals), *distribution);
    }
  }
  return out;
}

/// Tasks take as long as they once did, where the file says it and no --duration says otherwise.
void use_recorded(std::vector<Duration> runtimes, const SimulateOptions& options, simulate::Options& out) {
  const bool for_all = std::any_of(options.durations.begin(), options.durations.end(),
                                   [](const std::string& text) { return text.find('=') == std::string::npos; });
  if (!for_all) out.recorded = std::move(runtimes);
}

/// The kind of a made-up task: its name up to the number of its run.
std::string kind_of(const std::string& name) {
  return name.substr(0, name.rfind('-'));
}

/// Each NAME of a --duration stands for tasks: of a file by their name, of made-up ones by that of their kind.
Status use_names(const std::vector<TaskFamily>& tasks, bool made_up, simulate::Options& out) {
  if (out.durations.empty()) return {};
  std::map<std::string, simulate::Distribution> found;
  std::set<std::string> names;
  for (const TaskFamily& family : tasks) {
    const std::string& name = family.shared().name;
    const std::string& word = *names.insert(made_up ? kind_of(name) : name).first;
    if (const auto given = out.durations.find(word); given != out.durations.end()) found.emplace(name, given->second);
  }
  for (const auto& [name, distribution] : out.durations) {
    if (names.contains(name)) continue;
    return Error{"there are no tasks called " + name, "--duration",
                 did_you_mean(name, std::vector<std::string>(names.begin(), names.end())), ExitCode::usage};
  }
  out.durations = std::move(found);
  return {};
}

Result<WorkflowDescription> workload(const SimulateOptions& options, simulate::Options& simulation, Context& context) {
  if (options.workflow.file.empty() == (options.tasks == 0)) {
    return Error{"there is nothing to simulate, or too much", "", "give a workflow file, or --tasks and --shape",
                 ExitCode::usage};
  }
  if (options.tasks == 0) {
    std::vector<Duration> runtimes;
    auto workflow = load(options.workflow, context, &runtimes);
    if (!workflow) return workflow.error();
    if (auto known = use_names(workflow->tasks, false, simulation); !known) return known.error();
    use_recorded(std::move(runtimes), options, simulation);
    return workflow;
  }
  std::vector<simulate::Kind> kinds;
  for (const std::string& text : options.shapes) {
    auto kind = simulate::parse_kind(text);
    if (!kind) return kind.error();
    kinds.push_back(std::move(*kind));
  }
  if (kinds.empty()) kinds.emplace_back();
  WorkflowDescription made_up;
  made_up.tasks = simulate::make_workload(kinds, options.tasks, std::max(options.run_length, 1u), options.seed);
  if (auto known = use_names(made_up.tasks, true, simulation); !known) return known.error();
  return made_up;
}

nlohmann::ordered_json shape_json(const pilot::Shape& shape) {
  return {{"ranks", shape.ranks},
          {"ranks_per_node", shape.ranks_per_node},
          {"cores", shape.per_rank.cores},
          {"gpus", shape.per_rank.gpus / 1000.0},
          {"memory", shape.per_rank.memory}};
}

nlohmann::ordered_json to_json(const simulate::Report& report, const SimulateOptions& options) {
  nlohmann::ordered_json out{
      {"nodes", options.nodes},
      {"tasks",
       {{"total", report.tasks.total},
        {"done", report.tasks.done},
        {"failed", report.tasks.failed},
        {"skipped", report.tasks.skipped},
        {"retried", report.tasks.retried}}},
      {"decisions", report.decisions},
      {"decisions_per_s", report.decisions_per_s()},
      {"pilot_s", report.pilot_s},
      {"load_s", report.load_s},
      {"wall_s", report.wall_s},
      {"bytes_per_task",
       static_cast<double>(report.bytes_held) / static_cast<double>(std::max<std::uint64_t>(report.tasks.total, 1))},
      {"peak_bytes", report.peak_bytes},
      {"makespan_s", report.makespan_s},
      {"critical_path_s", report.critical_path_s},
      {"work_bound_s", report.work_bound_s},
      {"bound_s", report.bound_s()},
      {"strong_bound_s", report.strong_bound_s()},
      {"last_start_s", report.last_start_s},
      {"utilisation", report.utilisation},
      {"utilisation_until_tail", report.utilisation_until_tail},
      {"free_core_wait_s", report.free_core_wait_s},
      {"utilisation_over_time", report.utilisation_over_time},
      {"shapes", nlohmann::ordered_json::array()}};
  for (const auto& shape : report.shapes) {
    out["shapes"].push_back({{"shape", shape_json(shape.shape)},
                             {"tasks", shape.tasks},
                             {"half_started_s", shape.half_started_s},
                             {"last_started_s", shape.last_started_s}});
  }
  return out;
}

void print(const simulate::Report& report, const SimulateOptions& options, Context& context) {
  std::ostream& out = context.out;
  out << report.tasks.total << " tasks on " << options.nodes << (options.nodes == 1 ? " node: " : " nodes: ")
      << report.tasks.done << " done, " << report.tasks.failed << " failed, " << report.tasks.skipped << " skipped\n"
      << "makespan     " << number(report.makespan_s) << " s, "
      << number(report.makespan_s / std::max(report.bound_s(), 1e-9), 3) << " of the lower bound (longest chain "
      << number(report.critical_path_s) << " s, all work over the machine " << number(report.work_bound_s) << " s)";
  if (report.strong_bound_s() > report.bound_s()) {
    out << ", " << number(report.makespan_s / report.strong_bound_s(), 3) << " of what their order and number allow ("
        << number(report.strong_bound_s()) << " s)";
  }
  out << "\n"
      << "utilisation  " << number(100 * report.utilisation_until_tail, 2) << " % of the cores until the last start at "
      << number(report.last_start_s) << " s, " << number(100 * report.utilisation, 2) << " % in all\n"
      << "free cores   waited " << number(1000 * report.free_core_wait_s, 2) << " ms each until they were used\n"
      << "pilot        " << number(report.decisions_per_s(), 0) << " decisions/s, " << number(report.load_s)
      << " s to load, " << report.bytes_held / std::max<std::uint64_t>(report.tasks.total, 1)
      << " bytes per task, at most " << format_size(report.peak_bytes >> 20 << 20) << " of memory\n";
  for (const auto& shape : report.shapes) {
    out << "  " << shape.tasks << " x " << shape.shape.ranks << (shape.shape.ranks == 1 ? " rank, " : " ranks, ")
        << to_string(shape.shape.per_rank) << ": half of them started by " << number(shape.half_started_s)
        << " s, the last at " << number(shape.last_started_s) << " s\n";
  }
}

void simulate_run(SimulateOptions& options, Context& context) {
  auto given = simulation_options(options);
  if (!given) return context.fail(given.error());
  auto workflow = workload(options, *given, context);
  if (!workflow) return context.fail(workflow.error());
  const auto report = simulate::run(std::move(*workflow), *given);
  if (!report) return context.fail(report.error());
  if (options.json) {
    context.out << to_json(*report, options).dump() << '\n';
  } else {
    print(*report, options, context);
  }
}

}  // namespace

void add_simulate(CLI::App& app, Context& context) {
  auto options = std::make_shared<SimulateOptions>();
  CLI::App* command = app.add_subcommand("simulate", "Run the real scheduler over a made-up machine, in virtual time");
  add_workflow_arguments(*command, options->workflow);
  command->get_option("FILE")->required(false);
  command->add_option("--nodes", options->nodes, "how many nodes")->check(CLI::Range(1u, 1u << 20));
  command->add_option("--cores", options->cores, "cores of each node")->check(CLI::Range(1u, 1u << 16));
  command->add_option("--gpus", options->gpus, "GPUs of each node")->check(CLI::Range(0u, 1u << 10));
  command->add_option("--memory", options->memory, "memory of each node, e.g. 512G");
  command->add_option("--tasks", options->tasks, "how many made-up tasks, instead of a workflow file");
  command->add_option("--shape", options->shapes, "a kind of them, e.g. cores=7,gpus=1,weight=0.2; may be repeated")
      ->allow_extra_args(false);
  command
      ->add_option("--duration", options->durations,
                   "how long tasks take: 60, exp:60, uniform:30-90, lognormal:60:0.5; NAME=… for those of one name")
      ->allow_extra_args(false);
  command->add_option("--run-length", options->run_length, "made-up tasks of one kind in a row");
  command->add_option("--failures", options->failures, "part of the attempts that fail")->check(CLI::Range(0.0, 1.0));
  command->add_option("--tick", options->tick, "how often the pilot looks at what nodes report");
  command->add_option("--seed", options->seed, "another one gives other durations");
  command->add_flag("--json", options->json, "machine-readable output");
  command->callback([options, &context] { simulate_run(*options, context); });
}

}  // namespace trireme::cli
