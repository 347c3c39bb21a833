// How short a schedule can be at best, seen from what must come after what.
//
// No schedule is shorter than the longest chain, or than all work over all cores. Where tasks wait for each other, both are often
// far from what any schedule can reach. This bound looks at parts of the workflow (Fernandez and Bussell's idea):
//
// * A task has a head, before which it cannot start: what comes before it must be over, as a chain and as work on all cores. And
//   it has a tail, which must pass after its end, by the same rule read backwards.
// * Take any tasks with heads of at least a and tails of at least b. All of them run after a, and b before the end of all. Between
//   these they take at least their work over all cores; and where km + 1 of them run on m cores, some core runs k + 1 of them
//   one after the other, so they take at least as long as the k + 1 shortest of the km + 1 longest.
//
// Only a bound: a schedule that meets it need not exist. Memory, GPUs and the borders between nodes are left out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace trireme::simulate {

struct Job {
  double duration = 0;      ///< seconds
  std::uint64_t cores = 1;  ///< all of its ranks'
  std::vector<std::uint32_t> after;
};

constexpr std::size_t most_bounded_jobs = 4096;  ///< it costs the square of their number

/// Seconds; none if the jobs are too many for it, or wait for each other in a circle.
std::optional<double> precedence_bound(const std::vector<Job>& jobs, std::uint64_t cores);

}  // namespace trireme::simulate
