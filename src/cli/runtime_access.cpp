#include "cli/runtime_access.hpp"

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>
#include <set>

#include "cli/command.hpp"
#include "cli/read/rundir.hpp"
#include "core/defaults.hpp"
#include "runtime/request_folder.hpp"
#include "runtime/socket_client.hpp"

namespace trireme::cli {
namespace {

using Json = nlohmann::ordered_json;

// One wait as the run sees it; a longer one is made of several, so that a lost connection is noticed.
constexpr auto wait_slice = std::chrono::seconds(60);
// What an answer may take beyond the wait itself: through the request folder the run looks twice a second.
constexpr auto answer_slack = std::chrono::seconds(30);

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

Error error_of(int status, const std::string& body) {
  const Json json = Json::parse(body, nullptr, false);
  std::string text = "the run answered with status " + std::to_string(status);
  if (json.is_object() && json.contains("errors")) {
    text.clear();
    for (const Json& error : json["errors"]) text += (text.empty() ? "" : "\n") + error.value("text", "");
  } else if (json.is_object() && json.contains("error") && json["error"].is_object()) {
    text = json["error"].value("message", text);
  }
  const bool usage = status >= 400 && status < 500 && status != 422;
  return {text, "", "", usage ? ExitCode::usage : status == 422 ? ExitCode::does_not_fit : ExitCode::failed};
}

}  // namespace

Result<RuntimeAccess> RuntimeAccess::find(const std::string& run) {
  RuntimeAccess access;
  if (!run.empty()) {
    auto run_dir = find_run(run);
    if (!run_dir) return run_dir.error();
    if (auto claim = read_claim(*run_dir); claim && pilot_life(*claim) == PilotLife::gone) {
      return Error{"the run is not on any more", run_dir->string(), "", ExitCode::usage};
    }
    access.run_dir_ = run_dir->string();
    return access;
  }
  access.socket_ = variable("TRIREME_SOCKET");
  access.token_ = variable("TRIREME_TOKEN");
  if (access.socket_.empty()) {
    return Error{"this is no task of a run", "", "name the run with --run RUN", ExitCode::usage};
  }
  // A task in another network or mount namespace may not see the socket, but the run directory.
  std::error_code error;
  if (!std::filesystem::exists(access.socket_, error)) access.run_dir_ = variable("TRIREME_RUN_DIR");
  return access;
}

Result<Json> RuntimeAccess::call(const std::string& method, const std::string& target, const std::string& body,
                                 std::chrono::milliseconds deadline) const {
  int status = 0;
  std::string text;
  if (!run_dir_.empty()) {
    auto answer = call_through_folder(run_dir_, method, target, body, deadline);
    if (!answer) return answer.error();
    status = answer->status;
    text = std::move(answer->body);
  } else {
    auto answer = ask_socket(
        {.socket = socket_, .token = token_, .method = method, .target = target, .body = body, .where = "the run"},
        deadline);
    if (!answer) return answer.error();
    status = answer->status;
    text = std::move(answer->body);
  }
  if (status < 200 || status >= 300) return error_of(status, text);
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) return Error{"the run's answer is no JSON", "", "", ExitCode::runtime_failed};
  return json;
}

Result<std::vector<Json>> RuntimeAccess::wait(const std::vector<std::string>& ids, bool any,
                                              std::chrono::milliseconds timeout) const {
  const auto end = std::chrono::steady_clock::now() + timeout;
  // An answer tells of so many ends at most: more ids are asked for piece by piece.
  const std::size_t most = any ? defaults::runtime_wait_tasks : defaults::runtime_page;
  std::vector<Json> ended;
  std::vector<std::string> open = ids;
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    const auto slice = std::min<std::chrono::milliseconds>(std::max(left, std::chrono::milliseconds(0)), wait_slice);
    const std::size_t asked = std::min(most, open.size());
    const Json body{{"ids", std::vector<std::string>(open.begin(), open.begin() + static_cast<std::ptrdiff_t>(asked))},
                    {"for", any ? "any" : "all"},
                    {"timeout", static_cast<double>(slice.count()) / 1000.0}};
    auto answer =
        call("POST", "/runtime/wait", body.dump(-1, ' ', false, Json::error_handler_t::replace), slice + answer_slack);
    if (!answer) return answer.error();
    std::set<std::string> told;
    for (Json& task : (*answer)["tasks"]) {
      told.insert(task.value("id", ""));
      ended.push_back(std::move(task));
    }
    std::erase_if(open, [&](const std::string& id) { return told.contains(id); });
    const bool over = any ? !ended.empty() : open.empty();
    if (over || (left <= slice && !answer->value("complete", false))) return ended;
  }
}

void add_run_option(CLI::App& command, std::string& run) {
  command.add_option("--run", run,
                     "the run to ask, from outside of its tasks: a path, a name under ./trireme-runs, or `last`");
}

void print_ends(const std::vector<Json>& tasks, std::size_t expected, bool json, Context& context) {
  if (json) context.out << Json(tasks).dump(2) << '\n';
  for (const Json& task : tasks) {
    const std::string state = task.value("state", "");
    if (!json) context.out << task.value("id", "") << ' ' << state << '\n';
    if (state == "done") continue;
    context.exit_code = ExitCode::failed;
    context.say("task " + task.value("id", "") + " " + state +
                (task.contains("reason") ? ": " + task.value("reason", "") : ""));
  }
  if (tasks.size() < expected) {
    context.fail(
        {std::to_string(expected - tasks.size()) + " of " + std::to_string(expected) + " tasks had not ended in time",
         "", "wait again, or longer with --timeout", ExitCode::failed});
  }
}

}  // namespace trireme::cli
