// The place where a process of a task or a service runs: its folder, its command line, its environment.
//
// Plans are made on the loop, without I/O, so that every mistake in a template is found before anything is touched; prepare()
// then makes what they need, on a FileWorker where files have to be copied.
#pragma once

#include <filesystem>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "node/node_context.hpp"
#include "node/staging.hpp"

namespace trireme {

/// What has to be there before processes start.
struct Preparation {
  std::filesystem::path folder;                ///< the attempt's
  std::vector<std::filesystem::path> folders;  ///< more of them: scratch, those of named output files
  std::vector<FileMove> inputs;
  std::vector<std::pair<std::filesystem::path, std::string>> files;  ///< to be written: path and contents
};
Status prepare(const Preparation& preparation, const std::stop_token& stop);

/// `path` as it stands if it is absolute, else under `folder`.
std::string path_under(const std::filesystem::path& folder, const std::string& path);

/// Whether a placeholder is still open in a text.
bool mentions(const Template& text, std::string_view name);
template <typename Texts>
bool any_mentions(const Texts& texts, std::string_view name) {
  for (const Template& text : texts) {
    if (mentions(text, name)) return true;
  }
  return false;
}
bool mentions(const EnvironmentVariables& variables, std::string_view name);

/// The argument list of a command. A program named with a slash is found from the workflow file's folder.
Result<std::vector<std::string>> make_command(const std::vector<Template>& command, const std::string& workflow_dir,
                                              const Template::Lookup& lookup);

/// The argument list of what a task or service runs: its command, or its script, which is to be put into `file` first.
Result<std::vector<std::string>> make_program(const std::vector<Template>& command, const Template& script,
                                              const std::filesystem::path& file, const std::string& workflow_dir,
                                              const Template::Lookup& lookup, Preparation& preparation);

/// The variables that all processes of a node share, with what `changes` (if any) changed, for one with this allocation.
/// `attempt` is unique, and tells the spawner whose a stray process is.
Variables make_variables(const NodeContext& node, const Environments::Made& changes, const Allocation& allocation,
                         const std::string& attempt);

/// The hardware threads that a process is bound to: those of its cores; with none of its own, all of the node's.
std::vector<std::uint32_t> cpus_of(const NodeResources& node, const Allocation& allocation);

std::uint64_t to_milliseconds(Duration duration);

}  // namespace trireme
