// Random mixes of services and tasks that compete for the same cores and GPUs by priority, under a load that comes and goes.
// Whatever the mix: every task ends (no deadlock, nothing starves), no node is handed more than it has, each service keeps
// between `min` and `max` replicas, and no replica is added while a task of higher priority than any service waits.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <queue>
#include <random>
#include <string>
#include <vector>

#include "pilot/pilot.hpp"

using namespace trireme;
using namespace trireme::pilot;

namespace {

constexpr MonoTime second = 1'000'000'000;

class Mix final : public Output {
 public:
  explicit Mix(std::uint32_t seed) : random_(seed), pilot_({.expected_nodes = nodes}, *this) {}

  void run() {
    WorkflowDescription flow;
    services_ = 1 + draw(3);
    for (std::uint32_t i = 0; i < services_; ++i) flow.services.push_back(make_service(i));
    highest_ = -100;
    for (const ServiceDescription& service : flow.services) highest_ = std::max(highest_, service.priority);
    tasks_ = 20 + draw(60);
    for (std::uint32_t i = 0; i < tasks_; ++i) flow.tasks.push_back(make_task(i, flow.services));
    described_ = flow.services;
    REQUIRE(pilot_.submit_all(flow).ok());
    for (Rank rank = 0; rank < nodes; ++rank) pilot_.on_node_joined(rank, {.host = "n", .resources = total}, now_);
    if (!pilot_.start(now_).ok()) return;  // it can never run, and that is said before anything starts
    pilot_.close(now_);
    // All work one after the other, and starts and drains between: it takes no longer, however it is shared out.
    const MonoTime longest = MonoTime{tasks_} * 40 * second + 1000 * second;
    MonoTime tick = 0;
    while (!pilot_.finished() && now_ < longest) {
      if (!coming_.empty() && coming_.top().at <= tick) {
        const Coming next = coming_.top();
        coming_.pop();
        now_ = next.at;
        give_back(next);
        pilot_.on_message(next.rank, next.message, now_);
      } else {
        now_ = tick;
        tick += second / 2;
        watched([&] { pilot_.on_time(now_); });
        for (std::uint32_t i = 0; i < services_ && !pilot_.finished(); ++i) load(i);
      }
    }
    CHECK(pilot_.finished());
    CHECK(pilot_.counts().done == tasks_);
    CHECK(pilot_.result().code == ExitCode::done);
    CHECK(overfull_ == 0);
    CHECK(outside_ == 0);
    CHECK(overtaking_ == 0);
  }
  std::uint32_t grown() const { return grown_; }
  std::uint32_t wide() const { return wide_; }

 private:
  static constexpr Rank nodes = 3;
  static constexpr Resources total{.cores = 8, .gpus = 2 * whole_gpu};
  struct Coming {
    MonoTime at = 0;
    std::uint64_t order = 0;
    Rank rank = 0;
    FromAgent message;
    Resources held;
    std::uint32_t service = ~0U;
    bool operator<(const Coming& other) const { return at != other.at ? at > other.at : order > other.order; }
  };

  std::uint32_t draw(std::uint32_t below) { return static_cast<std::uint32_t>(random_() % below); }
  Resources make_resources(std::uint32_t most) {
    Resources each{.cores = 1 + draw(most)};
    if (draw(3) == 0) each.gpus = draw(2) == 0 ? whole_gpu : whole_gpu / 4;
    return each;
  }

  ServiceDescription make_service(std::uint32_t i) {
    ServiceDescription service;
    service.name = "s" + std::to_string(i);
    service.command = {Template::literal("serve")};
    service.replicas = 1;
    service.replicas_max = 1 + draw(6);
    service.concurrency = 1 + draw(4);
    service.cooldown = std::chrono::seconds(1 + draw(10));
    service.priority = static_cast<std::int32_t>(draw(5)) - 2;
    service.per_rank = make_resources(3);
    if (draw(3) == 0) service.ranks = 2 + draw(3);
    if (service.ranks > 1 && draw(2) == 0) service.ranks_per_node = 1 + draw(2);
    if (i > 0 && draw(3) == 0) service.after = {"s0"};
    return service;
  }
  TaskDescription make_task(std::uint32_t i, const std::vector<ServiceDescription>& services) {
    TaskDescription task;
    task.name = task.id = "t" + std::to_string(i);
    task.command = {Template::literal("true")};
    task.per_rank = make_resources(4);
    task.ranks = draw(4) == 0 ? 1 + draw(4) : 1;
    task.exclusive = draw(12) == 0;
    task.priority = static_cast<std::int32_t>(draw(7)) - 3;
    if (draw(4) == 0) task.services = {services[draw(static_cast<std::uint32_t>(services.size()))].name};
    if (i > 0 && draw(3) == 0) task.after = {"t" + std::to_string(draw(i))};
    return task;
  }

  void load(std::uint32_t i) {
    if (draw(3) != 0) return;  // it stays as it was
    ServiceSample sample{.service = {i}, .queued = draw(2) == 0 ? draw(40) : 0};
    sample.loads.push_back({.replica = 0, .active = draw(12)});
    watched([&] { pilot_.on_message(static_cast<Rank>(i % nodes), sample, now_); });
  }
  std::uint32_t seats() const {
    std::uint32_t all = 0;
    for (const Scheduler::Node& node : pilot_.scheduler().nodes()) all += node.seats;
    return all;
  }
  template <typename Act>
  void watched(Act act) {
    const auto waiting = pilot_.scheduler().highest_priority();
    const std::uint32_t before = seats();
    act();
    if (seats() <= before) return;
    ++grown_;
    if (waiting && *waiting > highest_) ++overtaking_;
  }

  void send(Rank to, ToAgent message) override {
    if (auto* start = std::get_if<StartTask>(&message)) {
      const Resources held = start->task.per_rank.times(start->local_ranks);
      take(to, held);
      const AttemptEnd end{.outcome = Outcome::done, .exit_code = 0, .reason = ""};
      // All parts of an attempt take equally long.
      const MonoTime length = (1 + static_cast<MonoTime>(start->id.task.value * 7919 % 20)) * second;
      coming_.push({now_ + length, ++order_, to, TaskEnded{.id = start->id, .end = end}, held});
    } else if (auto* replica = std::get_if<StartReplica>(&message)) {
      const std::uint32_t service = replica->id.service.value;
      const Resources held = described_[service].per_rank.times(replica->local_ranks);
      held_[{replica->id, to}] = held;
      take(to, held);
      if (replica->layout.size() > 1) ++wide_;
      if (replica->first_rank > 0) return;
      head_[replica->id] = to;
      if (++living_[service] > described_[service].replicas_max + draining_[service]) ++outside_;
      coming_.push({now_ + second + draw(5) * second,
                    ++order_,
                    to,
                    ReplicaReady{.endpoint = {.id = replica->id, .rank = to, .port = 1}},
                    {}});
    } else if (auto* stop = std::get_if<StopReplica>(&message)) {
      const bool is_head = head_.at(stop->id) == to;
      const std::uint32_t service = is_head ? stop->id.service.value : ~0U;
      if (is_head) ++draining_[service];
      const AttemptEnd end{.outcome = Outcome::cancelled, .reason = ""};
      coming_.push({now_ + second + draw(4) * second, ++order_, to, ReplicaEnded{.id = stop->id, .end = end},
                    held_.at({stop->id, to}), service});
    } else if (std::holds_alternative<ShutdownAgent>(message)) {
      coming_.push({now_ + 1, ++order_, to, AgentDone{}, {}});
    }
  }
  void record(EventBody) override {}
  void publish(ServiceEndpoint) override {}

  void take(Rank rank, const Resources& held) {
    used_[rank] += held;
    if (!total.holds(used_[rank])) ++overfull_;
  }
  /// What ends is gone before the pilot hears of it.
  void give_back(const Coming& over) {
    used_[over.rank] -= over.held;
    if (over.service == ~0U) return;
    --living_[over.service];
    --draining_[over.service];
  }

  std::mt19937 random_;
  Pilot pilot_;
  MonoTime now_ = 0;
  std::uint64_t order_ = 0;
  std::uint32_t services_ = 0;
  std::uint32_t tasks_ = 0;
  std::int32_t highest_ = 0;
  std::vector<ServiceDescription> described_;
  std::priority_queue<Coming> coming_;
  std::map<Rank, Resources> used_;
  std::map<std::pair<ReplicaId, Rank>, Resources> held_;  ///< by the parts of replicas
  std::map<ReplicaId, Rank> head_;
  std::map<std::uint32_t, std::uint32_t> living_;
  std::map<std::uint32_t, std::uint32_t> draining_;
  std::uint32_t overfull_ = 0;
  std::uint32_t outside_ = 0;
  std::uint32_t overtaking_ = 0;
  std::uint32_t grown_ = 0;
  std::uint32_t wide_ = 0;  ///< parts of replicas on several nodes
};

}  // namespace

TEST_CASE("services and tasks that compete for cores and GPUs follow priorities, and never wait for each other") {
  std::uint32_t grown = 0;
  std::uint32_t wide = 0;
  for (std::uint32_t seed = 0; seed < 300; ++seed) {
    CAPTURE(seed);
    Mix mix(seed);
    mix.run();
    grown += mix.grown();
    wide += mix.wide();
  }
  CHECK(grown > 300);
  CHECK(wide > 30);
}
