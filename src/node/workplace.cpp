#include "node/workplace.hpp"

#include <cerrno>
#include <fstream>
#include <system_error>

#include "node/spawner_factory.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

Status write_file(const fs::path& path, const std::string& text) {
  errno = 0;
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (file) return {};
  return Error{"cannot write '" + path.string() + "': " + std::generic_category().message(errno), "", "",
               ExitCode::runtime_failed};
}

}  // namespace

Status prepare(const Preparation& preparation, const std::stop_token& stop) {
  if (auto made = make_folder(preparation.folder); !made.ok()) return made;
  for (const fs::path& folder : preparation.folders) {
    if (auto made = make_folder(folder); !made.ok()) return made;
  }
  for (const auto& [path, text] : preparation.files) {
    if (auto written = write_file(path, text); !written.ok()) return written;
  }
  return stage_in(preparation.folder, preparation.inputs, stop);
}

std::string path_under(const fs::path& folder, const std::string& path) {
  return (folder / path).lexically_normal().string();
}

bool mentions(const Template& text, std::string_view name) {
  for (const std::string& open : text.open_names()) {
    if (open == name) return true;
  }
  return false;
}

bool mentions(const EnvironmentVariables& variables, std::string_view name) {
  for (const auto& [variable, value] : variables) {
    if (mentions(value, name)) return true;
  }
  return false;
}

Result<std::vector<std::string>> make_command(const std::vector<Template>& command, const std::string& workflow_dir,
                                              const Template::Lookup& lookup) {
  std::vector<std::string> argv;
  argv.reserve(command.size());
  for (const Template& word : command) {
    auto text = word.expand(lookup);
    if (!text) return std::move(text).error();
    argv.push_back(std::move(*text));
  }
  if (argv.empty()) return Error{"there is no command", "", "", ExitCode::usage};
  if (argv.front().find('/') != std::string::npos) argv.front() = path_under(workflow_dir, argv.front());
  return argv;
}

Result<std::vector<std::string>> make_program(const std::vector<Template>& command, const Template& script,
                                              const std::filesystem::path& file, const std::string& workflow_dir,
                                              const Template::Lookup& lookup, Preparation& preparation) {
  if (!command.empty()) return make_command(command, workflow_dir, lookup);
  auto text = script.expand(lookup);
  if (!text) return std::move(text).error();
  preparation.files.emplace_back(file, std::move(*text));
  return std::vector<std::string>{"bash", file.string()};
}

Variables make_variables(const NodeContext& node, const Environments::Made& changes, const Allocation& allocation,
                         const std::string& attempt) {
  Variables variables = node.base;
  // Before what the `environment` says, which may well show some to who asked for none.
  if (node.node.gpu_vendor && allocation.gpus.empty()) hide_gpus(*node.node.gpu_vendor, variables);
  if (changes) apply(*changes, variables);
  add_no_proxy(variables);
  variables.insert_or_assign(std::string(spawner::attempt_variable), attempt);
  variables.insert_or_assign(std::string(spawner::run_variable), node.run.run_id);
  variables.insert_or_assign("TRIREME_RUN_DIR", node.run.run_dir);
  variables.insert_or_assign(std::string(node_variable), std::to_string(node.rank));
  variables.insert_or_assign("TRIREME_CORES", std::to_string(allocation.cores.size()));
  std::vector<NodeCore> cores;
  for (const std::uint32_t core : allocation.cores) cores.push_back(node.node.cores[core]);
  add_threads(cores, variables);
  std::vector<NodeGpu> gpus;
  for (const auto& part : allocation.gpus) gpus.push_back(node.node.gpus[part.gpu]);
  add_gpus(gpus, variables);
  if (gpus.size() == 1 && allocation.gpus.front().amount < whole_gpu) {
    add_gpu_share(gpus.front(), allocation.gpus.front().amount, variables);
  }
  return variables;
}

std::vector<std::uint32_t> cpus_of(const NodeResources& node, const Allocation& allocation) {
  std::vector<std::uint32_t> cpus;
  const auto add = [&](const NodeCore& core) { cpus.insert(cpus.end(), core.cpus.begin(), core.cpus.end()); };
  if (allocation.cores.empty()) {
    for (const NodeCore& core : node.cores) add(core);
  } else {
    for (const std::uint32_t core : allocation.cores) add(node.cores[core]);
  }
  return cpus;
}

std::uint64_t to_milliseconds(Duration duration) {
  // A millisecond at least: zero would mean none.
  const auto count = std::chrono::ceil<std::chrono::milliseconds>(duration).count();
  return count < 0 ? 0 : static_cast<std::uint64_t>(count);
}

}  // namespace trireme
