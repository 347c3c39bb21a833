#include "observe/run_view.hpp"

#include <algorithm>
#include <limits>
#include <unordered_set>
#include <utility>

#include "core/defaults.hpp"

namespace trireme::observe {
namespace {

constexpr std::size_t kept_warnings = 20;
// More replicas than this come from a damaged log.
constexpr std::uint32_t max_replicas = 100'000;
constexpr std::uint32_t no_group = std::numeric_limits<std::uint32_t>::max();
constexpr auto states = static_cast<std::size_t>(TaskState::skipped) + 1;

/// Nanoseconds from one time to a later one; 0 where they make no sense.
WallTime elapsed(WallTime from, WallTime to) {
  return from >= 0 && to > from ? to - from : 0;
}

}  // namespace

std::uint32_t TaskRecord::attempts() const {
  std::uint32_t count = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const bool is_new =
        i == 0 || parts[i].attempt != parts[i - 1].attempt || parts[i].incarnation != parts[i - 1].incarnation;
    if (is_new) ++count;
  }
  return count;
}

bool TaskRecord::is_of_last_attempt(const AttemptPart& part) const {
  return part.attempt == parts.back().attempt && part.incarnation == parts.back().incarnation;
}

const AttemptPart* TaskRecord::verdict() const {
  if (parts.empty()) return nullptr;
  const AttemptPart* found = &parts.back();
  for (const AttemptPart& part : parts) {
    if (!is_of_last_attempt(part) || part.phase != AttemptPart::Phase::over) continue;
    const bool worse = found->phase != AttemptPart::Phase::over || found->outcome == Outcome::done ||
                       (found->outcome == Outcome::cancelled && part.outcome != Outcome::cancelled);
    if (part.outcome != Outcome::done && worse) found = &part;
  }
  return found;
}

std::string ReplicaRecord::nodes() const {
  std::vector<Rank> ranks;
  for (const events::PlacedRanks& part : parts) ranks.push_back(part.rank);
  if (ranks.empty() && rank >= 0) ranks.push_back(rank);
  std::sort(ranks.begin(), ranks.end());
  std::string text;
  for (std::size_t first = 0, last = 0; first < ranks.size(); first = ++last) {
    while (last + 1 < ranks.size() && ranks[last + 1] == ranks[last] + 1) ++last;
    text += (text.empty() ? "" : ",") + std::to_string(ranks[first]);
    if (last > first) text += "-" + std::to_string(ranks[last]);
  }
  return text;
}

std::uint32_t ServiceRecord::ready() const {
  return static_cast<std::uint32_t>(
      std::count_if(lives.begin(), lives.end(), [](const auto& life) { return life.state == ReplicaState::ready; }));
}

std::uint32_t ServiceRecord::wanted() const {
  std::uint32_t out = replicas;
  std::unordered_set<std::uint32_t> seen;
  for (auto life = lives.rbegin(); life != lives.rend(); ++life) {
    if (!seen.insert(life->replica).second) continue;  // it has a newer life
    if (life->replica < replicas && life->ended != 0 && life->drained) --out;
  }
  return out;
}

std::uint32_t ServiceRecord::restarts() const {
  std::set<std::pair<std::uint32_t, std::uint32_t>> distinct;
  for (const ReplicaRecord& life : lives) distinct.emplace(life.incarnation, life.replica);
  return static_cast<std::uint32_t>(lives.size() - distinct.size());
}

const ReplicaRecord* ServiceRecord::newest(std::uint32_t replica) const {
  const auto found =
      std::find_if(lives.rbegin(), lives.rend(), [replica](const auto& life) { return life.replica == replica; });
  return found != lives.rend() ? &*found : nullptr;
}

void RunView::Amount::add(const Resources& resources, WallTime from, WallTime to) {
  const double time = static_cast<double>(elapsed(from, to)) / 1e9;
  cores += resources.cores * time;
  gpus += static_cast<double>(resources.gpus) / whole_gpu * time;
}

void RunView::apply(const Event& event) {
  std::visit([this, &event](const auto& body) { on(body, event.time); }, event.body);
  last_event_ = std::max(last_event_, event.time);
}

void RunView::on(const events::RunStarted& event, WallTime time) {
  if (incarnations_ > 0) {
    if (!ended()) {
      active_before_ += Duration(elapsed(begun_, last_event_));
      cut_off(last_event_);
    }
    for (const auto& [key, sample] : samples_) {
      Before& before = requests_before_[key.first];
      before.total.requests += sample.requests;
      before.total.failed += sample.failed;
      for (const ServiceSample::PerReplica& one : sample.replicas) {
        before.replicas[one.replica].requests += one.requests;
        before.replicas[one.replica].failed += one.failed;
      }
    }
    samples_.clear();
    former_nodes_.push_back(std::exchange(nodes_, {}));
    in_use_.clear();
  } else {
    started_ = time;
  }
  ++incarnations_;
  begun_ = time;
  run_id_ = event.run_id;
  name_ = event.name;
  version_ = event.version;
  workflow_file_ = event.workflow_file;
  settings_ = event.settings;
  ranks_ = event.ranks;
  state_ = RunState::running;
  exit_code_ = 0;
  end_reason_.clear();
  draining_ = false;
  drain_reason_.clear();
}

const NodeRecord* RunView::node_of(const AttemptPart& part) const {
  const bool is_former = part.incarnation >= 1 && part.incarnation <= former_nodes_.size();
  const auto& nodes = is_former ? former_nodes_[part.incarnation - 1] : nodes_;
  const auto found = nodes.find(part.rank);
  return found != nodes.end() ? &found->second : nullptr;
}

void RunView::on(const events::NodeJoined& event, WallTime time) {
  NodeRecord& node = nodes_[event.rank];
  node = {.rank = event.rank, .host = event.host, .resources = event.resources, .joined = time};
  hosts_.insert(event.host);
}

void RunView::on(const events::NodeLost& event, WallTime time) {
  const auto found = nodes_.find(event.rank);
  if (found == nodes_.end() || found->second.left != 0) return;
  NodeRecord& node = found->second;
  node.lost = true;
  node.left = time;
  node.reason = event.reason;
  available_.add(node.resources, node.joined, node.left);
  for (auto& [key, sample] : samples_) {
    if (key.second != event.rank) continue;
    // What it had counted stays counted, but nothing waits or is worked on there any more.
    sample.queued = 0;
    for (ServiceSample::Load& load : sample.loads) load.active = 0;
  }
  note({.kind = Failure::Kind::node, .time = time, .subject = node.host, .rank = event.rank, .reason = event.reason});
}

void RunView::on(const events::TaskSubmitted& event, WallTime time) {
  const auto known = task_by_id_.find(event.id);
  const bool is_new = known == task_by_id_.end();
  const auto slot = is_new ? static_cast<std::uint32_t>(tasks_.size()) : known->second;
  task_by_index_[event.task] = slot;
  if (is_new) {
    TaskRecord& made = tasks_.emplace_back();
    made.id = event.id;
    made.submitted = time;
    made.changed = time;
    task_by_id_.emplace(made.id, slot);
    ++counts_.at(static_cast<std::size_t>(TaskState::waiting));
    made.group = no_group;
  }
  TaskRecord& task = tasks_[slot];
  set_group(task, event.name);
  task.name = event.name;
  task.command = event.command;
  task.priority = event.priority;
  task.ranks = event.ranks;
  task.retries = event.retries;
  task.per_rank = event.per_rank;
  task.after = event.after;
  task.services = event.services;
  // Submitted again by a resumed run: what is done stays done, all else is tried anew.
  if (!is_new && task.state != TaskState::done) {
    task.reason.clear();
    set_state(task, TaskState::waiting, time);
  }
}

void RunView::on(const events::TaskChanged& event, WallTime time) {
  TaskRecord* found = task(event.task);
  if (found == nullptr || static_cast<std::size_t>(event.state) >= states) return;
  found->reason = event.reason;
  set_state(*found, event.state, time);
  if (event.state == TaskState::failed) {
    note({.kind = Failure::Kind::task,
          .time = time,
          .subject = found->id,
          .attempt = found->parts.empty() ? 0 : found->parts.back().attempt,
          .rank = found->parts.empty() ? -1 : found->parts.back().rank,
          .reason = event.reason});
  }
}

void RunView::on(const events::AttemptPlaced& event, WallTime time) {
  TaskRecord* found = task(event.attempt.task);
  if (found == nullptr) return;
  AttemptPart& placed = part(*found, event.attempt.attempt, event.rank, time);
  if (placed.phase != AttemptPart::Phase::over) {
    give_back(event.rank, found->per_rank.times(placed.local_ranks));
    in_use_[event.rank] += found->per_rank.times(event.local_ranks);
  }
  placed.local_ranks = event.local_ranks;
  set_state(*found, TaskState::running, time);
}

void RunView::on(const events::AttemptStarted& event, WallTime time) {
  TaskRecord* found = task(event.attempt.task);
  if (found == nullptr) return;
  AttemptPart& one = part(*found, event.attempt.attempt, event.rank, time);
  if (one.phase == AttemptPart::Phase::over) return;
  one.phase = AttemptPart::Phase::running;
  one.pid = event.pid;
  one.started = event.started;
  one.cores = event.cores;
  one.gpus = event.gpus;
  one.launch = event.launch;
  set_state(*found, TaskState::running, time);
}

void RunView::on(const events::AttemptEnded& event, WallTime time) {
  TaskRecord* found = task(event.attempt.task);
  if (found == nullptr) return;
  AttemptPart& one = part(*found, event.attempt.attempt, event.rank, time);
  one.outcome = event.end.outcome;
  one.exit_code = event.end.exit_code;
  one.signal = event.end.signal;
  one.reason = event.end.reason;
  one.usage = event.end.usage;
  if (event.end.started != 0) one.started = event.end.started;
  const bool news = one.phase != AttemptPart::Phase::over;
  end_part(*found, one, event.end.ended != 0 ? event.end.ended : time);
  if (news && one.outcome != Outcome::done && one.outcome != Outcome::cancelled) {
    note({.kind = Failure::Kind::attempt,
          .time = time,
          .subject = found->id,
          .attempt = one.attempt,
          .rank = one.rank,
          .reason = one.reason});
  }
}

void RunView::on(const events::ServiceDeclared& event, WallTime /*time*/) {
  std::uint32_t slot = 0;
  while (slot < services_.size() && services_[slot].name != event.name) ++slot;
  if (slot == services_.size()) services_.emplace_back().name = event.name;
  service_by_index_[event.service] = slot;
  ServiceRecord* found = &services_[slot];
  found->replicas = event.replicas;
  found->remotes = event.remotes;
  found->per_replica = event.per_replica;
  found->ranks = std::max(event.ranks, 1u);
  found->models = event.models;
}

void RunView::on(const events::ReplicaChanged& event, WallTime time) {
  ReplicaRecord* found = life(event.replica, true);
  if (found == nullptr || event.state > ReplicaState::failed) return;
  ServiceRecord* owner = service(event.replica.service);
  owner->replicas = std::max(owner->replicas, event.replica.replica + 1);  // one that the load had asked for
  const bool was_wanted = found->state != ReplicaState::draining && found->ended == 0;
  count_replica(*owner, *found, false);
  found->state = event.state;
  found->drained = found->drained || event.state == ReplicaState::draining;
  if (event.rank >= 0) found->rank = event.rank;
  if (event.pid != 0) found->pid = event.pid;
  if (!event.reason.empty()) found->reason = event.reason;
  if (!event.launch.empty()) found->launch_method = event.launch;
  if (!event.parts.empty()) found->parts = event.parts;
  switch (event.state) {
    case ReplicaState::starting:
      if (found->starting == 0) found->starting = time;
      if (event.pid != 0) found->launch = event.took;
      break;
    case ReplicaState::ready:
      found->endpoint = event.endpoint;
      found->ready = time;
      found->init = event.took;
      break;
    case ReplicaState::ended:
    case ReplicaState::failed:
      end_life(*owner, *found, time);
      if (was_wanted && !event.reason.empty()) {
        note({.kind = Failure::Kind::replica,
              .time = time,
              .subject = owner->name,
              .replica = found->replica,
              .attempt = found->attempt,
              .rank = found->rank,
              .reason = event.reason});
      }
      break;
    case ReplicaState::waiting:
    case ReplicaState::draining:
      break;
  }
  count_replica(*owner, *found, true);
}

/// Takes what a replica holds into the use of its nodes, or out of it.
void RunView::count_replica(const ServiceRecord& owner, const ReplicaRecord& replica, bool add) {
  if (!replica.holds()) return;
  const auto count = [&](Rank rank, const Resources& held) {
    if (add) {
      in_use_[rank] += held;
    } else {
      give_back(rank, held);
    }
  };
  if (replica.parts.empty()) return count(replica.rank, owner.per_replica);
  const Resources& all = owner.per_replica;
  const Resources per_rank{all.cores / owner.ranks, all.gpus / owner.ranks, all.memory / owner.ranks};
  for (const events::PlacedRanks& part : replica.parts) count(part.rank, per_rank.times(part.local_ranks));
}

void RunView::on(const events::EpochPublished& event, WallTime /*time*/) {
  for (const ReplicaId& id : event.ready) {
    if (ReplicaRecord* found = life(id, false)) found->publish = event.took;
  }
}

void RunView::on(const events::RequestsCounted& event, WallTime /*time*/) {
  if (const ServiceRecord* found = service(event.sample.service)) {
    samples_[{found, event.rank}] = event.sample;
  }
}

void RunView::on(const events::Warning& event, WallTime /*time*/) {
  ++warning_count_;
  warnings_.push_back(event.text);
  if (warnings_.size() > kept_warnings) warnings_.pop_front();
}

void RunView::on(const events::RunDraining& event, WallTime /*time*/) {
  draining_ = true;
  drain_reason_ = event.reason;
}

void RunView::on(const events::RunEnded& event, WallTime time) {
  if (ended()) return;
  state_ = event.state == RunState::running ? RunState::failed : event.state;
  exit_code_ = event.exit_code;
  end_reason_ = event.reason;
  draining_ = false;
  active_before_ += Duration(elapsed(begun_, time));
  cut_off(time);
}

void RunView::cut_off(WallTime time) {
  for (TaskRecord& task : tasks_) {
    for (AttemptPart& part : task.parts) {
      if (part.phase == AttemptPart::Phase::over) continue;
      part.outcome = Outcome::lost;
      part.reason = "the run ended before it did";
      end_part(task, part, time);
    }
    if (task.state == TaskState::running || task.state == TaskState::ready) {
      set_state(task, TaskState::waiting, time);
    }
  }
  for (ServiceRecord& service : services_) {
    for (ReplicaRecord& life : service.lives) {
      if (life.state == ReplicaState::ended || life.state == ReplicaState::failed) continue;
      count_replica(service, life, false);
      life.state = ReplicaState::ended;
      end_life(service, life, time);
    }
  }
  for (auto& [rank, node] : nodes_) {
    if (node.left != 0) continue;
    node.left = time;
    available_.add(node.resources, node.joined, node.left);
  }
}

Duration RunView::active(WallTime now) const {
  if (ended() || incarnations_ == 0) return active_before_;
  return active_before_ + Duration(elapsed(begun_, now));
}

const TaskRecord* RunView::find_task(std::string_view id) const {
  const auto found = task_by_id_.find(id);
  return found != task_by_id_.end() ? &tasks_[found->second] : nullptr;
}

const ServiceRecord* RunView::find_service(std::string_view name) const {
  for (const ServiceRecord& service : services_) {
    if (service.name == name) return &service;
  }
  return nullptr;
}

RequestCounts RunView::requests(const ServiceRecord& service) const {
  RequestCounts out;
  if (const auto before = requests_before_.find(&service); before != requests_before_.end()) {
    out = before->second.total;
  }
  const auto [first, last] = samples_of(service);
  for (auto entry = first; entry != last; ++entry) {
    out.requests += entry->second.requests;
    out.failed += entry->second.failed;
  }
  return out;
}

std::map<std::uint32_t, RequestCounts> RunView::replica_requests(const ServiceRecord& service) const {
  std::map<std::uint32_t, RequestCounts> out;
  if (const auto before = requests_before_.find(&service); before != requests_before_.end()) {
    out = before->second.replicas;
  }
  const std::uint32_t replicas = std::min(service.replicas, max_replicas);
  for (std::uint32_t replica = 0; replica < replicas; ++replica) out.try_emplace(replica);
  const auto [first, last] = samples_of(service);
  for (auto entry = first; entry != last; ++entry) {
    for (const ServiceSample::PerReplica& one : entry->second.replicas) {
      out[one.replica].requests += one.requests;
      out[one.replica].failed += one.failed;
    }
  }
  return out;
}

std::map<std::uint32_t, ServiceSample::Load> RunView::replica_loads(const ServiceRecord& service) const {
  std::map<std::uint32_t, ServiceSample::Load> out;
  const auto [first, last] = samples_of(service);
  for (auto entry = first; entry != last; ++entry) {
    for (const ServiceSample::Load& one : entry->second.loads) {
      ServiceSample::Load& load = out.try_emplace(one.replica).first->second;
      load.active += one.active;
      load.latency.add(one.latency);
    }
  }
  return out;
}

ResponseTimes RunView::response(const ServiceRecord& service) const {
  ResponseTimes out;
  const auto [first, last] = samples_of(service);
  for (auto entry = first; entry != last; ++entry) out.add(entry->second.response);
  return out;
}

std::uint64_t RunView::queued(const ServiceRecord& service) const {
  std::uint64_t out = 0;
  const auto [first, last] = samples_of(service);
  for (auto entry = first; entry != last; ++entry) out += entry->second.queued;
  return out;
}

std::pair<RunView::Samples::const_iterator, RunView::Samples::const_iterator> RunView::samples_of(
    const ServiceRecord& service) const {
  return {samples_.lower_bound({&service, std::numeric_limits<Rank>::min()}),
          samples_.upper_bound({&service, std::numeric_limits<Rank>::max()})};
}

Resources RunView::in_use(Rank rank) const {
  const auto found = in_use_.find(rank);
  return found != in_use_.end() ? found->second : Resources{};
}

std::map<Rank, Resources> RunView::free_resources() const {
  std::map<Rank, Resources> free;
  for (const auto& [rank, node] : nodes_) {
    if (node.left != 0) continue;
    const Resources used = in_use(rank);
    Resources& left = free[rank];
    left = node.resources;
    left -= {.cores = std::min(left.cores, used.cores),
             .gpus = std::min(left.gpus, used.gpus),
             .memory = std::min(left.memory, used.memory)};
  }
  return free;
}

/// Never below nothing, whatever a damaged log says.
void RunView::give_back(Rank rank, const Resources& resources) {
  Resources& used = in_use_[rank];
  used -= {.cores = std::min(used.cores, resources.cores),
           .gpus = std::min(used.gpus, resources.gpus),
           .memory = std::min(used.memory, resources.memory)};
}

void RunView::note(Failure failure) {
  // That the task has failed says of its last attempt what that has just said itself.
  if (failure.kind == Failure::Kind::task && !failures_.empty()) {
    Failure& last = failures_.back();
    if (last.kind == Failure::Kind::attempt && last.subject == failure.subject && last.attempt == failure.attempt) {
      last.kind = Failure::Kind::task;
      if (!failure.reason.empty()) last.reason = std::move(failure.reason);
      return;
    }
  }
  ++failure_count_;
  failures_.push_back(std::move(failure));
  if (failures_.size() > defaults::kept_failures) failures_.pop_front();
}

Utilisation RunView::utilisation(WallTime now) const {
  Amount busy = busy_;
  Amount available = available_;
  for (const auto& [rank, node] : nodes_) {
    if (node.left == 0) available.add(node.resources, node.joined, now);
  }
  if (!ended()) {
    for (const TaskRecord& task : tasks_) {
      for (const AttemptPart& part : task.parts) {
        if (part.phase == AttemptPart::Phase::running) {
          busy.add(task.per_rank.times(part.local_ranks), part.started, now);
        }
      }
    }
    for (const ServiceRecord& service : services_) {
      for (const ReplicaRecord& life : service.lives) {
        if (life.ended == 0 && life.starting != 0) busy.add(service.per_replica, life.starting, now);
      }
    }
  }
  const auto part_of = [](double used, double all) { return all > 0 ? std::clamp(used / all, 0.0, 1.0) : 0.0; };
  return {part_of(busy.cores, available.cores), part_of(busy.gpus, available.gpus)};
}

TaskRecord* RunView::task(TaskIndex index) {
  const auto found = task_by_index_.find(index);
  return found != task_by_index_.end() ? &tasks_[found->second] : nullptr;
}

ServiceRecord* RunView::service(ServiceIndex index) {
  const auto found = service_by_index_.find(index);
  return found != service_by_index_.end() ? &services_[found->second] : nullptr;
}

ReplicaRecord* RunView::life(const ReplicaId& id, bool make) {
  ServiceRecord* owner = service(id.service);
  if (owner == nullptr) return nullptr;
  for (auto life = owner->lives.rbegin(); life != owner->lives.rend(); ++life) {
    if (life->incarnation != incarnations_) break;
    if (life->replica == id.replica && life->attempt == id.attempt) return &*life;
  }
  if (!make) return nullptr;
  ReplicaRecord& life = owner->lives.emplace_back();
  life.incarnation = incarnations_;
  life.replica = id.replica;
  life.attempt = id.attempt;
  return &life;
}

AttemptPart& RunView::part(TaskRecord& task, std::uint32_t attempt, Rank rank, WallTime time) {
  const auto is_same = [&](const AttemptPart& one) {
    return one.attempt == attempt && one.incarnation == incarnations_;
  };
  for (auto one = task.parts.rbegin(); one != task.parts.rend() && is_same(*one); ++one) {
    if (one->rank == rank) return *one;
  }
  const bool is_second = task.attempts() == 1 && !is_same(task.parts.back());
  if (is_second) ++retried_;
  AttemptPart& made = task.parts.emplace_back();
  made.incarnation = incarnations_;
  made.attempt = attempt;
  made.rank = rank;
  made.ready = task.state == TaskState::ready ? task.changed : 0;
  made.placed = time;
  in_use_[rank] += task.per_rank.times(made.local_ranks);
  return made;
}

void RunView::set_state(TaskRecord& task, TaskState state, WallTime time) {
  if (task.state == state) return;
  --counts_.at(static_cast<std::size_t>(task.state));
  ++counts_.at(static_cast<std::size_t>(state));
  TaskGroup& group = groups_[task.group];
  --group.counts.at(static_cast<std::size_t>(task.state));
  ++group.counts.at(static_cast<std::size_t>(state));
  task.state = state;
  task.changed = time;
}

void RunView::set_group(TaskRecord& task, const std::string& name) {
  if (task.group != no_group) {
    if (groups_[task.group].name == name) return;
    --groups_[task.group].counts.at(static_cast<std::size_t>(task.state));
  }
  auto found = group_by_name_.find(name);
  if (found == group_by_name_.end()) {
    groups_.push_back({.name = name});
    found = group_by_name_.emplace(groups_.back().name, static_cast<std::uint32_t>(groups_.size() - 1)).first;
  }
  task.group = found->second;
  ++groups_[task.group].counts.at(static_cast<std::size_t>(task.state));
}

void RunView::end_part(const TaskRecord& task, AttemptPart& part, WallTime time) {
  if (part.phase == AttemptPart::Phase::over) return;
  part.phase = AttemptPart::Phase::over;
  part.ended = time;
  give_back(part.rank, task.per_rank.times(part.local_ranks));
  if (part.started != 0) busy_.add(task.per_rank.times(part.local_ranks), part.started, part.ended);
}

void RunView::end_life(const ServiceRecord& service, ReplicaRecord& life, WallTime time) {
  if (life.ended != 0) return;
  life.ended = time;
  if (life.starting != 0) busy_.add(service.per_replica, life.starting, time);
}

}  // namespace trireme::observe
