// trireme status RUN: how a run stands.
#include <ostream>

#include "cli/read/show.hpp"
#include "cli/read/table.hpp"
#include "core/words.hpp"
#include "observe/summary.hpp"

namespace trireme::cli {
namespace {

Json node_json(const observe::NodeRecord& node) {
  return {{"rank", node.rank},
          {"host", node.host},
          {"cores", node.resources.cores},
          {"gpus", static_cast<double>(node.resources.gpus) / whole_gpu},
          {"memory", node.resources.memory},
          {"lost", node.lost},
          {"reason", node.reason}};
}

Json status_json(const LoadedRun& run) {
  // The summary's keys, so that a script reads a live run as it reads a finished one, and what only a live run has.
  Json json = Json::parse(observe::summary_json(run.view, run.paths, run.present()));
  json["state"] = run.state();
  json["directory"] = run.paths.root().string();
  Json& tasks = json["tasks"];
  tasks["waiting"] = run.view.count(TaskState::waiting);
  tasks["ready"] = run.view.count(TaskState::ready);
  tasks["running"] = run.view.count(TaskState::running);
  json["nodes_joined"] = Json::array();
  for (const auto& [rank, node] : run.view.nodes()) json["nodes_joined"].push_back(node_json(node));
  for (const observe::ServiceRecord& service : run.view.services()) {
    json["services"][service.name]["ready"] = service.ready();
    json["services"][service.name]["queued"] = run.view.queued(service);
  }
  json["warnings"] = run.view.warnings();
  json["last_event"] = time_or_null(run.view.last_event());
  return json;
}

void print_running(const LoadedRun& run, std::ostream& out) {
  constexpr std::size_t shown = 10;
  if (run.view.ended() || run.view.count(TaskState::running) == 0) return;
  Table table({run.is_lost() ? "RAN AT ITS END" : "RUNNING", "NODE", "SINCE", "COMMAND"});
  std::size_t rows = 0;
  for (const observe::TaskRecord& task : run.view.tasks()) {
    if (task.state != TaskState::running || task.parts.empty()) continue;
    if (rows++ == shown) break;
    constexpr std::size_t longest = 60;
    table.add({task.id, std::to_string(task.parts.back().rank), format_wall_time(task.changed),
               task.command.substr(0, longest)});
  }
  out << '\n';
  table.print(out);
  if (run.view.count(TaskState::running) > shown) {
    out << "… and " << run.view.count(TaskState::running) - shown << " more\n";
  }
}

void print_status(const LoadedRun& run, std::ostream& out) {
  out << observe::summary_text(run.view, run.paths, run.present(), run.state());
  if (run.is_lost()) {
    out << "The run ended without a word (killed?); its last event is of " << format_wall_time(run.view.last_event())
        << ". `trireme run --resume " << run.paths.root().string() << "` goes on with it.\n";
  } else if (run.view.draining()) {
    out << "It is draining: " << run.view.drain_reason() << "\n";
  }
  for (const auto& [rank, node] : run.view.nodes()) {
    if (node.lost) out << "Node " << rank << " (" << node.host << ") was lost: " << printable(node.reason) << "\n";
  }
  for (const std::string& warning : run.view.warnings())
    out << "Warning: " << printable(warning, Newlines::kept) << "\n";
  print_running(run, out);
}

}  // namespace

void add_status(CLI::App& app, Context& context) {
  add_display(app, context, {"status", "How a run stands", status_json, print_status});
}

}  // namespace trireme::cli
