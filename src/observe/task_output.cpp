#include "observe/task_output.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <system_error>

namespace trireme::observe {
namespace {

namespace fs = std::filesystem;

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

}  // namespace

TaskOutput::TaskOutput(const RunPaths& paths, const TaskRecord& task, std::uint32_t attempt, std::uint32_t rank,
                       bool is_stderr)
    : run_(paths.root()) {
  file_ = paths.attempt(task.id, attempt) / numbered(std::string(is_stderr ? stderr_file : stdout_file), rank);
  std::vector<Rank> seen;
  for (const AttemptPart& part : task.parts) {
    if (part.attempt != attempt || std::find(seen.begin(), seen.end(), part.rank) != seen.end()) continue;
    seen.push_back(part.rank);
    nodes_.emplace_back(paths.output(part.rank), paths.output_index(part.rank),
                        OutputSource{path_of_id(task.id), attempt, rank, is_stderr});
  }
}

bool TaskOutput::may_have_file() const {
  return is_there(file_) || !is_there(run_);
}

void TaskOutput::read_new(const std::function<void(std::string_view)>& take) {
  std::ifstream file(file_, std::ios::binary);
  file.seekg(static_cast<std::streamoff>(file_end_));
  std::array<char, 64 << 10> buffer{};
  while (file) {
    file.read(buffer.data(), buffer.size());
    const auto got = static_cast<std::size_t>(file.gcount());
    if (got > 0) take({buffer.data(), got});
    file_end_ += got;
  }
  for (OutputReader& node : nodes_) node.read_new(take);
}

std::uint64_t TaskOutput::damaged() const {
  std::uint64_t count = 0;
  for (const OutputReader& node : nodes_) count += node.damaged();
  return count;
}

std::string TaskOutput::tail(std::size_t bytes) {
  std::string out;
  if (std::ifstream file(file_, std::ios::binary | std::ios::ate); file) {
    const auto size = static_cast<std::size_t>(std::max<std::streamoff>(0, file.tellg()));
    out.resize(std::min(size, bytes));
    file.seekg(static_cast<std::streamoff>(size - out.size()));
    file.read(out.data(), static_cast<std::streamsize>(out.size()));
    out.resize(static_cast<std::size_t>(file.gcount()));
  }
  for (OutputReader& node : nodes_) out += node.tail(bytes);
  if (out.size() > bytes) out.erase(0, out.size() - bytes);
  return out;
}

std::string where_stderr_is(const RunPaths& paths, const TaskRecord& task, const AttemptPart& part) {
  TaskOutput output(paths, task, part.attempt, 0, true);
  if (!is_there(output.file()) && !output.tail(1).empty()) {
    return "trireme logs " + paths.root().string() + " '" + task.id + "' --stderr";
  }
  return output.may_have_file() ? output.file().string() : "";
}

}  // namespace trireme::observe
