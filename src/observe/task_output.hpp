// What one process of an attempt wrote, wherever it is kept: in a file of its own, or in the streamed output of its node
// (docs/spec/output.md). Read during the run and after it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/run_paths.hpp"
#include "journal/output_reader.hpp"
#include "observe/run_view.hpp"

namespace trireme::observe {

class TaskOutput {
 public:
  TaskOutput(const RunPaths& paths, const TaskRecord& task, std::uint32_t attempt, std::uint32_t rank, bool is_stderr);

  /// The file of its own, whether it is there or not.
  const std::filesystem::path& file() const { return file_; }
  /// False where the run directory is there without it. A call of a function never has one.
  bool may_have_file() const;

  /// Hands on what has been written since the last call.
  void read_new(const std::function<void(std::string_view bytes)>& take);
  /// Pieces of streamed output that were damaged, so far.
  std::uint64_t damaged() const;
  /// The last bytes; at most so many.
  std::string tail(std::size_t bytes);

 private:
  std::filesystem::path run_;
  std::filesystem::path file_;
  std::uint64_t file_end_ = 0;       ///< of what was read
  std::vector<OutputReader> nodes_;  ///< one of each that had a part of the attempt
};

/// Where people find what the last attempt's first process said on stderr: the path of a file, or the command that shows it;
/// empty where it was not kept.
std::string where_stderr_is(const RunPaths& paths, const TaskRecord& task, const AttemptPart& part);

}  // namespace trireme::observe
