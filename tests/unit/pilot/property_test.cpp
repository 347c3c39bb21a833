// Random workflows on random machines, against made-up agents that answer in any order, fail, crash and fall silent. Whatever
// happens: no node is handed more than it has, nothing starts before what it comes after, each task ends at most once, the
// run ends, and nothing is said after its end. The seeds are fixed, so a failure can be seen again.
#include <deque>
#include <map>
#include <random>
#include <set>

#include "core/backlog.hpp"
#include "harness.hpp"

using namespace trireme;
using namespace trireme::pilot;
using namespace trireme::pilot::test;

namespace {

/// How often things happened in all simulations: what never happened was not tested.
struct Tally {
  std::map<ExitCode, int> codes;
  int done = 0, failed = 0, skipped = 0, cancelled = 0, retried = 0;
  int ahead = 0, recalled = 0, succeeded = 0;
  int lost_nodes = 0, several_nodes = 0, wide_replicas = 0, wide_ready = 0, replicas_ready = 0, replicas_failed = 0,
      late = 0;
};

class Simulation final : public Output {
 public:
  Simulation(unsigned seed, Tally& tally) : tally_(tally), random_(seed), pilot_(options(), *this) {}

  void run() {
    load();
    if (pilot_.start(now_)) {
      if (chance(50)) pilot_.close(now_);
      for (int step = 0; step < 3'000 && !pilot_.finished(); ++step) act(1000);
      // Nobody intervenes any more: the run must come to its end by itself.
      pilot_.close(now_);
      for (int step = 0; step < 100'000 && !pilot_.finished(); ++step) act(quiet);
    } else {
      deliver_all();
    }
    REQUIRE(pilot_.finished());
    REQUIRE(run_ended_ == 1);
    const TaskCounts& counts = pilot_.counts();
    CHECK(counts.running == 0);
    CHECK(final_.size() == counts.total - counts.unfinished());
    if (pilot_.result().state == RunState::done) {
      CHECK(counts.unfinished() == 0);
      CHECK(counts.failed == 0);
    }
    const bool ran_its_course = !drained_ && pilot_.result().code != ExitCode::does_not_fit &&
                                pilot_.result().code != ExitCode::runtime_failed && !stop_on_failure_;
    if (ran_its_course) CHECK(counts.unfinished() == 0);
    ++tally_.codes[pilot_.result().code];
    tally_.done += static_cast<int>(counts.done);
    tally_.failed += static_cast<int>(counts.failed);
    tally_.skipped += static_cast<int>(counts.skipped);
    tally_.cancelled += static_cast<int>(counts.cancelled);
    tally_.retried += static_cast<int>(counts.retried);
    // And it stays silent.
    pilot_.on_time(now_ + 1'000'000 * second);
    for (auto& [rank, agent] : agents_) pilot_.on_message(rank, AgentDone{}, now_);
  }

  void send(Rank to, ToAgent message) override {
    REQUIRE(run_ended_ == 0);
    Agent& agent = agents_.at(to);
    const bool starts = std::holds_alternative<StartTask>(message) || std::holds_alternative<StartReplica>(message);
    if (!agent.alive && !starts && silent_.contains(to)) return;  // it may still hear it
    REQUIRE(agent.alive);
    if (const auto* start = std::get_if<StartTask>(&message); start != nullptr && start->ahead) {
      check_start(*start);
      ++tally_.ahead;
      agent.ahead[start->id] = start->task.per_rank;
      REQUIRE(agent.backlog.add(std::get<StartTask>(message)));
    } else if (start != nullptr) {
      check_start(*start);
      if (start->first_rank > 0) ++tally_.several_nodes;
      take(agent, start->task.per_rank.times(start->local_ranks));
      agent.taken[start->id] = start->task.per_rank.times(start->local_ranks);
      agent.tasks.insert(start->id);
      if (chance(80)) answer(to, TaskStarted{.id = start->id, .pid = 1});
    } else if (const auto* recall = std::get_if<RecallTasks>(&message)) {
      auto ids = agent.backlog.withdraw(recall->ids);
      tally_.recalled += static_cast<int>(ids.size());
      if (!ids.empty()) answer(to, TasksReturned{std::move(ids)});
    } else if (const auto* cancel = std::get_if<CancelTask>(&message)) {
      if (agent.tasks.contains(cancel->id) && !agent.deaf) {
        end_task(to, cancel->id, chance(20) ? Outcome::done : Outcome::cancelled);
      }
    } else if (const auto* replica = std::get_if<StartReplica>(&message)) {
      REQUIRE(replica->first_rank + replica->local_ranks <= replica->service.ranks);
      const Resources held = replica->service.per_rank.times(replica->local_ranks);
      if (replica->layout.size() > 1) ++tally_.wide_replicas;
      layout_[replica->id] = replica->layout;
      take(agent, held);
      agent.replica_taken[replica->id] = held;
      agent.replicas[replica->id] = false;
      answer(to, ReplicaStarted{.id = replica->id, .pid = 2});
    } else if (const auto* stop = std::get_if<StopReplica>(&message)) {
      if (agent.replicas.contains(stop->id) && !agent.deaf) end_replica(to, stop->id, Outcome::cancelled);
    } else if (!agent.deaf) {
      answer(to, TasksReturned{agent.backlog.clear()});
      while (!agent.tasks.empty()) end_task(to, *agent.tasks.begin(), Outcome::cancelled);
      while (!agent.replicas.empty()) end_replica(to, agent.replicas.begin()->first, Outcome::cancelled);
      answer(to, AgentDone{});
    }
  }

  void record(EventBody event) override {
    REQUIRE(run_ended_ == 0);
    if (std::holds_alternative<events::RunEnded>(event)) ++run_ended_;
    if (const auto* changed = std::get_if<events::TaskChanged>(&event)) {
      REQUIRE(!final_.contains(changed->task.value));
      if (is_final(changed->state)) final_[changed->task.value] = changed->state;
    }
    if (const auto* placed = std::get_if<events::AttemptPlaced>(&event)) take_place(placed->rank, placed->attempt);
    if (const auto* ended = std::get_if<events::AttemptEnded>(&event)) give_task(ended->rank, ended->attempt);
    if (const auto* changed = std::get_if<events::ReplicaChanged>(&event)) {
      if (changed->state == ReplicaState::ready) was_ready_.insert(changed->replica.service.value);
      if (changed->state == ReplicaState::ready && layout_.at(changed->replica).size() > 1) ++tally_.wide_ready;
      tally_.replicas_ready += changed->state == ReplicaState::ready ? 1 : 0;
      tally_.replicas_failed += changed->state == ReplicaState::failed ? 1 : 0;
    }
  }

  void publish(ServiceEndpoint service) override {
    REQUIRE(run_ended_ == 0);
    if (!agents_.empty() && any_alive() && !silent_.contains(service.home)) REQUIRE(agents_.at(service.home).alive);
    for (const ReplicaEndpoint& r : service.replicas) {
      if (!silent_.contains(r.rank)) REQUIRE(agents_.at(r.rank).alive);
      if (r.state != ReplicaState::ready) continue;
      const std::vector<RankBlock>& parts = layout_.at(r.id);
      for (const RankBlock& part : parts) REQUIRE((parts.size() == 1 || agents_.at(part.node).alive));
    }
  }

 private:
  static constexpr unsigned quiet = 990;  ///< below it, `act` does nothing from outside

  struct Agent {
    bool alive = true;
    bool deaf = false;  ///< takes messages and never answers requests to end
    Resources total;
    Resources used;
    std::set<AttemptId> tasks;
    std::map<ReplicaId, bool> replicas;  ///< whether ready
    std::map<AttemptId, Resources> taken;
    Backlog backlog;
    std::map<AttemptId, Resources> ahead;  ///< all that it was ever sent ahead, and that has taken no place
    std::map<ReplicaId, Resources> replica_taken;
    std::deque<FromAgent> said;
  };

  unsigned pick(unsigned n) { return static_cast<unsigned>(random_() % n); }
  bool chance(unsigned percent) { return pick(100) < percent; }

  Options options() {
    stop_on_failure_ = chance(10);
    uniform_ = chance(40);
    return {.stop_on_failure = stop_on_failure_, .backlog = chance(70) ? 1 + pick(8) : 0, .backlog_most = 12};
  }

  TaskDescription random_task(unsigned i) {
    TaskDescription t = task("t" + std::to_string(i));
    if (chance(50)) {
      const unsigned group = pick(5);
      t.name = "g" + std::to_string(group);
    }
    t.per_rank = {.cores = pick(3), .gpus = chance(20) ? 250 * (1 + pick(4)) : 0, .memory = pick(3)};
    t.ranks = chance(25) ? 1 + pick(6) : 1;
    if (uniform_) {
      t.per_rank = {.cores = 1};
      t.ranks = 1;
    }
    t.retries = pick(3);
    t.priority = static_cast<std::int32_t>(pick(3));
    for (unsigned k = pick(3); k > 0 && i > 0; --k) {
      const unsigned before = pick(i);
      std::set<unsigned>& all = before_[i];
      const std::string name = chance(30) ? name_of_[before] : "t" + std::to_string(before);
      t.after.push_back(name);
      for (unsigned j = 0; j < i; ++j) {
        if ("t" + std::to_string(j) == name || name_of_[j] == name) all.insert(j);
      }
    }
    for (unsigned s = 0; s < services_; ++s) {
      if (!chance(20)) continue;
      t.services.push_back("s" + std::to_string(s));
      needs_[i].insert(s);
    }
    name_of_.push_back(t.name);
    return t;
  }

  void load() {
    services_ = pick(3);
    for (unsigned s = 0; s < services_; ++s) {
      ServiceDescription d = service("s" + std::to_string(s), 1 + pick(3), pick(2));
      d.restart_max = pick(3);
      if (chance(50)) d.ranks = 2 + pick(8);
      if (chance(40)) d.ranks_per_node = 1 + pick(3);
      d.concurrency = 1;
      REQUIRE(pilot_.declare(d, now_));
    }
    const unsigned n = pick(80);
    for (unsigned i = 0; i < n; ++i) REQUIRE(pilot_.submit(random_task(i), now_));
    const unsigned nodes = 1 + pick(5);
    for (unsigned r = 0; r < nodes; ++r) {
      Agent& agent = agents_[static_cast<Rank>(r)];
      agent.deaf = chance(5);
      agent.total = {.cores = 4 + pick(8), .gpus = 1000 * (r == 0 ? 1 + pick(3) : pick(4)), .memory = 6 + pick(20)};
      pilot_.on_node_joined(static_cast<Rank>(r), {.host = "n", .resources = agent.total}, now_);
    }
  }

  bool any_alive() const {
    return std::any_of(agents_.begin(), agents_.end(), [](const auto& a) { return a.second.alive; });
  }

  void check_start(const StartTask& start) {
    if (may_be_ahead(start.task)) may_hand_on_[start.id.task.value] = start.task.per_rank;
    const unsigned task = start.id.task.value;
    for (unsigned before : before_[task]) REQUIRE(final_[before] == TaskState::done);
    for (unsigned s : needs_[task]) REQUIRE(was_ready_.contains(s));
    REQUIRE(!drained_);
    REQUIRE(!final_.contains(task));
  }

  void take(Agent& agent, const Resources& wanted) {
    agent.used += wanted;
    REQUIRE(agent.total.holds(agent.used));
  }
  /// Where an attempt was sent ahead, its placement is when it takes a place.
  void take_place(Rank rank, AttemptId id) {
    Agent& agent = agents_.at(rank);
    const auto ahead = agent.ahead.extract(id);
    if (!ahead) return;
    ++tally_.succeeded;
    agent.taken[id] = ahead.mapped();
    if (agent.alive) {
      take(agent, ahead.mapped());
    } else {
      agent.used += ahead.mapped();
    }
  }
  void give_task(Rank rank, AttemptId id) {
    Agent& agent = agents_.at(rank);
    REQUIRE(agent.taken.contains(id));
    agent.used -= agent.taken[id];
    agent.taken.erase(id);
  }
  void answer(Rank rank, FromAgent message) { agents_.at(rank).said.push_back(std::move(message)); }
  void end_task(Rank rank, AttemptId id, Outcome outcome) {
    Agent& agent = agents_.at(rank);
    agent.tasks.erase(id);
    const auto next =
        may_hand_on_.contains(id.task.value) ? agent.backlog.next(may_hand_on_.at(id.task.value)) : std::nullopt;
    if (next) agent.tasks.insert(next->id);
    answer(rank,
           TaskEnded{.id = id, .end = {.outcome = outcome, .exit_code = 1}, .next = next ? next->id : AttemptId{}});
  }
  void end_replica(Rank rank, ReplicaId id, Outcome outcome) {
    agents_.at(rank).replicas.erase(id);
    answer(rank, ReplicaEnded{.id = id, .end = {.outcome = outcome, .reason = "r"}});
  }

  /// One thing happens: an answer arrives, a task or replica changes, somebody intervenes, or time passes.
  void act(unsigned range) {
    const unsigned what = pick(range);
    const auto rank = static_cast<Rank>(pick(static_cast<unsigned>(agents_.size())));
    Agent& agent = agents_.at(rank);
    now_ += pick(1000) * 1'000'000;
    if (what < 450) {
      deliver(rank);
    } else if (what < 750) {
      if (!agent.alive || agent.tasks.empty()) return;
      auto id = agent.tasks.begin();
      std::advance(id, pick(static_cast<unsigned>(agent.tasks.size())));
      end_task(rank, *id, chance(85) ? Outcome::done : chance(80) ? Outcome::failed : Outcome::timeout);
    } else if (what < 900) {
      if (!agent.alive || agent.replicas.empty()) return;
      auto replica = agent.replicas.begin();
      std::advance(replica, pick(static_cast<unsigned>(agent.replicas.size())));
      if (chance(15)) {
        end_replica(rank, ReplicaId(replica->first), Outcome::failed);
      } else if (!std::exchange(replica->second, true)) {
        answer(rank, ReplicaReady{.endpoint = {.id = replica->first, .rank = rank, .port = 1}});
      }
    } else if (what < quiet) {
      if (const auto deadline = pilot_.next_deadline()) now_ = std::max(now_, *deadline);
      pilot_.on_time(now_);
    } else if (what < 993 && pilot_.counts().total > 0) {
      const TaskIndex task{pick(static_cast<unsigned>(pilot_.counts().total))};
      (void)pilot_.cancel(task, "asked", now_);
    } else if (what < 995 && agent.alive && chance(40)) {
      lose(rank);
    } else if (what == 995 && chance(20)) {
      drained_ = true;
      pilot_.drain("drained", ExitCode::drained, now_);
    } else if (what == 996 && chance(20)) {
      drained_ = true;
      pilot_.kill("killed", ExitCode::interrupted, now_);
    } else if (what == 997) {
      const auto i = static_cast<unsigned>(pilot_.counts().total);
      const std::vector<std::string> names = name_of_;
      if (!pilot_.submit(random_task(i), now_)) {
        name_of_ = names;
        before_.erase(i);
        needs_.erase(i);
      } else {
        ++tally_.late;
      }
    } else if (what >= 998) {
      pilot_.close(now_);
    }
  }

  void lose(Rank rank) {
    Agent& agent = agents_.at(rank);
    agent.alive = false;
    ++tally_.lost_nodes;
    if (chance(50)) agent.said.clear();  // else they arrive late, when nobody cares
    agent.tasks.clear();
    agent.replicas.clear();
    agent.backlog.clear();
    const MonoTime harmless_at = chance(50) ? now_ + pick(20) * second : 0;
    if (harmless_at > now_) silent_.insert(rank);
    pilot_.on_node_lost(rank, "silence", now_, harmless_at);
  }

  void deliver(Rank rank) {
    Agent& agent = agents_.at(rank);
    if (agent.said.empty()) return;
    const FromAgent message = std::move(agent.said.front());
    agent.said.pop_front();
    if (const auto* ended = std::get_if<ReplicaEnded>(&message); ended != nullptr && agent.alive) {
      agent.used -= agent.replica_taken.at(ended->id);
      agent.replica_taken.erase(ended->id);
    }
    if (const auto* returned = std::get_if<TasksReturned>(&message)) {
      for (const AttemptId id : returned->ids) agent.ahead.erase(id);
    }
    pilot_.on_message(rank, message, now_);
  }

  void deliver_all() {
    for (auto& [rank, agent] : agents_) {
      while (!agent.said.empty()) deliver(rank);
    }
    if (!pilot_.finished()) pilot_.on_time(now_ + 1'000 * second);
  }

  Tally& tally_;
  std::mt19937 random_;
  bool stop_on_failure_ = false;
  bool uniform_ = false;  ///< all tasks ask for the same
  Pilot pilot_;
  MonoTime now_ = 0;
  unsigned services_ = 0;
  std::map<Rank, Agent> agents_;
  std::vector<std::string> name_of_;
  std::map<unsigned, std::set<unsigned>> before_;  ///< what each task comes after
  std::map<unsigned, std::set<unsigned>> needs_;   ///< services
  std::map<unsigned, TaskState> final_;
  std::map<unsigned, Resources> may_hand_on_;  ///< what they ask for, by task
  std::set<unsigned> was_ready_;
  std::map<ReplicaId, std::vector<RankBlock>> layout_;
  std::set<Rank> silent_;  ///< lost, and once not known to be harmless
  bool drained_ = false;
  int run_ended_ = 0;
};

}  // namespace

TEST_SUITE("properties") {
  TEST_CASE("whatever happens, the promises hold") {
    Tally tally;
    for (unsigned seed = 1; seed <= 400; ++seed) {
      CAPTURE(seed);
      Simulation(seed, tally).run();
    }
    for (ExitCode code : {ExitCode::done, ExitCode::failed, ExitCode::does_not_fit, ExitCode::runtime_failed,
                          ExitCode::drained, ExitCode::interrupted}) {
      CAPTURE(to_int(code));
      CHECK(tally.codes[code] > 0);
    }
    for (int happened : {tally.done, tally.failed, tally.skipped, tally.cancelled, tally.retried, tally.lost_nodes,
                         tally.several_nodes, tally.wide_replicas, tally.wide_ready, tally.ahead, tally.recalled,
                         tally.succeeded, tally.replicas_ready, tally.replicas_failed, tally.late}) {
      CHECK(happened > 20);
    }
    std::string codes;
    for (const auto& [code, times] : tally.codes) {
      codes += " " + std::to_string(times) + "x" + std::to_string(to_int(code));
    }
    MESSAGE("exit codes" << codes << "; tasks " << tally.done << " done, " << tally.failed << " failed, "
                         << tally.skipped << " skipped, " << tally.cancelled << " cancelled, " << tally.retried
                         << " retried; " << tally.lost_nodes << " nodes lost");
  }
}
