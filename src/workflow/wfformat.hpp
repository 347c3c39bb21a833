// WfCommons' WfFormat: instances of workflows as they once ran, for replay.
//
// The shape of version 1.5 and later (a specification and an execution) is read, and that of 1.4 and before (one list of tasks,
// each with its files, runtime and machine). A task is replayed as a sleep of its runtime times a scale, on as many cores as it
// had, after its parents; where none are told, after those that made its input files. One that ran on several machines at once has a
// process for each of them, so that it fits nodes like these. What a file holds and how much memory a task used is not replayed.
//
// Runtimes are known here, so the tasks of a replay stand in the order of their upward ranks (HEFT's): the pilot starts first what
// comes first, where there is a choice, and so the longest chain goes on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "workflow/load.hpp"

namespace trireme {

struct WfTask {
  std::string id;
  std::string name;
  double runtime = 0;  ///< seconds
  std::uint32_t cores = 1;
  std::uint32_t machines = 1;  ///< that it ran on at once; at most one for each core
  std::uint64_t memory = 0;    ///< bytes that it used at most; 0: not told
  std::vector<std::uint32_t> parents;
};

struct WfInstance {
  std::string file;  ///< as it was named
  std::string name;
  std::string version;  ///< of the schema
  double makespan = 0;  ///< seconds, as it once ran; 0: not told
  std::vector<WfTask> tasks;
  std::size_t untimed = 0;  ///< tasks whose runtime is not told
  std::vector<Diagnostic> errors;
  bool ok() const { return errors.empty(); }
};

/// Whether a text is one, as far as its outermost keys tell; not whether it is a good one.
bool is_wfformat(std::string_view text);

/// `file` is its name in messages.
WfInstance read_wfformat(std::string_view text, const std::string& file);

/// The replay of an instance. Each task takes `time_scale` times as long as it once did.
LoadResult replay_of(const WfInstance& instance, double time_scale, const std::filesystem::path& directory);

}  // namespace trireme
