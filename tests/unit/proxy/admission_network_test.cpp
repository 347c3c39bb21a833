// The whole admission protocol on several ranks over a made-up network: messages between two ranks keep their order
// within their class and are otherwise delayed at random, so everything that can cross does. Seeds are fixed; a failure
// names its own.
#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <random>
#include <set>
#include <vector>

#include "proxy/admission/admission.hpp"
#include "support.hpp"

using namespace trireme;
using namespace trireme::proxy;
using namespace trireme::proxy::test;

namespace {

struct Options {
  Rank ranks = 4;
  std::uint32_t concurrency = 2;
  std::uint32_t queue = 100'000;
  int requests = 400;
  double cancel = 0;  ///< share of clients that leave while they wait or run
  double short_deadline = 0;
  bool replica_dies = false;
  Rank lost = -1;  ///< a rank that is lost half way
};

enum class End { answered, full, dead, deadline, left, lost };

class World {
 public:
  World(unsigned seed, const Options& options) : options_(options), random_(seed) {
    for (Rank r = 0; r < options.ranks; ++r) ranks_.push_back(std::make_unique<Node>(*this, r));
    std::vector<Rank> owners;
    for (Rank r = 0; r < options.ranks; ++r) owners.push_back(r);
    endpoint_ = service_on(owners, options.concurrency);
    endpoint_.queue = options.queue;
    endpoint_.policy = seed % 2 == 0 ? PolicyKind::least_outstanding : PolicyKind::hash;
    endpoint_.home = options.lost >= 0 ? options.lost : 0;
    publish();
  }

  void run() {
    for (int i = 0; i < options_.requests; ++i) {
      at(pick(0, 200) * ms, [this, i] { arrive(i); });
    }
    if (options_.replica_dies) {
      at(60 * ms, [this] {
        endpoint_.replicas.erase(endpoint_.replicas.begin());
        publish();
      });
      at(120 * ms, [this] {
        endpoint_.replicas.push_back(
            {.id = replica(0, 1), .rank = 0, .state = ReplicaState::ready, .port = 0, .socket = {}, .key = {}});
        publish();
      });
    }
    if (options_.lost >= 0) at(100 * ms, [this] { lose(options_.lost); });
    while (!events_.empty()) {
      if (++steps_ > 2'000'000) FAIL("it never comes to rest");
      const Event event = events_.top();
      events_.pop();
      now_ = event.time;
      event.action();
    }
  }

  /// Everything that came in has one definite end, no slot is missing, and nobody waits.
  void check_quiet() {
    for (const auto& [number, request] : requests_) {
      CAPTURE(number);
      if (!gone(request->ingress)) CHECK(request->ends == 1);
    }
    for (const auto& node : ranks_) {
      if (gone(node->rank)) continue;
      CHECK(node->admission.queued(llama) == 0);
      CHECK(node->admission.dispatcher().waiting(llama) == 0);
      for (const auto& site : node->admission.table().find(llama)->sites) {
        if (site.owner != node->rank) continue;
        CHECK(node->admission.slots().load(site.id) == LoadReport{.in_flight = 0, .contended = false});
      }
    }
    CHECK(most_running_ <= options_.concurrency);
  }

  int count(End end) const {
    return static_cast<int>(std::count_if(requests_.begin(), requests_.end(),
                                          [&](const auto& r) { return r.second->ends == 1 && r.second->end == end; }));
  }
  std::uint32_t most_running() const { return most_running_; }

 private:
  struct Event {
    MonoTime time;
    std::uint64_t number;
    std::function<void()> action;
    bool operator<(const Event& other) const { return std::pair(time, number) > std::pair(other.time, other.number); }
  };

  struct Node final : AdmissionOutbox {
    Node(World& w, Rank r) : world(w), rank(r), admission(r, *this) {}
    void send(Rank to, AdmissionMessage message) override {
      const MonoTime when = world.arrival(rank, to, 0);
      world.at_absolute(when, [this, to, m = std::move(message)] {
        if (world.gone(rank) || world.gone(to)) return;
        world.ranks_[static_cast<std::size_t>(to)]->receive(rank, m);
      });
    }
    void receive(Rank from, const AdmissionMessage& message) {
      admission.on_message(from, message, world.now_);
      tick();
    }
    void tick() {
      const MonoTime next = admission.tick(world.now_);
      if (next == 0 || (next_tick != 0 && next_tick <= next && next_tick > world.now_)) return;
      next_tick = next;
      world.at_absolute(next, [this] {
        if (!world.gone(rank)) tick();
      });
    }
    World& world;
    Rank rank;
    Admission admission;
    MonoTime next_tick = 0;
  };

  struct Request final : SlotWaiter {
    World* world = nullptr;
    int number = 0;
    Rank ingress = 0;
    Demand demand;
    Affinity affinity;
    ReplicaId sent_to;
    std::optional<Ticket> ticket;
    std::optional<Hold> hold;
    std::optional<ReplicaId> at;
    Rank owner = -1;
    int ends = 0;
    End end = End::answered;

    void on_placed(Placement placement) override {
      ticket.reset();
      world->start(*this, std::move(placement));
    }
    void on_refused(Refusal refusal) override {
      finish(refusal.why == Refusal::Why::full   ? End::full
             : refusal.why == Refusal::Why::dead ? End::dead
                                                 : End::deadline);
    }
    void finish(End how) {
      ++ends;
      end = how;
      ticket.reset();
      hold.reset();
      at.reset();
      owner = -1;
    }
  };

  MonoTime pick(MonoTime low, MonoTime high) { return std::uniform_int_distribution<MonoTime>(low, high)(random_); }
  bool chance(double p) { return std::uniform_real_distribution<>(0, 1)(random_) < p; }
  bool gone(Rank rank) const { return lost_.contains(rank); }
  void at_absolute(MonoTime time, std::function<void()> action) {
    events_.push({time, ++next_event_, std::move(action)});
  }
  void at(MonoTime after, std::function<void()> action) { at_absolute(now_ + after, std::move(action)); }

  /// When a message sent now arrives: after a random time, and behind those before it of its class.
  MonoTime arrival(Rank from, Rank to, int message_class) {
    MonoTime& last = channels_[{from, to, message_class}];
    last = std::max(last + 1, now_ + (from == to ? 1 : pick(1, 3 * ms)));
    return last;
  }

  void publish() {
    ++epoch_;
    MonoTime& floor = epoch_floor_;
    for (auto& node : ranks_) {
      if (gone(node->rank)) continue;
      const EndpointEpoch epoch{.number = epoch_, .changed = {endpoint_}};
      at_absolute(std::max(floor, now_ + pick(1, 10 * ms)), [this, n = node.get(), epoch] {
        if (gone(n->rank)) return;
        n->admission.apply(epoch, now_);
        n->tick();
      });
    }
    floor = now_ + 11 * ms;
  }

  void lose(Rank rank) {
    lost_.insert(rank);
    for (auto& [number, request] : requests_) {
      if (request->ingress == rank) abandon(*request);
    }
    MonoTime last = 0;
    for (auto& node : ranks_) {
      if (gone(node->rank)) continue;
      const MonoTime delay = pick(5 * ms, 30 * ms);
      last = std::max(last, delay);
      at(delay, [this, n = node.get(), rank] {
        n->admission.on_rank_lost(rank, now_);
        for (auto& [number, request] : requests_) {
          if (request->ingress == n->rank && request->owner == rank) request->finish(End::lost);
          if (request->ingress == rank && request->owner == n->rank && request->at) {
            running(*request->at, -1);
            n->admission.slots().release(*request->at);
            request->at.reset();
          }
        }
        n->tick();
      });
    }
    at(pick(5 * ms, 40 * ms), [this, rank] {
      std::erase_if(endpoint_.replicas, [&](const auto& r) { return r.rank == rank; });
      endpoint_.home = (rank + 1) % options_.ranks;
      publish();
    });
  }

  /// Its ingress is dead: what it holds there is of no matter any more.
  void abandon(Request& request) { request.ends = -1; }

  void arrive(int number) {
    auto owned = std::make_unique<Request>();
    Request& request = *owned;
    request.world = this;
    request.number = number;
    request.ingress = static_cast<Rank>(pick(0, options_.ranks - 1));
    request.demand = {.service = llama,
                      .priority = static_cast<Priority>(pick(0, 2)),
                      .arrived = now_,
                      .deadline = now_ + (chance(options_.short_deadline) ? pick(1, 40) * ms : 3600 * second)};
    if (number % 10 != 0) request.affinity.session = static_cast<std::uint64_t>(number % 7);
    request.demand.affinity = &request.affinity;
    requests_.emplace(number, std::move(owned));
    Node& node = *ranks_[static_cast<std::size_t>(request.ingress)];
    if (gone(request.ingress)) {
      abandon(request);
      return;
    }
    if (chance(options_.cancel)) at(pick(0, 60 * ms), [this, number] { leave(number); });
    if (node.admission.table().find(llama) == nullptr) {
      at(20 * ms, [this, &request, &node] { decide(request, node, false); });
    } else {
      decide(request, node, false);
    }
  }

  void decide(Request& request, Node& node, bool must_wait) {
    if (request.ends != 0) return;
    auto& dispatcher = node.admission.dispatcher();
    auto decision = must_wait ? dispatcher.wait(request.demand, request.sent_to, request, now_)
                              : dispatcher.place(request.demand, {}, request, now_);
    if (auto* placement = std::get_if<Placement>(&decision)) {
      start(request, std::move(*placement));
    } else if (auto* ticket = std::get_if<Ticket>(&decision)) {
      request.ticket = std::move(*ticket);
    } else {
      request.on_refused(std::get<Refusal>(decision));
    }
    node.tick();
  }

  void start(Request& request, Placement placement) {
    const Rank owner = placement.owner;
    const ReplicaId replica = placement.replica;
    request.sent_to = replica;
    request.hold = std::move(placement.hold);
    request.owner = owner;
    const int number = request.number;
    if (owner == request.ingress) {
      request.at = replica;
      running(replica, 1);
      at(pick(1 * ms, 5 * ms), [this, number] {
        Request& r = *requests_.at(number);
        if (r.ends != 0) return;
        running(*r.at, -1);
        r.finish(End::answered);
      });
      return;
    }
    const std::uint64_t reservation = request.hold->use();
    at_absolute(arrival(request.ingress, owner, 1), [this, number, owner, replica, reservation] {
      if (gone(owner) || gone(requests_.at(number)->ingress)) return;
      open(*requests_.at(number), owner, replica, reservation);
    });
  }

  /// The forwarded request reaches the owner.
  void open(Request& request, Rank owner, const ReplicaId& replica, std::uint64_t reservation) {
    Node& node = *ranks_[static_cast<std::size_t>(owner)];
    const int number = request.number;
    const Rank ingress = request.ingress;
    if (!node.admission.slots().redeem(replica, reservation, now_)) {
      const LoadReport load = node.admission.slots().load(replica);
      at_absolute(arrival(owner, ingress, 1), [this, number, replica, load] {
        Request& r = *requests_.at(number);
        if (gone(r.ingress) || r.ends != 0) return;
        Node& home = *ranks_[static_cast<std::size_t>(r.ingress)];
        home.admission.dispatcher().on_load(replica, load, now_);
        r.hold.reset();
        r.owner = -1;
        decide(r, home, true);
      });
      node.tick();
      return;
    }
    request.at = replica;
    running(replica, 1);
    at(pick(1 * ms, 5 * ms), [this, number, owner, replica] {
      Request& r = *requests_.at(number);
      if (gone(owner) || r.at != replica) return;  // it was lost, or its client left
      r.at.reset();
      running(replica, -1);
      Node& n = *ranks_[static_cast<std::size_t>(owner)];
      n.admission.slots().release(replica);
      const LoadReport load = n.admission.slots().load(replica);
      n.tick();
      at_absolute(arrival(owner, r.ingress, 1), [this, number, replica, load] {
        Request& answered = *requests_.at(number);
        if (gone(answered.ingress) || answered.ends != 0) return;
        Node& home = *ranks_[static_cast<std::size_t>(answered.ingress)];
        answered.finish(End::answered);
        home.admission.dispatcher().on_load(replica, load, now_);
      });
    });
  }

  /// The client goes away.
  void leave(int number) {
    Request& request = *requests_.at(number);
    if (request.ends != 0) return;
    const Rank owner = request.owner;
    const Rank ingress = request.ingress;
    if (owner == ingress && request.at) running(*request.at, -1);
    const bool remote = owner >= 0 && owner != ingress;
    const auto where = request.at;
    request.finish(End::left);
    if (remote) {
      request.at = where;
      at_absolute(arrival(ingress, owner, 1), [this, number, owner] {
        Request& r = *requests_.at(number);
        if (gone(owner) || !r.at) return;
        const ReplicaId replica = *r.at;
        r.at.reset();
        running(replica, -1);
        ranks_[static_cast<std::size_t>(owner)]->admission.slots().release(replica);
      });
    }
  }

  void running(const ReplicaId& replica, int change) {
    std::uint32_t& n = running_[replica];
    n = static_cast<std::uint32_t>(static_cast<int>(n) + change);
    most_running_ = std::max(most_running_, n);
  }

  Options options_;
  std::mt19937 random_;
  MonoTime now_ = 1000 * second;
  std::priority_queue<Event> events_;
  std::uint64_t next_event_ = 0;
  int steps_ = 0;
  std::map<std::tuple<Rank, Rank, int>, MonoTime> channels_;
  std::map<ReplicaId, std::uint32_t> running_;
  std::uint32_t most_running_ = 0;
  std::set<Rank> lost_;
  ServiceEndpoint endpoint_;
  std::uint64_t epoch_ = 0;
  MonoTime epoch_floor_ = 0;
  std::vector<std::unique_ptr<Node>> ranks_;
  std::map<int, std::unique_ptr<Request>> requests_;
};

constexpr unsigned seeds = 60;

}  // namespace

TEST_CASE("admission over a network: all are answered, within the concurrency, and all slots come back") {
  for (unsigned seed = 0; seed < seeds; ++seed) {
    CAPTURE(seed);
    World world(seed, {});
    world.run();
    world.check_quiet();
    CHECK(world.count(End::answered) == 400);
    CHECK(world.most_running() == 2);
  }
}

TEST_CASE("admission over a network: clients that leave and deadlines that pass leak no slot") {
  for (unsigned seed = 0; seed < seeds; ++seed) {
    CAPTURE(seed);
    World world(seed, {.concurrency = 1, .cancel = 0.3, .short_deadline = 0.3});
    world.run();
    world.check_quiet();
    CHECK(world.count(End::answered) > 0);
    CHECK(world.count(End::deadline) > 0);
    CHECK(world.count(End::left) > 0);
  }
}

TEST_CASE("admission over a network: a short queue refuses and the others are answered") {
  for (unsigned seed = 0; seed < seeds; ++seed) {
    CAPTURE(seed);
    World world(seed, {.concurrency = 1, .queue = 5});
    world.run();
    world.check_quiet();
    CHECK(world.count(End::full) > 0);
    CHECK(world.count(End::full) + world.count(End::answered) == 400);
  }
}

TEST_CASE("admission over a network: replicas that go and come keep the queue moving") {
  for (unsigned seed = 0; seed < seeds; ++seed) {
    CAPTURE(seed);
    World world(seed, {.ranks = 3, .concurrency = 1, .cancel = 0.1, .replica_dies = true});
    world.run();
    world.check_quiet();
    CHECK(world.count(End::answered) > 0);
  }
}

TEST_CASE("admission over a network: the loss of the home rank ends or moves every request") {
  for (unsigned seed = 0; seed < seeds; ++seed) {
    CAPTURE(seed);
    World world(seed, {.ranks = 4, .concurrency = 1, .cancel = 0.1, .lost = static_cast<Rank>(1 + seed % 3)});
    world.run();
    world.check_quiet();
    CHECK(world.count(End::answered) > 0);
  }
}
