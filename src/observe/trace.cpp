#include "observe/trace.hpp"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <ostream>
#include <queue>
#include <set>
#include <string_view>

namespace trireme::observe {
namespace {

using Json = nlohmann::ordered_json;

/// Something that took time on a node.
struct Slice {
  WallTime from = 0;
  WallTime to = 0;
  Rank rank = 0;
  std::uint32_t place = 0;  ///< of the task or service, in the view
  std::uint32_t part = 0;   ///< of the task's parts or the service's lives
  std::uint32_t row = 0;
};

/// Viewers take process and thread 0 for the idle ones.
std::int64_t pid_of(Rank rank) {
  return std::int64_t{rank} + 1;
}
constexpr std::uint32_t first_task_row = 1;
constexpr std::uint32_t first_service_row = 1'000'001;

/// Gives each slice the first row of its node on which nothing else is at its time.
void assign_rows(std::vector<Slice>& slices, std::uint32_t first_row) {
  std::sort(slices.begin(), slices.end(),
            [](const Slice& a, const Slice& b) { return a.from != b.from ? a.from < b.from : a.to > b.to; });
  struct Rows {
    using Busy = std::pair<WallTime, std::uint32_t>;
    std::priority_queue<Busy, std::vector<Busy>, std::greater<>> busy;
    std::set<std::uint32_t> free;
    std::uint32_t count = 0;
  };
  std::map<Rank, Rows> nodes;
  for (Slice& slice : slices) {
    Rows& rows = nodes[slice.rank];
    for (; !rows.busy.empty() && rows.busy.top().first <= slice.from; rows.busy.pop()) {
      rows.free.insert(rows.busy.top().second);
    }
    if (rows.free.empty()) rows.free.insert(first_row + rows.count++);
    slice.row = rows.free.extract(rows.free.begin()).value();
    rows.busy.emplace(slice.to, slice.row);
  }
}

/// Writes one event after the other.
class Writer {
 public:
  Writer(std::ostream& out, WallTime begin) : out_(out), begin_(begin) {}

  double us(WallTime time) const { return static_cast<double>(time - begin_) / 1000.0; }
  void event(const Json& json) {
    out_ << (first_ ? "\n" : ",\n") << json.dump(-1, ' ', false, Json::error_handler_t::replace);
    first_ = false;
  }
  void name(std::string_view what, Rank rank, std::uint32_t row, const std::string& name) {
    event({{"ph", "M"}, {"name", what}, {"pid", pid_of(rank)}, {"tid", row}, {"args", {{"name", name}}}});
  }
  void slice(const Slice& slice, std::string_view category, const std::string& name, Json args) {
    event({{"ph", "X"},
           {"cat", category},
           {"name", name},
           {"pid", pid_of(slice.rank)},
           {"tid", slice.row},
           {"ts", us(slice.from)},
           {"dur", static_cast<double>(slice.to - slice.from) / 1000.0},
           {"args", std::move(args)}});
  }
  void counter(WallTime time, Rank rank, const std::string& name, Json values) {
    event({{"ph", "C"}, {"name", name}, {"pid", pid_of(rank)}, {"ts", us(time)}, {"args", std::move(values)}});
  }

 private:
  std::ostream& out_;
  WallTime begin_;
  bool first_ = true;
};

std::vector<Slice> slices_of_tasks(const RunView& view, WallTime present) {
  std::vector<Slice> slices;
  for (std::uint32_t place = 0; const TaskRecord& task : view.tasks()) {
    for (std::uint32_t p = 0; p < task.parts.size(); ++p) {
      const AttemptPart& part = task.parts[p];
      if (part.started == 0) continue;
      const WallTime end = part.ended != 0 ? part.ended : present;
      slices.push_back({part.started, std::max(part.started, end), part.rank, place, p});
    }
    ++place;
  }
  assign_rows(slices, first_task_row);
  return slices;
}

/// One for each node that a replica has a part on.
std::vector<Slice> slices_of_services(const RunView& view, WallTime present) {
  std::vector<Slice> slices;
  for (std::uint32_t place = 0; const ServiceRecord& service : view.services()) {
    for (std::uint32_t l = 0; l < service.lives.size(); ++l) {
      const ReplicaRecord& life = service.lives[l];
      if (life.starting == 0 || life.rank < 0) continue;
      const WallTime end = std::max(life.starting, life.ended != 0 ? life.ended : present);
      if (life.parts.empty()) slices.push_back({life.starting, end, life.rank, place, l});
      for (const events::PlacedRanks& part : life.parts) slices.push_back({life.starting, end, part.rank, place, l});
    }
    ++place;
  }
  assign_rows(slices, first_service_row);
  return slices;
}

Json args_of(const TaskRecord& task, const AttemptPart& part) {
  Json args{{"command", task.command}, {"attempt", part.attempt}, {"pid", part.pid}, {"cores", part.cores}};
  if (!part.gpus.empty()) args["gpus"] = part.gpus;
  if (task.ranks > 1) args["ranks"] = part.local_ranks;
  if (!part.launch.empty()) args["launch"] = part.launch;
  if (part.placed != 0) args["placed_to_started_s"] = seconds(Duration(part.started - part.placed));
  if (part.phase != AttemptPart::Phase::over) return args;
  args["outcome"] = to_string(part.outcome);
  args["exit_code"] = part.exit_code;
  if (!part.reason.empty()) args["reason"] = part.reason;
  args["cpu_s"] = seconds(part.usage.user + part.usage.system);
  args["max_rss"] = part.usage.max_rss;
  return args;
}

Json args_of(const ReplicaRecord& life) {
  Json args{{"attempt", life.attempt}, {"state", to_string(life.state)}, {"pid", life.pid}};
  if (!life.endpoint.empty()) args["endpoint"] = life.endpoint;
  if (!life.reason.empty()) args["reason"] = life.reason;
  for (const auto& [name, took] :
       {std::pair{"launch_s", life.launch}, {"init_s", life.init}, {"publish_s", life.publish}}) {
    if (took) args[name] = seconds(*took);
  }
  return args;
}

void write_services(const RunView& view, const std::vector<Slice>& slices, Writer& out) {
  for (const Slice& slice : slices) {
    const ServiceRecord& service = view.services()[slice.place];
    const ReplicaRecord& life = service.lives[slice.part];
    out.slice(slice, "service", service.name + "/" + std::to_string(life.replica), args_of(life));
    // Inside of it: until it was ready.
    Slice inner = slice;
    inner.to = life.ready != 0 ? std::clamp(life.ready, slice.from, slice.to) : slice.to;
    out.slice(inner, "service", "starting", Json::object());
  }
}

/// An arrow to each task from the end of the one, among those that it comes after, that ended last.
void write_arrows(const RunView& view, const std::vector<Slice>& slices, Writer& out) {
  std::vector<const Slice*> first(view.tasks().size());
  std::vector<const Slice*> last(view.tasks().size());
  std::unordered_map<std::string_view, const Slice*> last_of_name;
  std::unordered_map<std::string_view, std::uint32_t> places;
  for (const Slice& slice : slices) {
    if (first[slice.place] == nullptr) first[slice.place] = &slice;
    const Slice*& known = last[slice.place];
    if (known == nullptr || known->to < slice.to) known = &slice;
    const Slice*& of_name = last_of_name[view.tasks()[slice.place].name];
    if (of_name == nullptr || of_name->to < slice.to) of_name = &slice;
  }
  for (std::uint32_t place = 0; const TaskRecord& task : view.tasks()) places.emplace(task.id, place++);
  for (std::uint32_t place = 0; const TaskRecord& task : view.tasks()) {
    const Slice* to = first[place++];
    const Slice* from = nullptr;
    for (const std::string& name : task.after) {
      const auto one = places.find(name);
      const auto all = last_of_name.find(name);
      const Slice* before = one != places.end() ? last[one->second] : all != last_of_name.end() ? all->second : nullptr;
      if (before != nullptr && (from == nullptr || from->to < before->to)) from = before;
    }
    if (to == nullptr || from == nullptr) continue;
    const Json head{{"cat", "after"}, {"name", "after"}, {"id", place}};
    Json start = head;
    start.update({{"ph", "s"},
                  {"pid", pid_of(from->rank)},
                  {"tid", from->row},
                  {"ts", out.us(std::max(from->from, from->to - 1))}});
    Json finish = head;
    finish.update({{"ph", "f"}, {"bp", "e"}, {"pid", pid_of(to->rank)}, {"tid", to->row}, {"ts", out.us(to->from)}});
    out.event(start);
    out.event(finish);
  }
}

/// What of each node was in use, at each change.
void write_use(const RunView& view, const std::vector<Slice>& tasks, const std::vector<Slice>& services, Writer& out) {
  struct Use {
    std::int64_t cores = 0;
    std::int64_t milli_gpus = 0;
  };
  std::map<Rank, std::map<WallTime, Use>> changes;
  const auto add = [&](const Slice& slice, const Resources& per_rank, std::uint32_t ranks) {
    const Resources all = per_rank.times(ranks);
    const Use use{std::int64_t{all.cores}, std::int64_t{all.gpus}};
    for (const auto& [time, sign] : {std::pair{slice.from, 1}, {slice.to, -1}}) {
      Use& change = changes[slice.rank][time];
      change.cores += sign * use.cores;
      change.milli_gpus += sign * use.milli_gpus;
    }
  };
  for (const Slice& slice : tasks) {
    const TaskRecord& task = view.tasks()[slice.place];
    add(slice, task.per_rank, task.parts[slice.part].local_ranks);
  }
  for (const Slice& slice : services) {
    const ServiceRecord& service = view.services()[slice.place];
    std::uint32_t ranks = 1;
    for (const events::PlacedRanks& part : service.lives[slice.part].parts) {
      if (part.rank == slice.rank) ranks = part.local_ranks;
    }
    add(slice, service.per_replica, ranks);
  }
  for (const auto& [rank, times] : changes) {
    Use now;
    for (const auto& [time, change] : times) {
      now.cores += change.cores;
      now.milli_gpus += change.milli_gpus;
      out.counter(time, rank, "in use", {{"cores", now.cores}, {"gpus", static_cast<double>(now.milli_gpus) / 1000.0}});
    }
  }
}

}  // namespace

void TraceNotes::apply(const Event& event) {
  const auto note = [&](std::string text) { instants_.push_back({event.time, std::move(text)}); };
  if (const auto* declared = std::get_if<events::ServiceDeclared>(&event.body)) {
    services_[declared->service] = declared->name;
  } else if (const auto* counted = std::get_if<events::RequestsCounted>(&event.body)) {
    const auto service = services_.find(counted->sample.service);
    if (service == services_.end()) return;
    Load load{event.time, counted->rank, service->second, 0, counted->sample.queued};
    for (const ServiceSample::Load& replica : counted->sample.loads) load.active += replica.active;
    loads_.push_back(std::move(load));
  } else if (const auto* lost = std::get_if<events::NodeLost>(&event.body)) {
    note("rank " + std::to_string(lost->rank) + " lost: " + lost->reason);
  } else if (const auto* warning = std::get_if<events::Warning>(&event.body)) {
    note(warning->text);
  } else if (const auto* draining = std::get_if<events::RunDraining>(&event.body)) {
    note("draining: " + draining->reason);
  }
}

void write_trace(const RunView& view, const TraceNotes& notes, WallTime present, std::ostream& out) {
  const std::vector<Slice> tasks = slices_of_tasks(view, present);
  const std::vector<Slice> services = slices_of_services(view, present);
  const Json about{
      {"name", view.name()}, {"run_id", view.run_id()}, {"trireme", view.version()}, {"started_ns", view.started()}};
  out << "{\"displayTimeUnit\":\"ms\",\"otherData\":" << about.dump(-1, ' ', false, Json::error_handler_t::replace)
      << ",\"traceEvents\":[";
  Writer writer(out, view.started());

  std::map<Rank, std::string> hosts;
  for (const auto& [rank, node] : view.nodes()) hosts[rank] = node.host;
  for (const auto& nodes : view.former_nodes()) {
    for (const auto& [rank, node] : nodes) hosts.emplace(rank, node.host);
  }
  for (const auto& [rank, host] : hosts) {
    writer.name("process_name", rank, 0, "rank " + std::to_string(rank) + ": " + host);
  }
  std::map<Rank, std::set<std::uint32_t>> rows;
  for (const Slice& slice : tasks) rows[slice.rank].insert(slice.row);
  for (const Slice& slice : services) rows[slice.rank].insert(slice.row);
  for (const auto& [rank, used] : rows) {
    for (const std::uint32_t row : used)
      writer.name("thread_name", rank, row, row < first_service_row ? "tasks" : "services");
  }

  for (const Slice& slice : tasks) {
    const TaskRecord& task = view.tasks()[slice.place];
    writer.slice(slice, "task", task.id, args_of(task, task.parts[slice.part]));
  }
  write_services(view, services, writer);
  write_arrows(view, tasks, writer);
  write_use(view, tasks, services, writer);
  for (const TraceNotes::Load& load : notes.loads()) {
    writer.counter(load.time, load.rank, load.service, {{"active", load.active}, {"queued", load.queued}});
  }
  for (const TraceNotes::Instant& instant : notes.instants()) {
    writer.event({{"ph", "i"},
                  {"s", "g"},
                  {"name", instant.text},
                  {"pid", pid_of(0)},
                  {"tid", first_task_row},
                  {"ts", writer.us(instant.time)}});
  }
  out << "\n]}\n";
}

}  // namespace trireme::observe
