// A made-up workload: so many tasks, mixed of a few kinds.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.hpp"
#include "core/task_family.hpp"
#include "simulate/durations.hpp"

namespace trireme::simulate {

struct Kind {
  std::string name;  ///< of its tasks
  TaskDescription task;
  double weight = 1;  ///< its part of all tasks, against the others'
};

/// "ranks=64,cores=56,gpus=8,memory=4G,priority=3,weight=0.001,name=wide"; all may be left out.
Result<Kind> parse_kind(std::string_view text);

/// `count` tasks of these kinds, in runs of `run_length` of one kind, whose order the seed decides.
std::vector<TaskFamily> make_workload(const std::vector<Kind>& kinds, std::uint32_t count, std::uint32_t run_length,
                                      std::uint64_t seed);

}  // namespace trireme::simulate
