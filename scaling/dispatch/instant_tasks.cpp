// A run whose tasks are over as soon as they have their cores: no process, no folder. What is left is dispatch: the pilot, the
// fabric between the ranks, the agents' own bookkeeping and the event log, all as in any run.
//
//   instant_tasks RUN_DIR TASKS CORES     under mpirun; CORES of each rank. Rank 0 prints the processor time that it and all
//                                         others together took, as JSON
//   instant_tasks RUN_DIR                 alone, after that: prints how many attempts were placed and have ended by the event
//                                         log, and when the first placement was and the seconds from it to the last end
#include <mpi.h>
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <variant>

#include "core/run_paths.hpp"
#include "journal/reader.hpp"
#include "node/attempt.hpp"
#include "node/node_context.hpp"
#include "runtime/run.hpp"

namespace {

using namespace trireme;

/// Runs on the agent's loop, like the real one.
class InstantAttempt final : public Attempt, public std::enable_shared_from_this<InstantAttempt> {
 public:
  InstantAttempt(NodeContext& node, StartTask part, Over over)
      : node_(node), part_(std::move(part)), over_(std::move(over)) {}

  void start() override {
    ticket_ = node_.resources.ask(
        part_.task.per_rank, part_.local_ranks,
        [self = shared_from_this()](const std::vector<Allocation>& allocations) { self->run(allocations); });
  }
  void cancel(const std::string& reason) override {
    node_.resources.withdraw(ticket_);
    AttemptEnd end;
    end.outcome = Outcome::cancelled;
    end.reason = reason;
    over_(std::move(end));
  }

 private:
  void run(const std::vector<Allocation>& allocations) {
    AttemptEnd end;
    end.started = end.ended = wall_now();
    TaskStarted started{.id = part_.id, .pid = 1, .time = end.started, .cores = {}, .gpus = {}, .launch = ""};
    for (const std::uint32_t core : allocations.front().cores) started.cores.push_back(node_.node.cores[core].id);
    node_.hooks.send(std::move(started));
    node_.resources.give_back(allocations);
    over_(std::move(end));
  }

  NodeContext& node_;
  const StartTask part_;
  const Over over_;
  ResourceQueue::Ticket ticket_ = 0;
};

WorkflowDescription null_tasks(std::uint32_t tasks) {
  WorkflowDescription out;
  out.name = "dispatch";
  out.tasks.reserve(tasks);
  for (std::uint32_t i = 0; i < tasks; ++i) {
    TaskDescription task;
    task.name = "nothing";
    task.id = "nothing[i=" + std::to_string(i) + "]";
    task.command = {Template::literal("/bin/true")};
    out.tasks.push_back(std::move(task));
  }
  return out;
}

double processor_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

int report(const std::string& run_dir) {
  auto log = JournalReader::open(RunPaths(run_dir).events());
  if (!log) return std::fprintf(stderr, "%s\n", log.error().text().c_str()), 1;
  WallTime first = 0;
  WallTime last = 0;
  std::uint32_t placed = 0;
  std::uint32_t ended = 0;
  while (const auto event = log->next()) {
    if (std::holds_alternative<events::AttemptPlaced>(event->body)) {
      if (placed++ == 0) first = event->time;
    } else if (std::holds_alternative<events::AttemptEnded>(event->body)) {
      ++ended;
      last = event->time;
    }
  }
  std::printf("{\"placed\": %u, \"ended\": %u, \"first\": %.9f, \"seconds\": %.6f}\n", placed, ended,
              static_cast<double>(first) * 1e-9, static_cast<double>(last - first) * 1e-9);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2) return report(argv[1]);
  if (argc != 4) return std::fprintf(stderr, "usage: instant_tasks RUN_DIR [TASKS CORES]\n"), 2;
  const auto tasks = static_cast<std::uint32_t>(std::strtoul(argv[2], nullptr, 10));
  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);

  RunConfig config;
  config.name = "dispatch";
  config.run_dir = argv[1];
  config.worker_cores = static_cast<std::uint32_t>(std::strtoul(argv[3], nullptr, 10));
  config.make_attempt = [](NodeContext& node, StartTask part, Attempt::Over over) {
    return std::make_shared<InstantAttempt>(node, std::move(part), std::move(over));
  };
  const double begun = processor_seconds();
  const auto end = run_on(
      MPI_COMM_WORLD, config, [](RunConfig&) { return Status{}; },
      [&](DriverContext& driver) { return driver.pilot.submit(null_tasks(tasks), {}); });
  if (!end) std::fprintf(stderr, "%s\n", end.error().text().c_str());
  if (end && end->error) std::fprintf(stderr, "%s\n", end->error->text().c_str());
  const bool good = end.ok() && end->clean && end->code == ExitCode::done;
  if (!good) std::_Exit(1);

  const double own = processor_seconds() - begun;
  const double mine = rank == 0 ? 0 : own;
  double others = 0;
  MPI_Reduce(&mine, &others, 1, MPI_DOUBLE, MPI_SUM, 0, MPI_COMM_WORLD);
  MPI_Finalize();
  if (rank == 0) std::printf("{\"rank0_cpu_s\": %.3f, \"others_cpu_s\": %.3f}\n", own, others);
  return 0;
}
