// The world of a pilot in tests: it writes down each thing that leaves the pilot as one line, so that a test can say exactly
// what it expects and that nothing else was said.
//
//   to 1: start t0.0 ranks 0-3        t0.0 is the first attempt at task 0, s0.2.1 the second life of replica 2 of service 0
//   log: task 0 ready
//   publish: s0 home 0 [s0.0.0@1 ready]
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "pilot/output.hpp"
#include "pilot/pilot.hpp"

namespace trireme::pilot::test {

using Lines = std::vector<std::string>;

inline std::string name(AttemptId id) {
  return "t" + std::to_string(id.task.value) + "." + std::to_string(id.attempt);
}
inline std::string name(ReplicaId id) {
  return "s" + std::to_string(id.service.value) + "." + std::to_string(id.replica) + "." + std::to_string(id.attempt);
}
inline std::string with(const std::string& reason) {
  return reason.empty() ? "" : ": " + reason;
}

struct ToLine {
  std::string operator()(const StartTask& m) const {
    if (m.ahead) return "ahead " + name(m.id);
    return "start " + name(m.id) + ranks(m.first_rank, m.local_ranks, m.layout);
  }
  static std::string ranks(std::uint32_t first, std::uint32_t count, const std::vector<RankBlock>& layout) {
    const auto range = [](std::uint32_t from, std::uint32_t n) {
      return std::to_string(from) + "-" + std::to_string(from + n - 1);
    };
    std::string text = " ranks " + range(first, count);
    for (std::size_t i = 0; i < layout.size(); ++i) {
      const RankBlock& block = layout[i];
      text += (i == 0 ? " of " : ", ") + range(block.first_rank, block.local_ranks) + "@" + std::to_string(block.node);
    }
    return text;
  }
  std::string operator()(const CancelTask& m) const { return "cancel " + name(m.id) + with(m.reason); }
  std::string operator()(const RecallTasks& m) const {
    std::string line = "recall";
    for (const AttemptId id : m.ids) line += " " + name(id);
    return line;
  }
  std::string operator()(const StartReplica& m) const {
    return "start " + name(m.id) + (m.service.ranks > 1 ? ranks(m.first_rank, m.local_ranks, m.layout) : "");
  }
  std::string operator()(const StopReplica& m) const {
    return "stop " + name(m.id) +
           (m.drain == Drain::none        ? " at once"
            : m.drain == Drain::unlimited ? " unhurried"
                                          : "");
  }
  std::string operator()(const ShutdownAgent&) const { return "shutdown"; }

  std::string operator()(const events::RunStarted&) const { return "run started"; }
  std::string operator()(const events::NodeJoined& e) const { return "node " + std::to_string(e.rank) + " joined"; }
  std::string operator()(const events::NodeLost& e) const {
    return "node " + std::to_string(e.rank) + " lost" + with(e.reason);
  }
  std::string operator()(const events::TaskSubmitted& e) const {
    return "task " + std::to_string(e.task.value) + " submitted as " + e.id;
  }
  std::string operator()(const events::TaskChanged& e) const {
    return "task " + std::to_string(e.task.value) + " " + std::string(to_string(e.state)) + with(e.reason);
  }
  std::string operator()(const events::AttemptPlaced& e) const {
    return name(e.attempt) + " placed on " + std::to_string(e.rank) + " x" + std::to_string(e.local_ranks);
  }
  std::string operator()(const events::AttemptStarted& e) const {
    return name(e.attempt) + " started on " + std::to_string(e.rank);
  }
  std::string operator()(const events::AttemptEnded& e) const {
    return name(e.attempt) + " ended on " + std::to_string(e.rank) + " " + std::string(to_string(e.end.outcome));
  }
  std::string operator()(const events::ServiceDeclared& e) const {
    return "service " + std::to_string(e.service.value) + " declared as " + e.name;
  }
  std::string operator()(const events::ReplicaChanged& e) const {
    return name(e.replica) + " " + std::string(to_string(e.state)) + " on " + std::to_string(e.rank) + places(e.parts) +
           (e.pid != 0 ? " pid " + std::to_string(e.pid) : "") + (e.endpoint.empty() ? "" : " at " + e.endpoint) +
           with(e.reason);
  }
  static std::string places(const std::vector<events::PlacedRanks>& parts) {
    std::string text;
    for (const events::PlacedRanks& part : parts) {
      text += (text.empty() ? " (" : ", ") + std::to_string(part.local_ranks) + "@" + std::to_string(part.rank);
    }
    return text.empty() ? "" : text + ")";
  }
  std::string operator()(const events::EpochPublished&) const { return "epoch published"; }
  std::string operator()(const events::RequestsCounted& e) const {
    return "requests " + std::to_string(e.sample.requests) + " at " + std::to_string(e.rank);
  }
  std::string operator()(const events::Warning& e) const { return "warning" + with(e.text); }
  std::string operator()(const events::RunDraining& e) const { return "draining" + with(e.reason); }
  std::string operator()(const events::WorkflowGrew& e) const {
    return "grew by submission " + std::to_string(e.number);
  }
  std::string operator()(const events::RunEnded& e) const {
    return "run " + std::string(to_string(e.state)) + " " + std::to_string(e.exit_code) + with(e.reason);
  }
};

class Recorder : public Output {
 public:
  void send(Rank to, ToAgent message) override {
    lines_.push_back("to " + std::to_string(to) + ": " + std::visit(ToLine{}, message));
  }
  void record(EventBody event) override { lines_.push_back("log: " + std::visit(ToLine{}, event)); }
  void publish(ServiceEndpoint service) override {
    std::string line = "publish: s" + std::to_string(service.index.value) + " home " + std::to_string(service.home) +
                       (service.dead ? " dead" : "") + " [";
    for (std::size_t i = 0; i < service.replicas.size(); ++i) {
      const ReplicaEndpoint& r = service.replicas[i];
      line += (i > 0 ? ", " : "") + name(r.id) + "@" + std::to_string(r.rank) + " " + std::string(to_string(r.state));
    }
    lines_.push_back(line + "]");
  }
  /// What has been said since the last call.
  Lines take() { return std::exchange(lines_, {}); }

 private:
  Lines lines_;
};

inline TaskDescription task(std::string id, std::vector<std::string> after = {}) {
  TaskDescription t;
  t.name = t.id = std::move(id);
  t.command = {Template::literal("true")};
  t.after = std::move(after);
  return t;
}

inline ServiceDescription service(std::string name, std::uint32_t replicas = 1, std::uint32_t cores = 1) {
  ServiceDescription s;
  s.name = std::move(name);
  s.command = {Template::literal("serve")};
  s.replicas = replicas;
  s.per_rank.cores = cores;
  return s;
}

constexpr MonoTime second = 1'000'000'000;

/// A pilot and its recorder; `now` is the time that the helpers below tell it.
struct World {
  Recorder out;
  Pilot pilot;
  MonoTime now = 0;

  explicit World(Options options = {}) : pilot(options, out) {}

  void join(Rank rank, Resources resources) {
    pilot.on_node_joined(rank, {.host = "n" + std::to_string(rank), .resources = resources}, now);
  }
  void nodes(int n, std::uint32_t cores) {
    for (Rank rank = 0; rank < n; ++rank) join(rank, {.cores = cores});
  }
  TaskIndex submit(TaskDescription t) {
    const auto result = pilot.submit(std::move(t), now);
    REQUIRE_MESSAGE(result.ok(), (result.ok() ? "" : result.error().text()));
    return *result;
  }
  ServiceIndex declare(ServiceDescription s) {
    const auto result = pilot.declare(std::move(s), now);
    REQUIRE_MESSAGE(result.ok(), (result.ok() ? "" : result.error().text()));
    return *result;
  }
  /// Starts, and forgets what was said until then if it is not of interest.
  void start() {
    const Status status = pilot.start(now);
    REQUIRE_MESSAGE(status.ok(), (status.ok() ? "" : status.error().text()));
  }
  void end(Rank rank, std::uint32_t index, Outcome outcome = Outcome::done, std::uint32_t attempt = 0,
           std::int32_t exit_code = 0) {
    pilot.on_message(
        rank,
        TaskEnded{.id = {TaskIndex{index}, attempt}, .end = {.outcome = outcome, .exit_code = exit_code, .reason = ""}},
        now);
  }
  /// The end of a first attempt whose place the first attempt at another task has taken.
  void hand_on(Rank rank, std::uint32_t index, std::uint32_t next) {
    pilot.on_message(rank, TaskEnded{.id = {TaskIndex{index}, 0}, .end = {}, .next = {TaskIndex{next}, 0}}, now);
  }
  void give_back(Rank rank, std::vector<std::uint32_t> tasks) {
    TasksReturned returned;
    for (std::uint32_t index : tasks) returned.ids.push_back({TaskIndex{index}, 0});
    pilot.on_message(rank, std::move(returned), now);
  }
  void fail(Rank rank, std::uint32_t index, std::uint32_t attempt = 0) {
    end(rank, index, Outcome::failed, attempt, 3);
  }
  void replica_ready(Rank rank, ReplicaId id) {
    pilot.on_message(rank, ReplicaReady{.endpoint = {.id = id, .rank = rank, .port = 4711}}, now);
  }
  void replica_ended(Rank rank, ReplicaId id, std::string reason, Outcome outcome = Outcome::failed) {
    pilot.on_message(rank, ReplicaEnded{.id = id, .end = {.outcome = outcome, .reason = std::move(reason)}}, now);
  }
  void done(Rank rank) { pilot.on_message(rank, AgentDone{}, now); }
  TaskState state(std::uint32_t index) const { return pilot.task_state({index}); }
};

inline ReplicaId replica(std::uint32_t service, std::uint32_t index, std::uint32_t attempt = 0) {
  return {ServiceIndex{service}, index, attempt};
}

}  // namespace trireme::pilot::test
