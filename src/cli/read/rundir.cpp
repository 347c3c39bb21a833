#include "cli/read/rundir.hpp"

#include <algorithm>
#include <numeric>
#include <system_error>

namespace trireme::cli {
namespace {

namespace fs = std::filesystem;

bool is_run(const fs::path& path) {
  std::error_code error;
  const RunPaths paths(path);
  return fs::exists(paths.claim(), error) || fs::is_directory(paths.events(), error);
}

std::vector<std::string> names_of_runs(const fs::path& runs) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator entries(runs, error);
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    if (is_run(entries->path())) names.push_back(entries->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

Result<fs::path> find_last(const fs::path& runs) {
  std::optional<fs::path> last;
  WallTime newest = 0;
  for (const std::string& name : names_of_runs(runs)) {
    const auto claim = read_claim(runs / name);
    const WallTime started = claim.ok() ? claim->started : 0;
    if (last && started < newest) continue;
    last = runs / name;
    newest = started;
  }
  if (!last) {
    return Error{"there is no run yet", runs.string(), "name a run directory instead of `last`", ExitCode::usage};
  }
  return *last;
}

/// Edits that turn one word into the other.
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string did_you_mean(const std::string& typed, const std::vector<std::string>& candidates) {
  constexpr std::size_t longest = 200;
  constexpr std::size_t shown = 3;
  if (typed.empty() || typed.size() > longest) return {};
  std::vector<std::pair<std::size_t, std::string>> near;
  for (const std::string& candidate : candidates) {
    if (candidate.size() > longest) continue;
    // "train" is near to "train[seed=1]", as its name.
    const bool begins = candidate.starts_with(typed + "[");
    const std::size_t edits = begins ? 0 : distance(typed, candidate);
    if (edits <= std::max<std::size_t>(1, typed.size() / 3)) near.emplace_back(edits, candidate);
  }
  std::stable_sort(near.begin(), near.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::string out;
  for (std::size_t i = 0; i < std::min(near.size(), shown); ++i) {
    out += (i == 0 ? "did you mean " : " or ") + near[i].second;
  }
  return out.empty() ? out : out + "?";
}

Result<fs::path> find_run(const std::string& name) {
  return find_run(name, "trireme-runs");
}

Result<fs::path> find_run(const std::string& name, const fs::path& runs) {
  if (name == "last") return find_last(runs);
  if (is_run(name)) return fs::path(name);
  const bool is_plain_name = name.find('/') == std::string::npos;
  if (is_plain_name && !name.empty() && is_run(runs / name)) return runs / name;
  std::string hint = did_you_mean(name, names_of_runs(runs));
  if (hint.empty()) hint = "RUN is a run directory, a name under ./trireme-runs, or `last`";
  return Error{"there is no such run", name, hint, ExitCode::usage};
}

std::string LoadedRun::state() const {
  if (is_lost()) return "lost";
  if (!view.ended() && view.draining()) return "draining";
  return std::string(to_string(view.state()));
}

WallTime LoadedRun::present() const {
  return view.ended() || is_lost() ? view.last_event() : wall_now();
}

Result<LoadedRun> load_run(const std::string& name, Context& context,
                           const std::function<void(const Event& event)>& also) {
  const auto path = find_run(name);
  if (!path.ok()) return path.error();
  LoadedRun run{.paths = RunPaths(*path), .view = {}, .claim = {}, .problems = {}};
  if (const auto claim = read_claim(*path); claim.ok()) {
    // Before the log is read: a pilot that ends meanwhile has said so in the log by then.
    run.pilot = pilot_life(*claim);
    run.claim = *claim;
  }
  auto reader = JournalReader::open(run.paths.events());
  if (!reader.ok()) return reader.error();
  while (const auto event = reader->next()) {
    run.view.apply(*event);
    if (also) also(*event);
  }
  run.problems = reader->problems();
  for (const LogProblem& problem : run.problems) context.say("the event log: " + problem.text());
  return run;
}

Result<const observe::TaskRecord*> find_task(const LoadedRun& run, const std::string& id) {
  if (const observe::TaskRecord* task = run.view.find_task(id)) return task;
  std::vector<std::string> ids;
  for (const observe::TaskRecord& task : run.view.tasks()) ids.push_back(task.id);
  return Error{"the run has no task " + id, run.paths.root().string(), did_you_mean(id, ids), ExitCode::usage};
}

}  // namespace trireme::cli
