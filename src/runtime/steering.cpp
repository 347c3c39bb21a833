#include "runtime/steering.hpp"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "core/defaults.hpp"
#include "runtime/task_json.hpp"

namespace trireme {
namespace {

using Json = nlohmann::ordered_json;

Json error_json(int status, const std::string& message) {
  const char* type = status >= 500 ? "server_error" : "invalid_request_error";
  return {{"error", {{"message", message}, {"type", type}, {"code", status}}}};
}

int status_of(const Error& error) {
  if (error.code == ExitCode::usage) return 400;
  return error.code == ExitCode::does_not_fit ? 422 : 503;
}

Error usage(std::string what, std::string hint = "") {
  return {std::move(what), "", std::move(hint), ExitCode::usage};
}

/// A number of the query, at most `most`; `otherwise` where it is not there or none.
std::size_t number_of(const Target& target, std::string_view name, std::size_t otherwise, std::size_t most) {
  const auto text = target.value(name);
  std::size_t value = otherwise;
  if (text) std::from_chars(text->data(), text->data() + text->size(), value);
  return std::min(value, most);
}

}  // namespace

Steering::Steering(pilot::Pilot& pilot, const observe::RunView& view, const Results& results, const RunInfo& info,
                   Answer answer, Record record)
    : pilot_(pilot),
      view_(view),
      results_(results),
      info_(info),
      answer_(std::move(answer)),
      record_(std::move(record)) {}

// --- requests --------------------------------------------------------------------------------------------------------

void Steering::on_request(Rank from, const RuntimeRequest& request, MonoTime now) {
  const Caller caller{from, request.number};
  const Target target = parse_target(request.target);
  const std::vector<std::string>& path = target.path;
  const auto wrong_method = [&](const char* allowed) {
    respond(caller, 405, dump(error_json(405, std::string("this path is only for ") + allowed)));
  };
  if (closed_) return refuse(caller, {"the run is over", "", "", ExitCode::runtime_failed}, 503);
  if (path.size() < 2 || path.size() > 4 || path[0] != "runtime") {
    return refuse(caller, usage("there is nothing at this path"), 404);
  }
  const std::string& method = request.method;
  const bool whole = path.size() == 2;
  if (path.size() == 4) {
    if (path[1] != "services" || path[3] != "restart")
      return refuse(caller, usage("there is nothing at this path"), 404);
    return method == "POST" ? restart_service(caller, path[2], now) : wrong_method("POST");
  }
  if (path[1] == "tasks" && whole) {
    if (method == "POST") return submit(caller, request.body, now);
    return method == "GET" ? list_tasks(caller, target) : wrong_method("GET and POST");
  }
  if (path[1] == "tasks") {
    if (method == "DELETE") return cancel_task(caller, path[2], now);
    return method == "GET" ? show_task(caller, path[2]) : wrong_method("GET and DELETE");
  }
  if (path[1] == "services" && whole) {
    if (method == "POST") return declare(caller, request.body, now);
    return method == "GET" ? list_services(caller) : wrong_method("GET and POST");
  }
  if (path[1] == "services") {
    if (method == "DELETE") return stop_service(caller, path[2], now);
    return method == "GET" ? show_service(caller, path[2]) : wrong_method("GET and DELETE");
  }
  if (path[1] == "wait" && whole) {
    return method == "POST" ? wait(caller, request.body, now) : wrong_method("POST");
  }
  refuse(caller, usage("there is nothing at this path"), 404);
}

// --- tasks -----------------------------------------------------------------------------------------------------------

Submission Steering::load(const std::string& body) const {
  const workflow::Beyond beyond{
      .task = [this](std::string_view name) { return pilot_.knows_task(name); },
      .service = [this](std::string_view name) { return pilot_.find_service(name).has_value(); },
      .environment =
          [this](std::string_view name) {
            return std::any_of(info_.environments.begin(), info_.environments.end(),
                               [&](const EnvironmentDescription& environment) { return environment.name == name; });
          },
  };
  return load_submission(body, info_.workflow_dir, beyond, unnamed_);
}

Result<std::vector<TaskIndex>> Steering::take(Submission& submission, MonoTime now, bool& grew) {
  std::vector<TaskIndex> out(submission.tasks.size());
  std::vector<TaskDescription> fresh;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < submission.tasks.size(); ++i) {
    TaskDescription& task = submission.tasks[i];
    const auto known = pilot_.find_task(task.id);
    if (!known) {
      places.push_back(i);
      fresh.push_back(std::move(task));
    } else if (pilot_.task(*known) == task) {
      out[i] = *known;
    } else {
      return Error{"there is already another task with this id", "task " + task.id, "give each task an id of its own",
                   ExitCode::usage};
    }
  }
  grew = !fresh.empty();
  if (!grew) return out;
  const auto first = pilot_.submit(std::move(fresh), now);
  if (!first) return first.error();
  for (std::size_t i = 0; i < places.size(); ++i) {
    out[places[i]] = TaskIndex{first->value + static_cast<std::uint32_t>(i)};
  }
  unnamed_ += submission.unnamed;
  return out;
}

void Steering::add_batch(std::vector<TaskIndex> tasks) {
  const auto number = static_cast<std::uint32_t>(batches_.size());
  batches_.push_back({.total = static_cast<std::uint32_t>(tasks.size()), .ended = {}});
  for (const TaskIndex task : tasks) {
    if (is_final(task)) {
      batches_.back().ended.push_back(task);
    } else {
      batch_of_.emplace(task.value, number);
    }
  }
}

void Steering::submit(const Caller& caller, const std::string& body, MonoTime now) {
  Submission submission = load(body);
  if (!submission.services.empty()) {
    submission.errors.push_back(
        {.file = "submission", .key = "services", .message = "services go to /runtime/services"});
  }
  if (!submission.ok()) return refuse(caller, submission.errors);
  bool grew = false;
  Json ids = Json::array();
  for (const TaskDescription& task : submission.tasks) ids.push_back(task.id);
  auto tasks = take(submission, now, grew);
  if (!tasks) return refuse(caller, tasks.error());
  const auto number = static_cast<std::uint32_t>(batches_.size());
  if (grew) record_(events::WorkflowGrew{.number = number, .text = std::move(submission.text)});
  add_batch(std::move(*tasks));
  respond(caller, 200, dump({{"submission", number}, {"ids", std::move(ids)}}));
}

Status Steering::replay(const std::string& text, MonoTime now) {
  Submission submission = load(text);
  if (!submission.ok()) {
    return Error{"a submission of the run's earlier part cannot be read: " + submission.errors.front().text(), "", "",
                 ExitCode::runtime_failed};
  }
  bool grew = false;
  if (Status taken = take_services(submission, now, grew); !taken) return taken;
  auto tasks = take(submission, now, grew);
  if (!tasks) return tasks.error();
  // Its ids are written out, so it does not say how many of them are numbers: none beyond these.
  unnamed_ += tasks->size();
  add_batch(std::move(*tasks));
  return {};
}

void Steering::show_task(const Caller& caller, const std::string& id) {
  const auto task = pilot_.find_task(id);
  if (!task) return refuse(caller, usage("there is no task " + id), 404);
  respond(caller, 200, dump(show(*task)));
}

void Steering::list_tasks(const Caller& caller, const Target& target) {
  const std::size_t from = number_of(target, "from", 0, std::numeric_limits<std::uint32_t>::max());
  const std::size_t limit = number_of(target, "limit", 1000, defaults::runtime_page);
  const auto state = target.value("state");
  const auto name = target.value("name");
  Json tasks = Json::array();
  std::size_t i = from;
  for (; pilot_.has_task({static_cast<std::uint32_t>(i)}) && tasks.size() < limit; ++i) {
    const TaskIndex task{static_cast<std::uint32_t>(i)};
    if (state && to_string(pilot_.task_state(task)) != *state) continue;
    if (name && pilot_.task(task).name != *name) continue;
    tasks.push_back(show(task));
  }
  const bool more = pilot_.has_task({static_cast<std::uint32_t>(i)});
  const pilot::TaskCounts counts = pilot_.counts();
  respond(caller, 200,
          dump({{"tasks", std::move(tasks)},
                {"next", more ? Json(i) : Json(nullptr)},
                {"counts",
                 {{"total", counts.total},
                  {"running", counts.running},
                  {"done", counts.done},
                  {"failed", counts.failed},
                  {"cancelled", counts.cancelled},
                  {"skipped", counts.skipped}}}}));
}

void Steering::cancel_task(const Caller& caller, const std::string& id, MonoTime now) {
  const auto task = pilot_.find_task(id);
  if (!task) return refuse(caller, usage("there is no task " + id), 404);
  if (const Status status = pilot_.cancel(*task, "cancelled on request", now); !status) {
    return refuse(caller, status.error());
  }
  respond(caller, 200, dump(show(*task)));
}

// --- waiting ---------------------------------------------------------------------------------------------------------

void Steering::wait(const Caller& caller, const std::string& body, MonoTime now) {
  const Json json = Json::parse(body, nullptr, false);
  if (!json.is_object()) return refuse(caller, usage("the body is no JSON object", "ids or submission, and a timeout"));
  Wait wait;
  Duration timeout = defaults::runtime_wait;
  if (json.contains("timeout")) {
    if (!json["timeout"].is_number() || json["timeout"].get<double>() < 0) {
      return refuse(caller, usage("timeout: this is no number of seconds"));
    }
    const double most = seconds(Duration(defaults::runtime_wait_max));
    timeout = Duration(static_cast<std::int64_t>(std::min(json["timeout"].get<double>(), most) * 1e9));
  }
  wait.deadline = now + timeout.count();
  if (json.contains("submission")) {
    const bool known =
        json["submission"].is_number_unsigned() && json["submission"].get<std::uint64_t>() < batches_.size();
    if (!known) return refuse(caller, usage("submission: there is no such submission"), 404);
    wait.submission = json["submission"].get<std::uint32_t>();
    if (json.contains("from") && json["from"].is_number_unsigned()) wait.from = json["from"].get<std::size_t>();
    return add_wait(caller, std::move(wait));
  }
  const std::string mode = json.value("for", Json("all")).is_string() ? json.value("for", "all") : "";
  if (mode != "all" && mode != "any") return refuse(caller, usage("for: this is neither all nor any"));
  wait.any = mode == "any";
  if (!json.contains("ids") || !json["ids"].is_array() || json["ids"].size() > defaults::runtime_wait_tasks) {
    return refuse(caller,
                  usage("ids: a list of at most " + std::to_string(defaults::runtime_wait_tasks) + " ids is expected"));
  }
  std::unordered_set<TaskIndex> named;
  for (const Json& id : json["ids"]) {
    const auto task = id.is_string() ? pilot_.find_task(id.get<std::string>()) : std::nullopt;
    if (!task) return refuse(caller, usage("ids: there is no task " + id.dump()), 404);
    if (!named.insert(*task).second) continue;
    wait.tasks.push_back(*task);
    if (!is_final(*task)) ++wait.open;
  }
  add_wait(caller, std::move(wait));
}

void Steering::add_wait(const Caller& caller, Wait wait) {
  forget(caller);
  if (wait.submission) {
    by_batch_.emplace(*wait.submission, caller);
  } else {
    for (const TaskIndex task : wait.tasks) {
      if (!is_final(task)) by_task_.emplace(task.value, caller);
    }
  }
  deadlines_.emplace(wait.deadline, caller);
  waits_.emplace(caller, std::move(wait));
  settle(caller, false);
}

/// Answers a wait that is over.
void Steering::settle(Caller caller, bool timed_out) {
  const Wait& wait = waits_.at(caller);
  Json answer;
  if (wait.submission) {
    const Batch& batch = batches_[*wait.submission];
    const std::size_t from = std::min(wait.from, batch.ended.size());
    if (from == batch.ended.size() && from < batch.total && !timed_out) return;
    const std::size_t end = std::min(batch.ended.size(), from + defaults::runtime_page);
    Json tasks = Json::array();
    for (std::size_t i = from; i < end; ++i) tasks.push_back(show(batch.ended[i]));
    answer = {{"complete", end == batch.total}, {"tasks", std::move(tasks)}, {"next", end}};
  } else {
    const bool over = wait.open == 0 || (wait.any && wait.open < wait.tasks.size());
    if (!over && !timed_out) return;
    Json tasks = Json::array();
    for (const TaskIndex task : wait.tasks) {
      if (tasks.size() == defaults::runtime_page) break;
      if (is_final(task)) tasks.push_back(show(task));
    }
    answer = {{"complete", over}, {"tasks", std::move(tasks)}, {"pending", wait.open}};
  }
  forget(caller);
  respond(caller, 200, dump(answer));
}

void Steering::on_final(TaskIndex task) {
  std::vector<Caller> touched;
  const auto [first, last] = by_task_.equal_range(task.value);
  for (auto entry = first; entry != last; ++entry) {
    --waits_.at(entry->second).open;
    touched.push_back(entry->second);
  }
  by_task_.erase(first, last);
  const auto [first_batch, last_batch] = batch_of_.equal_range(task.value);
  for (auto entry = first_batch; entry != last_batch; ++entry) {
    batches_[entry->second].ended.push_back(task);
    const auto [from, to] = by_batch_.equal_range(entry->second);
    for (auto waiting = from; waiting != to; ++waiting) touched.push_back(waiting->second);
  }
  batch_of_.erase(first_batch, last_batch);
  for (const Caller& caller : touched) {
    if (waits_.contains(caller)) settle(caller, false);
  }
}

void Steering::on_time(MonoTime now) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) settle(deadlines_.begin()->second, true);
}

std::optional<MonoTime> Steering::next_deadline() const {
  return deadlines_.empty() ? std::nullopt : std::optional(deadlines_.begin()->first);
}

void Steering::on_drop(Rank from, std::uint64_t number) {
  forget({from, number});
}

void Steering::on_rank_lost(Rank rank) {
  std::vector<Caller> gone;
  for (auto wait = waits_.lower_bound({rank, 0}); wait != waits_.end() && wait->first.rank == rank; ++wait) {
    gone.push_back(wait->first);
  }
  for (const Caller& caller : gone) forget(caller);
}

void Steering::forget(Caller caller) {
  const auto wait = waits_.find(caller);
  if (wait == waits_.end()) return;
  deadlines_.erase({wait->second.deadline, caller});
  const auto erase = [&caller](auto& index, std::uint32_t key) {
    auto [entry, last] = index.equal_range(key);
    while (entry != last) entry = entry->second == caller ? index.erase(entry) : std::next(entry);
  };
  if (wait->second.submission) {
    erase(by_batch_, *wait->second.submission);
  } else {
    for (const TaskIndex task : wait->second.tasks) erase(by_task_, task.value);
  }
  waits_.erase(wait);
}

void Steering::close() {
  closed_ = true;
  while (!waits_.empty()) {
    const Caller caller = waits_.begin()->first;
    forget(caller);
    refuse(caller, {"the run is over", "", "", ExitCode::runtime_failed}, 503);
  }
}

// --- services --------------------------------------------------------------------------------------------------------

void Steering::declare(const Caller& caller, const std::string& body, MonoTime now) {
  Submission submission = load(body);
  if (!submission.tasks.empty()) {
    submission.errors.push_back({.file = "submission", .key = "tasks", .message = "tasks go to /runtime/tasks"});
  }
  if (!submission.ok()) return refuse(caller, submission.errors);
  bool grew = false;
  Json names = Json::array();
  for (const ServiceDescription& service : submission.services) names.push_back(service.name);
  if (const Status taken = take_services(submission, now, grew); !taken) return refuse(caller, taken.error());
  if (grew) {
    const auto number = static_cast<std::uint32_t>(batches_.size());
    record_(events::WorkflowGrew{.number = number, .text = std::move(submission.text)});
    add_batch({});  // it has a number, as in the log, and no tasks
  }
  respond(caller, 200, dump({{"services", std::move(names)}}));
}

Status Steering::take_services(Submission& submission, MonoTime now, bool& grew) {
  std::vector<ServiceDescription> fresh;
  for (ServiceDescription& service : submission.services) {
    const auto known = pilot_.find_service(service.name);
    const bool is_there = known && pilot_.service(*known) == service && !pilot_.service_is_over(*known);
    if (!is_there) fresh.push_back(std::move(service));
  }
  grew = !fresh.empty();
  if (!grew) return {};
  const auto declared = pilot_.declare(std::move(fresh), now);
  return declared ? Status{} : Status{declared.error()};
}

void Steering::list_services(const Caller& caller) {
  Json services = Json::array();
  for (const observe::ServiceRecord& service : view_.services()) services.push_back(service_json(service));
  respond(caller, 200, dump({{"services", std::move(services)}}));
}

void Steering::show_service(const Caller& caller, const std::string& name) {
  const observe::ServiceRecord* service = view_.find_service(name);
  if (service == nullptr) return refuse(caller, usage("there is no service " + name), 404);
  respond(caller, 200, dump(service_json(*service)));
}

void Steering::stop_service(const Caller& caller, const std::string& name, MonoTime now) {
  if (!pilot_.find_service(name)) return refuse(caller, usage("there is no service " + name), 404);
  if (const Status status = pilot_.stop_service(name, now); !status) return refuse(caller, status.error());
  show_service(caller, name);
}

void Steering::restart_service(const Caller& caller, const std::string& name, MonoTime now) {
  if (!pilot_.find_service(name)) return refuse(caller, usage("there is no service " + name), 404);
  if (const Status status = pilot_.restart_service(name, now); !status) return refuse(caller, status.error());
  show_service(caller, name);
}

// --- answers ---------------------------------------------------------------------------------------------------------

Json Steering::show(TaskIndex task) const {
  Json json = task_json(pilot_, view_, info_, task);
  if (const std::string* result = results_.find(task)) json["result"] = Json::parse(*result, nullptr, false);
  return json;
}

bool Steering::is_final(TaskIndex task) const {
  return trireme::is_final(pilot_.task_state(task));
}

void Steering::respond(const Caller& caller, int status, std::string body) {
  answer_(caller.rank, {caller.number, status, std::move(body)});
}

void Steering::refuse(const Caller& caller, const Error& error, int status) {
  if (status == 0) status = status_of(error);
  respond(caller, status, dump(error_json(status, error.text())));
}

void Steering::refuse(const Caller& caller, const std::vector<Diagnostic>& errors) {
  Json json = error_json(400, errors.size() == 1
                                  ? errors.front().text()
                                  : errors.front().text() + " (and " + std::to_string(errors.size() - 1) + " more)");
  Json list = Json::array();
  for (const Diagnostic& error : errors) {
    list.push_back({{"key", error.key},
                    {"message", error.message},
                    {"expected", error.expected},
                    {"hint", error.hint},
                    {"text", error.text()}});
  }
  json["errors"] = std::move(list);
  respond(caller, 400, dump(json));
}

}  // namespace trireme
