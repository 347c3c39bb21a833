// trireme explain RUN TASK: why a task waits, failed or was skipped; what a function returned.
#include "observe/explain.hpp"

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <ostream>

#include "cli/command.hpp"
#include "cli/read/json.hpp"
#include "cli/read/rundir.hpp"
#include "cli/read/tail.hpp"
#include "core/words.hpp"
#include "observe/task_output.hpp"

namespace trireme::cli {
namespace {

constexpr std::size_t shown_lines = 20;

struct ExplainOptions {
  std::string run;
  std::string task;
  bool json = false;
};

Json part_json(const observe::AttemptPart& part) {
  const bool over = part.phase == observe::AttemptPart::Phase::over;
  return {{"attempt", part.attempt},
          {"rank", part.rank},
          {"pid", part.pid},
          {"placed", time_or_null(part.placed)},
          {"started", time_or_null(part.started)},
          {"ended", time_or_null(part.ended)},
          {"outcome", over ? Json(to_string(part.outcome)) : Json()},
          {"exit_code", over ? Json(part.exit_code) : Json()},
          {"signal", over ? Json(part.signal) : Json()},
          {"reason", part.reason},
          {"max_rss", part.usage.max_rss},
          {"cores", part.cores},
          {"gpus", part.gpus}};
}

/// Finds in a run's events what its task returned, if it is a function: views do not keep results, which may be many and large.
class ResultSearch {
 public:
  explicit ResultSearch(std::string task) : task_(std::move(task)) {}
  void operator()(const Event& event) {
    if (std::holds_alternative<events::RunStarted>(event.body)) index_.reset();  // tasks are numbered anew
    if (const auto* submitted = std::get_if<events::TaskSubmitted>(&event.body); submitted && submitted->id == task_) {
      index_ = submitted->task;
    }
    const auto* ended = std::get_if<events::AttemptEnded>(&event.body);
    if (ended && index_ == ended->attempt.task) result_ = ended->end.result;
  }
  /// As JSON; empty where it returned nothing.
  const std::string& result() const { return result_; }

 private:
  std::string task_;
  std::optional<TaskIndex> index_;
  std::string result_;
};

/// As much of it as a terminal is for.
std::string shown(const std::string& result) {
  constexpr std::size_t longest = 1000;
  if (result.size() <= longest) return result;
  std::size_t end = longest;
  while (end > 0 && (static_cast<unsigned char>(result[end]) & 0xC0) == 0x80) --end;  // not inside of a character
  return result.substr(0, end) + "… (" + std::to_string(result.size()) + " bytes: --json shows all of it)";
}

void show(const ExplainOptions& options, Context& context) {
  ResultSearch search(options.task);
  const auto run = load_run(options.run, context, std::ref(search));
  if (!run.ok()) return context.fail(run.error());
  const auto found = find_task(*run, options.task);
  if (!found.ok()) return context.fail(found.error());
  const observe::TaskRecord& task = **found;

  const observe::Explanation why = observe::explain(run->view, task);
  const observe::AttemptPart* part = task.verdict();
  std::string log;
  std::vector<std::string> tail;
  if (part != nullptr) {
    log = observe::where_stderr_is(run->paths, task, *part);
    observe::TaskOutput output(run->paths, task, part->attempt, 0, true);
    if (task.state == TaskState::failed) tail = last_lines(output.tail(longest_tail), longest_tail, shown_lines);
  }

  if (options.json) {
    Json json{{"task", task.id},          {"run", run->state()},         {"state", to_string(task.state)},
              {"reason", task.reason},    {"explanation", why.headline}, {"causes", Json::array()},
              {"attempts", Json::array()}};
    for (const observe::Cause& cause : why.causes) {
      json["causes"].push_back({{"kind", to_string(cause.kind)}, {"name", cause.name}, {"detail", cause.detail}});
    }
    for (const observe::AttemptPart& one : task.parts) json["attempts"].push_back(part_json(one));
    json["stderr"] = part != nullptr ? Json(log) : Json();
    json["stderr_tail"] = tail;
    if (!search.result().empty()) json["result"] = Json::parse(search.result(), nullptr, false);
    print(context.out, json);
    return;
  }

  context.out << printable(why.headline) << '\n';
  for (const observe::Cause& cause : why.causes) {
    context.out << "  " << printable((cause.name.empty() ? "" : cause.name + " ") + cause.detail) << '\n';
  }
  for (const std::string& attempt : why.attempts) context.out << "  " << printable(attempt) << '\n';
  if (!search.result().empty()) context.out << "  result: " << shown(search.result()) << '\n';
  if (!log.empty()) context.out << "  stderr: " << log << '\n';
  for (const std::string& line : tail) context.out << "    | " << printable(line, Newlines::kept) << '\n';
  if (run->is_lost()) context.out << "  the run itself ended without a word (killed?)\n";
}

}  // namespace

void add_explain(CLI::App& app, Context& context) {
  auto options = std::make_shared<ExplainOptions>();
  CLI::App* command = app.add_subcommand("explain", "Why a task waits, failed or was skipped");
  command->add_option("RUN", options->run, "Run directory, name under ./trireme-runs, or `last`")->required();
  command->add_option("TASK", options->task, "Id of the task")->required();
  command->add_flag("--json", options->json, "Print JSON");
  command->callback([options, &context] { show(*options, context); });
}

}  // namespace trireme::cli
