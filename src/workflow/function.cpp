#include "workflow/function.hpp"

#include <algorithm>
#include <array>

#include "core/defaults.hpp"
#include "workflow/json_document.hpp"

namespace trireme::workflow {
namespace {

// An executor is there before the call and lives on after it, with one environment and one place for all that it calls.
constexpr std::array<std::string_view, 16> not_for_functions{
    "command", "script", "ranks", "mpi",    "gpus",   "gpus_per_rank", "inputs",          "outputs",
    "env",     "cwd",    "stdin", "stdout", "stderr", "memory",        "memory_per_rank", "output"};

/// "{name}" as a whole, where the name has a value now.
void fill_in(Node& node, const Scope& scope) {
  for (Node& item : node.items) fill_in(item, scope);
  for (Entry& entry : node.entries) fill_in(entry.value, scope);
  const std::string& text = node.text;
  if (!node.is_scalar() || text.size() < 3 || text.front() != '{' || text.back() != '}') return;
  const std::string_view name = std::string_view(text).substr(1, text.size() - 2);
  if (!is_identifier(name)) return;
  if (auto value = scope.value(name)) {
    node.text = std::move(*value);
    node.quoted = false;
  }
}

/// The tasks whose results are arguments.
void find_results(const Node& node, std::vector<std::string>& out) {
  for (const Node& item : node.items) find_results(item, out);
  for (const Entry& entry : node.entries) find_results(entry.value, out);
  if (node.is_map() && node.entries.size() == 1 && node.entries[0].key == "result" &&
      node.entries[0].value.is_scalar()) {
    out.push_back(node.entries[0].value.text);
  }
}

void read_what(const Reader& reader, const Value& value, FunctionCall& out) {
  if (!expect_map(reader, value, "a map with library and symbol, or with python")) return;
  Fields fields(reader, value.node, value.path);
  Template library;
  std::string python;
  fields.text("library", library);
  fields.text("symbol", out.name);
  fields.text("python", python);
  std::string path;
  fields.text("path", path);
  const bool native = fields.has("library") || fields.has("symbol");
  fields.finish();
  if (native == fields.has("python")) {
    reader.error(value, native ? "this is a native and a Python function" : "there is no function",
                 "library and symbol, or python");
    return;
  }
  if (native) {
    out.kind = FunctionCall::Kind::native;
    if (fields.has("path")) reader.error(value, "path is for Python functions");
    if (library.empty() || out.name.empty()) {
      reader.error(value, "library or symbol is missing",
                   "the path of a shared library and the name of a function in it");
      return;
    }
    if (!library.open_names().empty()) {
      reader.error(value, "{" + library.open_names().front() + "} has no value here", "a path that is known now");
    }
    if (library.source().find('/') != std::string::npos) library.make_absolute(reader.scope().workflow_dir());
    out.library = library.source();
    return;
  }
  out.kind = FunctionCall::Kind::python;
  const std::size_t colon = python.find(':');
  if (colon == 0 || colon == std::string::npos || colon + 1 == python.size()) {
    reader.error(value, in_quotes(python) + " names no function", "\"module:function\"");
  }
  out.name = std::move(python);
  out.library = path.empty() || path.front() == '/' ? path : std::string(reader.scope().workflow_dir()) + "/" + path;
  if (out.library.empty()) out.library = std::string(reader.scope().workflow_dir());
}

}  // namespace

bool read_function(Fields& fields, const Reader& reader, TaskDescription& task) {
  const auto function = fields.take("function");
  const auto args = fields.take("args");
  if (!function) {
    if (args) reader.error(*args, "args are for functions", "a function beside it");
    return false;
  }
  read_what(reader, *function, task.function);
  for (const std::string_view key : not_for_functions) {
    if (const auto value = fields.has(key) ? fields.take(key) : std::nullopt) {
      reader.error(
          *value, "a function has no " + std::string(key), "",
          key == "command" || key == "script" ? "a task is a command, a script or a function" : "use a command");
    }
  }
  task.function.args = "[]";
  if (!args) return true;
  Node filled = args->node;
  fill_in(filled, reader.scope());
  std::vector<std::string> results;
  find_results(filled, results);
  task.function.uses_results = !results.empty();
  task.function.args = to_json(filled);
  if (task.function.args.size() > defaults::function_args) {
    reader.error(*args, "the arguments are longer than " + format_size(defaults::function_args), "",
                 "put them into a file");
  }
  for (std::string& id : results) {
    if (std::find(task.after.begin(), task.after.end(), id) == task.after.end()) task.after.push_back(std::move(id));
  }
  return true;
}

}  // namespace trireme::workflow
