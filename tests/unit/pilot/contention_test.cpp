// Services and tasks that compete for the same cores, with priorities: random mixes in which services are declared while tasks
// hold the machine, replicas crash and come back, and wide and narrow tasks wait side by side. Whatever the mix: nothing waits for
// ever, every service gets its seats, no task starts while a more urgent one waits that would have fitted there, and none
// is handed more than there is.
#include <deque>
#include <map>
#include <random>
#include <set>

#include "harness.hpp"

using namespace trireme;
using namespace trireme::pilot;
using namespace trireme::pilot::test;

namespace {

struct Tally {
  int done = 0, late_services = 0, waited_seats = 0, restarts = 0, overtaken_checks = 0, wide = 0;
};

class Mix final : public Output {
 public:
  Mix(unsigned seed, Tally& tally) : tally_(tally), random_(seed), pilot_({}, *this) {}

  void run() {
    const unsigned nodes = 1 + pick(4);
    for (unsigned r = 0; r < nodes; ++r) {
      Node& node = nodes_.emplace_back();
      node.total = {.cores = 4 + pick(5), .gpus = 1000 * pick(3), .memory = 8};
      pilot_.on_node_joined(static_cast<Rank>(r), {.host = "n", .resources = node.total}, now_);
    }
    for (unsigned s = pick(2); s > 0; --s) declare();
    for (unsigned t = 10 + pick(60); t > 0; --t) submit();
    if (!pilot_.start(now_)) return;  // too large a mix for this machine: that is another test's matter
    for (int step = 0; step < 200; ++step) act(true);
    pilot_.close(now_);
    // From here on tasks only end, and replicas get ready: the run must end by itself.
    for (int step = 0; step < 20'000 && !pilot_.finished(); ++step) act(false);
    REQUIRE_MESSAGE(pilot_.finished(), "the run hangs");
    CHECK(pilot_.result().state == RunState::done);
    CHECK(pilot_.counts().unfinished() == 0);
    tally_.done += static_cast<int>(pilot_.counts().done);
  }

  void send(Rank to, ToAgent message) override {
    Node& node = nodes_[static_cast<std::size_t>(to)];
    if (const auto* start = std::get_if<StartTask>(&message)) {
      if (start->first_rank == 0) {
        check_order(start->id.task.value, start->task);
        ready_.erase(start->id.task.value);
      } else {
        ++tally_.wide;
      }
      const Resources taken = start->task.per_rank.times(start->local_ranks);
      take(node, taken);
      running_.push_back({to, start->id, taken});
    } else if (const auto* replica = std::get_if<StartReplica>(&message)) {
      // One that comes back has kept its seat.
      if (seats_.insert({replica->id.service.value, replica->id.replica}).second) take(node, replica->service.per_rank);
      replicas_[replica->id] = {to, replica->service.per_rank, false};
    } else if (const auto* stop = std::get_if<StopReplica>(&message)) {
      said_.emplace_back(to, ReplicaEnded{.id = stop->id, .end = {.outcome = Outcome::cancelled}});
    } else if (std::holds_alternative<ShutdownAgent>(message)) {
      said_.emplace_back(to, AgentDone{});
    }
  }
  void record(EventBody event) override {
    if (const auto* changed = std::get_if<events::TaskChanged>(&event)) {
      if (changed->state == TaskState::ready) ready_.insert(changed->task.value);
      if (is_final(changed->state)) ready_.erase(changed->task.value);
    }
  }
  void publish(ServiceEndpoint) override {}

 private:
  struct Node {
    Resources total;
    Resources used;
  };
  struct Running {
    Rank rank;
    AttemptId id;
    Resources taken;
  };
  struct Replica {
    Rank rank;
    Resources taken;
    bool ready;
  };

  unsigned pick(unsigned n) { return static_cast<unsigned>(random_() % n); }
  bool chance(unsigned percent) { return pick(100) < percent; }

  void take(Node& node, const Resources& wanted) {
    node.used += wanted;
    REQUIRE(node.total.holds(node.used));
  }

  /// No task of one rank waits that is more urgent and would fit where it could be put now.
  void check_order(unsigned starting, const TaskDescription& task) {
    for (unsigned other : ready_) {
      const TaskDescription& waiting = descriptions_.at(other);
      if (other == starting || waiting.priority <= task.priority || waiting.ranks > 1) continue;
      ++tally_.overtaken_checks;
      for (std::size_t r = 0; r < nodes_.size(); ++r) {
        const Scheduler::Node& seen = pilot_.scheduler().nodes()[r];
        if (seen.unoccupied > 0 || seen.kept_for.valid() || waiting.per_rank.gpus % 1000 != 0) continue;
        Resources free = nodes_[r].total;
        free -= nodes_[r].used;
        CAPTURE(descriptions_.at(starting).id);
        CAPTURE(waiting.id);
        REQUIRE(!free.holds(waiting.per_rank));
      }
    }
  }

  void submit() {
    const auto number = static_cast<unsigned>(descriptions_.size());
    TaskDescription t = task("t" + std::to_string(number));
    t.per_rank = {.cores = pick(5), .gpus = chance(20) ? 1000 : 0u, .memory = pick(3)};
    t.ranks = chance(15) ? 2 + pick(4) : 1;
    t.priority = static_cast<std::int32_t>(pick(4));
    if (services_ > 0 && chance(30)) t.services = {"s" + std::to_string(pick(services_))};
    const auto submitted = descriptions_.try_emplace(number, t).first;
    if (!pilot_.submit(t, now_)) descriptions_.erase(submitted);  // it does not fit: said at once, and nothing waits
  }

  void declare() {
    ServiceDescription s = service("s" + std::to_string(services_), 1 + pick(2), 1 + pick(3));
    s.restart_max = 1000;
    const bool late = pilot_.counts().running > 0;
    if (!pilot_.declare(std::move(s), now_)) return;
    ++services_;
    tally_.late_services += late ? 1 : 0;
    for (const auto& node : pilot_.scheduler().nodes()) tally_.waited_seats += node.unoccupied > 0 ? 1 : 0;
  }

  void act(bool from_outside) {
    now_ += second;
    if (!said_.empty() && chance(60)) {
      const auto [rank, message] = said_.front();
      said_.pop_front();
      if (const auto* ended = std::get_if<ReplicaEnded>(&message)) give_up(ended->id);
      pilot_.on_message(rank, message, now_);
      return;
    }
    const unsigned what = pick(100);
    if (from_outside && what < 10) return submit();
    if (from_outside && what < 13) return declare();
    if (from_outside && what < 17 && !replicas_.empty()) return crash();
    if (what < 60 && !running_.empty()) {
      const std::size_t at = pick(static_cast<unsigned>(running_.size()));
      const Running part = running_[at];
      running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(at));
      nodes_[static_cast<std::size_t>(part.rank)].used -= part.taken;
      pilot_.on_message(part.rank, TaskEnded{.id = part.id, .end = {}}, now_);
      return;
    }
    for (auto& [id, replica] : replicas_) {
      if (std::exchange(replica.ready, true)) continue;
      pilot_.on_message(replica.rank, ReplicaReady{.endpoint = {.id = id, .rank = replica.rank, .port = 1}}, now_);
      return;
    }
    now_ += 100 * second;
    pilot_.on_time(now_);
  }

  /// A replica dies, and keeps its seat until it is started again.
  void crash() {
    auto at = replicas_.begin();
    std::advance(at, pick(static_cast<unsigned>(replicas_.size())));
    const ReplicaId id = at->first;
    const Replica replica = at->second;
    replicas_.erase(at);
    ++tally_.restarts;
    pilot_.on_message(replica.rank, ReplicaEnded{.id = id, .end = {.outcome = Outcome::failed, .reason = "r"}}, now_);
  }
  void give_up(ReplicaId id) {
    const auto found = replicas_.find(id);
    if (found == replicas_.end()) return;
    nodes_[static_cast<std::size_t>(found->second.rank)].used -= found->second.taken;
    replicas_.erase(found);
  }

  Tally& tally_;
  std::mt19937 random_;
  Pilot pilot_;
  MonoTime now_ = 0;
  unsigned services_ = 0;
  std::vector<Node> nodes_;
  std::map<unsigned, TaskDescription> descriptions_;
  std::set<unsigned> ready_;
  std::vector<Running> running_;
  std::map<ReplicaId, Replica> replicas_;
  std::set<std::pair<unsigned, unsigned>> seats_;  ///< that were taken: service and replica
  std::deque<std::pair<Rank, FromAgent>> said_;
};

}  // namespace

TEST_SUITE("contention") {
  TEST_CASE("services and tasks share the cores by priority and never wait for each other for ever") {
    Tally tally;
    for (unsigned seed = 1; seed <= 300; ++seed) {
      CAPTURE(seed);
      Mix(seed, tally).run();
    }
    for (int happened :
         {tally.done, tally.late_services, tally.waited_seats, tally.restarts, tally.overtaken_checks, tally.wide}) {
      CHECK(happened > 20);
    }
  }
}
