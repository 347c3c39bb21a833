// The real pilot against made-up nodes, in virtual time.
//
// The nodes do what agents do, and take no time for it but a task's own duration: a task ends when that is over, a replica is
// ready at once. The pilot looks at what the nodes report once per tick, as its inbox is emptied in a real run, so a freed core
// waits for half a tick on average. Time jumps from event to event; only the processor time that the pilot itself takes is real,
// and is measured. Nothing here decides anything.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/result.hpp"
#include "core/workflow_description.hpp"
#include "pilot/pilot.hpp"
#include "simulate/durations.hpp"

namespace trireme::simulate {

struct Options {
  std::vector<Resources> nodes;
  Distribution duration = Distribution::fixed(std::chrono::seconds(60));
  std::map<std::string, Distribution> durations;  ///< by the name of tasks, where it is another one
  std::vector<Duration> recorded;                 ///< else, where not empty: of each task, in the order of the workflow
  double failures = 0;                            ///< of all attempts, the part that fails
  Duration tick = std::chrono::milliseconds(1);
  std::uint64_t seed = 1;
};

/// What became of the tasks of one shape.
struct ShapeReport {
  pilot::Shape shape;
  std::uint64_t tasks = 0;
  double half_started_s = 0;  ///< when half of them had started
  double last_started_s = 0;
};

struct Report {
  pilot::TaskCounts tasks;
  std::uint64_t decisions = 0;   ///< attempts that were placed
  double pilot_s = 0;            ///< processor time in the pilot, while tasks ran; what measuring it takes is taken off
  double load_s = 0;             ///< real time in the pilot for submitting
  double wall_s = 0;             ///< real time of the whole simulation
  std::uint64_t bytes_held = 0;  ///< by what the process grew while the tasks were submitted
  std::uint64_t peak_bytes = 0;

  double makespan_s = 0;
  double critical_path_s = 0;     ///< the longest chain of tasks
  double work_bound_s = 0;        ///< all work over all cores, or over all GPUs, whichever is more
  double precedence_bound_s = 0;  ///< what comes after what, and work, together; 0: it was not worked out
  double last_start_s = 0;        ///< when nothing waits any more, the tail begins
  double utilisation = 0;         ///< of cores, over the makespan
  double utilisation_until_tail = 0;
  double free_core_wait_s = 0;  ///< how long a core stayed free until it was used, on average, until the tail
  std::vector<double> utilisation_over_time;  ///< means over equal parts of the makespan
  std::vector<ShapeReport> shapes;

  double bound_s() const { return std::max(critical_path_s, work_bound_s); }
  double strong_bound_s() const { return std::max(bound_s(), precedence_bound_s); }
  double decisions_per_s() const { return pilot_s > 0 ? static_cast<double>(decisions) / pilot_s : 0; }
};

/// Runs a workflow to its end. An error if it is wrong, has no tasks, does not fit the nodes, or takes more than 100 years.
Result<Report> run(WorkflowDescription workflow, const Options& options);

}  // namespace trireme::simulate
