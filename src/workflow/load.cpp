#include "workflow/load.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "core/defaults.hpp"
#include "workflow/document.hpp"
#include "workflow/parameters.hpp"
#include "workflow/program.hpp"
#include "workflow/reader.hpp"
#include "workflow/references.hpp"
#include "workflow/services.hpp"
#include "workflow/tasks.hpp"
#include "workflow/wfformat.hpp"

namespace trireme {
namespace workflow {
namespace {

/// A name for a workflow whose file gives none: that of the file.
std::string name_of_file(const std::filesystem::path& file) {
  std::string out = file.stem().string();
  for (char& c : out) {
    const bool plain =
        (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
    if (!plain) c = '-';
  }
  out.erase(0, out.find_first_not_of(".-"));
  return out.empty() ? "workflow" : out;
}

std::vector<std::string_view> keys_of(const std::optional<Value>& section) {
  std::vector<std::string_view> out;
  if (!section) return out;
  for (const Entry& entry : section->node.entries) out.push_back(entry.key);
  return out;
}

class Loader {
 public:
  Loader(const std::string& file, const std::filesystem::path& directory, std::size_t most_tasks,
         Diagnostics& diagnostics)
      : file_(file), directory_(directory.string()), most_tasks_(most_tasks), diagnostics_(diagnostics) {}

  WorkflowDescription load(const Node& root, const std::vector<std::string>& settings) {
    Parameters parameters;
    const Scope scope(parameters, directory_, {});
    const Reader reader(scope, diagnostics_);
    if (!expect_map(reader, {root, Path(), root.at}, "a map with name, tasks and services")) {
      return {};
    }
    const Path path;
    Fields fields(reader, root, path);
    const auto section = [&](std::string_view key) {
      auto value = fields.take(key);
      if (value && !expect_map(reader, *value, "a map of names and what they stand for")) {
        value.reset();
        broken_ = true;
      }
      return value;
    };
    const auto parameter_section = section("parameters");
    parameters =
        read_parameters(parameter_section ? &parameter_section->node : nullptr, settings, directory_, diagnostics_);
    read_name(fields, reader);
    read_output(fields, workflow_.output);
    fields.choice("on_failure", workflow_.stop_on_failure, {{"stop", true}, {"continue", false}});
    const auto environments = section("environments");
    const auto services = section("services");
    const auto tasks = section("tasks");
    fields.finish();
    if (keys_of(tasks).empty() && keys_of(services).empty() && !broken_) {
      diagnostics_.error({1, 1}, "", "there is nothing to do", "tasks or services");
    }

    workflow_.directory = directory_;
    if (environments) {
      workflow_.environments = read_environments(*environments, parameters, directory_, diagnostics_);
    }
    Services read_s;
    if (services) read_s = read_services(*services, parameters, directory_, diagnostics_);
    Tasks read_t;
    if (tasks) read_t = read_tasks(*tasks, parameters, directory_, most_tasks_, diagnostics_);
    check_references({keys_of(tasks), keys_of(services), keys_of(environments)}, read_t, read_s, diagnostics_);
    // After an error a text may not have been read that uses it.
    if (diagnostics_.error_count() == 0) {
      warn_of_unused(parameters, diagnostics_);
      warn_of_unused_environments(environments, read_s, read_t);
    }
    workflow_.services = std::move(read_s.all);
    workflow_.tasks = std::move(read_t.all);
    return std::move(workflow_);
  }

 private:
  void read_name(Fields& fields, const Reader& reader) {
    workflow_.name = name_of_file(file_);
    const auto value = fields.take("name");
    if (!value) return;
    if (auto name = reader.text(*value, "a name")) {
      if (check_name(reader, *value, *name)) workflow_.name = std::move(*name);
    }
  }

  void warn_of_unused_environments(const std::optional<Value>& section, const Services& services, const Tasks& tasks) {
    std::unordered_set<std::string_view> used;
    for (const ServiceDescription& service : services.all) used.insert(service.environment);
    for (const TaskFamily& family : tasks.all) used.insert(family.shared().environment);
    if (!section) return;
    for (const Entry& entry : section->node.entries) {
      if (used.contains(entry.key)) continue;
      diagnostics_.warning(entry.key_at, "environments." + entry.key, "no task or service uses the environment");
    }
  }

  const std::string& file_;
  std::string directory_;
  std::size_t most_tasks_;
  Diagnostics& diagnostics_;
  WorkflowDescription workflow_;
  bool broken_ = false;  ///< a section is no map
};

bool read_file(const std::filesystem::path& file, std::string& text, Diagnostics& diagnostics) {
  const auto fail = [&](const std::string& what, const std::string& hint = "") {
    diagnostics.error({}, "", what, "", hint);
    return false;
  };
  std::error_code problem;
  if (std::filesystem::is_directory(file, problem)) {
    return fail("this is a folder", "name the workflow file in it");
  }
  const auto too_long = [&] { return fail("the file is longer than " + format_size(defaults::workflow_bytes)); };
  const auto size = std::filesystem::file_size(file, problem);  // fails for a pipe, which may be read all the same
  if (!problem && size > defaults::workflow_bytes) return too_long();
  errno = 0;
  std::ifstream in(file, std::ios::binary);
  if (!in) return fail(std::string("cannot be opened: ") + std::strerror(errno));
  std::vector<char> block(64u << 10);
  while (in) {
    in.read(block.data(), static_cast<std::streamsize>(block.size()));
    text.append(block.data(), static_cast<std::size_t>(in.gcount()));
    if (text.size() > defaults::workflow_bytes) return too_long();
  }
  return in.eof() ? true : fail("cannot be read");
}

LoadResult finish(WorkflowDescription workflow, Diagnostics& diagnostics) {
  LoadResult result{std::move(workflow), diagnostics.take_errors(), diagnostics.take_warnings()};
  const auto by_place = [](const Diagnostic& a, const Diagnostic& b) {
    return std::pair(a.line, a.column) < std::pair(b.line, b.column);
  };
  std::stable_sort(result.errors.begin(), result.errors.end(), by_place);
  std::stable_sort(result.warnings.begin(), result.warnings.end(), by_place);
  return result;
}

}  // namespace
}  // namespace workflow

LoadResult load_workflow_text(std::string_view text, const std::string& file, const std::filesystem::path& directory,
                              const std::vector<std::string>& settings, std::size_t most_tasks) {
  workflow::Diagnostics diagnostics(file);
  WorkflowDescription description;
  if (const auto root = workflow::read_document(text, diagnostics)) {
    description = workflow::Loader(file, directory, most_tasks, diagnostics).load(*root, settings);
  }
  return workflow::finish(std::move(description), diagnostics);
}

LoadResult load_workflow(const std::filesystem::path& file, const std::vector<std::string>& settings,
                         std::optional<double> time_scale) {
  workflow::Diagnostics diagnostics(file.string());
  std::string text;
  if (!workflow::read_file(file, text, diagnostics)) return workflow::finish({}, diagnostics);
  std::error_code problem;
  const std::filesystem::path absolute = std::filesystem::absolute(file, problem);
  const std::filesystem::path directory = absolute.lexically_normal().parent_path();
  if (is_wfformat(text)) {
    for (const std::string& setting : settings) {
      diagnostics.option_error(setting, "an instance in WfFormat has no parameters");
    }
    LoadResult result = replay_of(read_wfformat(text, file.string()), time_scale.value_or(1.0), directory);
    for (Diagnostic& error : diagnostics.take_errors()) result.errors.push_back(std::move(error));
    return result;
  }
  if (time_scale) {
    diagnostics.error({}, "", "--time-scale is for instances in WfFormat");
    return workflow::finish({}, diagnostics);
  }
  return load_workflow_text(text, file.string(), directory, settings);
}

std::string diagnostics_json(const LoadResult& result) {
  const auto list = [](const std::vector<Diagnostic>& diagnostics) {
    auto out = nlohmann::ordered_json::array();
    for (const Diagnostic& d : diagnostics) {
      out.push_back({{"file", d.file},
                     {"line", d.line},
                     {"column", d.column},
                     {"key", d.key},
                     {"message", d.message},
                     {"expected", d.expected},
                     {"hint", d.hint},
                     {"text", d.text()}});
    }
    return out;
  };
  nlohmann::ordered_json out{
      {"valid", result.ok()}, {"errors", list(result.errors)}, {"warnings", list(result.warnings)}};
  // A name from the command line or of the file need not be UTF-8.
  return out.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace trireme
