#include "pilot/tasks.hpp"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "core/backlog.hpp"
#include "core/defaults.hpp"

namespace trireme::pilot {
namespace {

Error task_error(std::string what, const std::string& task, std::string hint = "") {
  return {.what = std::move(what), .where = "task " + task, .hint = std::move(hint), .code = ExitCode::usage};
}

std::string quoted(const std::string& argument) {
  const bool plain = !argument.empty() && argument.find_first_of(" \t\n'\"\\$|&;<>()*?`") == std::string::npos;
  if (plain) return argument;
  std::string out = "'";
  for (char c : argument) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

/// The command as a person would type it, or the script's first line; shortened.
std::string command_line(const TaskDescription& task) {
  std::string text;
  if (task.function) {
    text = task.function.name + task.function.args;
  } else if (task.command.empty()) {
    const std::string script = task.script.source();
    text = script.substr(0, script.find('\n'));
  }
  for (const Template& argument : task.command) {
    if (!text.empty()) text += ' ';
    text += quoted(argument.source());
    if (text.size() > defaults::command_shown) break;
  }
  if (text.size() <= defaults::command_shown) return text;
  std::size_t end = defaults::command_shown;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;  // whole characters
  return text.substr(0, end) + "…";
}

}  // namespace

// --- submission ----------------------------------------------------------------------------------

void Tasks::add_service(std::string_view name) {
  const ServiceIndex index{static_cast<std::uint32_t>(services_.size())};
  services_.push_back({.name = std::string(name), .reason = "", .waiting = {}, .users = {}});
  service_by_name_.emplace(name, index);
}

std::optional<Graph::Vertex> Tasks::find_before(std::string_view id_or_name) const {
  if (const auto task = names_.find(id_or_name)) return Graph::Vertex{task->value, false};
  return graph_.find_group(id_or_name);
}

Status Tasks::check(std::span<const TaskFamily> families) const {
  const bool together = families.size() > 1;  // one task alone cannot mean itself
  TaskNames new_names;
  std::unordered_set<std::string_view> groups;
  std::uint64_t total = tasks_.size();
  for (const TaskFamily& family : families) {
    const TaskDescription& task = family.shared();
    total += family.size();
    if (total > Graph::most_tasks) {
      return task_error("there are too many tasks", family.id(0), std::to_string(Graph::most_tasks) + " at most");
    }
    if (family.single() && task.id.empty()) return task_error("a task has no id", task.name);
    if (task.ranks == 0) return task_error("it has no ranks", family.id(0), "give it at least one");
    auto taken = names_.clash(family);
    if (!taken) taken = new_names.clash(family);
    if (taken) return task_error("there is already a task with this id", *taken, "give each task an id of its own");
    new_names.add(family, {});
    groups.insert(task.name);
  }
  for (const TaskFamily& family : families) {
    const TaskDescription& task = family.shared();
    for (const std::string& entry : task.after) {
      const bool here = together && (new_names.find(entry) || groups.contains(entry));
      if (!here && !find_before(entry)) {
        return task_error("it comes after " + entry + ", but there is no such task", family.id(0),
                          "name tasks that are in the workflow or were submitted before");
      }
    }
    for (const std::string& service : task.services) {
      if (!service_by_name_.contains(service)) {
        return task_error("it needs service " + service + ", but there is no such service", family.id(0));
      }
    }
  }
  return {};
}

Status Tasks::submit(std::vector<TaskFamily> families) {
  if (Status status = check(families); !status) return status;
  const auto first = static_cast<std::uint32_t>(tasks_.size());
  // One task alone means what was there before it; tasks that come together may mean each other.
  const bool alone = families.size() == 1;
  std::vector<Graph::Vertex> before;
  const auto find_all = [&](const TaskDescription& task) {
    before.clear();
    for (const std::string& entry : task.after) before.push_back(*find_before(entry));
  };
  if (alone) {
    find_all(families[0].shared());
    for (Graph::Vertex vertex : before) graph_.seal(vertex);
  }
  for (TaskFamily& family : families) add(std::move(family));
  const auto end = static_cast<std::uint32_t>(tasks_.size());

  std::vector<std::pair<TaskIndex, TaskIndex>> broken;
  for (std::uint32_t i = first; i < end; ++i) {
    if (!alone && (i == first || tasks_[i].family != tasks_[i - 1].family)) find_all(shared({i}));
    for (Graph::Vertex vertex : before) {
      if (const auto by = graph_.wait_for({i}, vertex)) broken.emplace_back(TaskIndex{i}, *by);
    }
  }
  if (!alone) {
    const Status status = graph_.check_acyclic({first}, [this](TaskIndex task) { return id(task); });
    if (!status) return status;
  }
  for (std::uint32_t i = first; i < end; ++i) connect({i});
  for (const auto& [task, by] : broken) {
    if (state(task) == TaskState::waiting) skip(task, broken_text(by, by));
  }
  for (std::uint32_t i = first; i < end; ++i) {
    if (state({i}) == TaskState::waiting) skip_if_service_over({i});
    if (state({i}) == TaskState::waiting && !graph_.waits({i})) make_ready({i});
  }
  return {};
}

Shape Tasks::shape_of(const TaskDescription& task) {
  Shape shape{.per_rank = task.per_rank,
              .ranks = task.ranks,
              .ranks_per_node = task.ranks_per_node,
              .exclusive = task.exclusive,
              .colocate = {}};
  if (!task.colocate.empty()) {
    const ColocateIndex next{static_cast<std::uint32_t>(colocations_.size())};
    shape.colocate = colocations_.try_emplace(task.colocate, next).first->second;
  }
  return shape;
}

void Tasks::add(TaskFamily added) {
  const auto number = static_cast<std::uint32_t>(families_.size());
  const ShapeIndex shape = scheduler_.shape_index(shape_of(added.shared()));
  const bool ahead = backlogs_.wanted() && may_be_ahead(added.shared());
  const TaskFamily& family = families_.emplace_back(Family{std::move(added), shape, ahead}).tasks;
  const TaskDescription& task = family.shared();
  names_.add(family, {static_cast<std::uint32_t>(tasks_.size())});
  const std::string_view group = family.single() && task.name == task.id ? std::string_view{} : task.name;
  for (std::uint32_t i = 0; i < family.size(); ++i) {
    tasks_.push_back({.family = number, .instance = i, .retries = task.retries});
    graph_.add(group);
  }
  counts_.total += family.size();
}

std::string Tasks::id(TaskIndex task) const {
  return family(task).tasks.id(tasks_[task.value].instance);
}

TaskDescription Tasks::description(TaskIndex task) const {
  return family(task).tasks.instance(tasks_[task.value].instance);
}

/// Tells the log of a task and makes it wait for its services.
void Tasks::connect(TaskIndex index) {
  const TaskDescription task = description(index);
  output_.record(events::TaskSubmitted{.task = index,
                                       .id = task.id,
                                       .name = task.name,
                                       .ranks = task.ranks,
                                       .per_rank = task.per_rank,
                                       .priority = task.priority,
                                       .retries = task.retries,
                                       .after = task.after,
                                       .services = task.services,
                                       .command = command_line(task)});
  for (const std::string& name : task.services) {
    Service& service = services_[service_by_name_.find(name)->second.value];
    if (service.over) continue;
    service.users.push_back(index);
    if (service.ready) continue;
    service.waiting.push_back(index);
    graph_.hold(index);
  }
}

void Tasks::skip_if_service_over(TaskIndex task) {
  for (const std::string& name : shared(task).services) {
    const Service& service = services_[service_by_name_.find(name)->second.value];
    if (service.over) return leave_out(task, service);
  }
}

void Tasks::leave_out(TaskIndex task, const Service& service) {
  const std::string reason = "it needs service " + service.name + ", which " + service.reason;
  if (!service.asked_for && first_left_out_.empty()) first_left_out_ = "task " + id(task) + " was skipped: " + reason;
  skip(task, reason);
}

bool Tasks::mark_done(std::string_view id) {
  const auto task = find(id);
  if (!task || state(*task) == TaskState::running || is_final(state(*task))) return false;
  if (state(*task) == TaskState::ready) scheduler_.remove(*task, shape(*task));
  end_task(*task, TaskState::done, "a former run has done it");
  return true;
}

void Tasks::continue_attempts(std::string_view id, std::uint32_t made) {
  const auto task = find(id);
  if (task && state(*task) != TaskState::running && !is_final(state(*task))) tasks_[task->value].attempt = made;
}

std::vector<TaskNeed> Tasks::needs() const {
  std::vector<TaskNeed> needs;
  std::vector<bool> seen;
  for (std::uint32_t i = 0; i < tasks_.size(); ++i) {
    if (is_final(tasks_[i].state)) continue;
    const ShapeIndex index = shape({i});
    if (seen.size() <= index.value) seen.resize(index.value + std::size_t{1});
    if (seen[index.value]) continue;
    seen[index.value] = true;
    needs.push_back({id({i}), scheduler_.shape(index)});
  }
  return needs;
}

// --- waiting, ready, ended -----------------------------------------------------------------------

void Tasks::make_ready(TaskIndex index) {
  Task& task = tasks_[index.value];
  task.state = TaskState::ready;
  output_.record(events::TaskChanged{.task = index, .state = TaskState::ready, .reason = ""});
  scheduler_.enqueue(index, shape(index), shared(index).priority);
}

void Tasks::end_task(TaskIndex index, TaskState state, const std::string& reason, bool tell_others) {
  tasks_[index.value].state = state;
  output_.record(events::TaskChanged{.task = index, .state = state, .reason = reason});
  switch (state) {
    case TaskState::done:
      ++counts_.done;
      break;
    case TaskState::failed:
      ++counts_.failed;
      break;
    case TaskState::cancelled:
      ++counts_.cancelled;
      break;
    default:
      ++counts_.skipped;
      break;
  }
  if (state == TaskState::failed && first_failure_.empty()) {
    first_failure_ = "task " + id(index) + " failed: " + reason;
  }
  if (!tell_others) return;
  if (state == TaskState::done) {
    std::vector<TaskIndex> released;
    graph_.done(index, released);
    for (TaskIndex next : released) make_ready(next);
    return;
  }
  std::vector<Graph::Broken> broken;
  graph_.broke(index, broken);
  for (const Graph::Broken& b : broken) {
    end_task(b.task, TaskState::skipped, broken_text(b.after, b.root), false);
  }
}

/// A task that has not started will never run.
void Tasks::skip(TaskIndex index, const std::string& reason) {
  const Task& task = tasks_[index.value];
  if (task.ahead) return call_back_for(index, {TaskState::skipped, reason});
  if (task.state == TaskState::ready) scheduler_.remove(index, shape(index));
  end_task(index, TaskState::skipped, reason);
}

std::string Tasks::broken_text(TaskIndex after, TaskIndex root) const {
  const auto how = [&](TaskIndex task) {
    const TaskState s = state(task);
    return id(task) + (s == TaskState::failed      ? " failed"
                       : s == TaskState::cancelled ? " was cancelled"
                                                   : " was skipped");
  };
  const std::string name = id(after);
  std::string text = "it comes after " + name + ", which" + how(after).substr(name.size());
  if (after != root) text += " because " + how(root);
  return text;
}

Status Tasks::cancel(TaskIndex index, const std::string& reason) {
  if (!exists(index)) return Error{.what = "there is no such task", .where = "", .hint = "", .code = ExitCode::usage};
  Task& task = tasks_[index.value];
  if (is_final(task.state)) return {};
  if (task.state == TaskState::running) {
    Attempt& attempt = attempts_[task.slot];
    end_for(attempt, Ending::cancelled, reason);
    ask_to_end(attempt, reason);
    return {};
  }
  if (task.ahead) {
    call_back_for(index, {TaskState::cancelled, reason});
    return {};
  }
  if (task.state == TaskState::ready) scheduler_.remove(index, shape(index));
  end_task(index, TaskState::cancelled, reason);
  return {};
}

void Tasks::on_service_ready(ServiceIndex index) {
  Service& service = services_[index.value];
  service.ready = true;
  for (TaskIndex task : std::exchange(service.waiting, {})) {
    if (graph_.release(task)) make_ready(task);
  }
}

void Tasks::on_service_unready(ServiceIndex index) {
  services_[index.value].ready = false;
}

void Tasks::on_service_over(ServiceIndex index, bool asked_for, const std::string& reason) {
  Service& service = services_[index.value];
  service.ready = false;
  service.over = true;
  service.asked_for = asked_for;
  service.reason = reason;
  for (TaskIndex task : std::exchange(service.users, {})) {
    if (state(task) == TaskState::waiting || state(task) == TaskState::ready) leave_out(task, service);
  }
}

}  // namespace trireme::pilot
