// The services of a run and the lives of their replicas.
//
//   waiting --(its seat is free)--> starting --> ready --> draining --> ended
//      ^                               |           |
//      |                               +-----------+--> ended, and waiting again after a backoff, or failed
//      +------------------(elsewhere, when its node was lost)
//
// The first replicas of each service (`min`) are started at the beginning of the run, in order of priority and of `after`,
// and live until `stop` or the end of their service's `uptime`. More are started and ended as the load asks for it
// (pilot/autoscaler.hpp): they take seats like the first ones, but only where no task of higher priority waits and all tasks
// fit beside them; what drains is no longer reckoned with. A replica keeps its seat while it waits to be restarted, also in
// a rolling restart, which takes one replica at a time and the next when that is ready again. Restarts are counted per replica, their backoff doubles; one that was ready for long
// (defaults::stable_backoffs of its backoffs) counts anew. The loss of a node is no restart: the replica moves, if there
// is room.
//
// A replica of several ranks has a part on each node that holds some of them, and starts once all its seats are free. The part
// with rank 0 is the replica for its clients: it gets ready, drains, and when it has ended so, the others are told to end. If
// another part ends, or a node is lost, the replica is broken: no requests are sent to it any more, the other parts are ended
// at once, and when all are gone it has ended for the reason of the first.
//
// Each change that proxies must know is published: first the bare service, so
// that requests queue, then replicas as they get ready, drain and end. Changes that tasks must know are kept for
// `take_changes`.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/description.hpp"
#include "core/endpoint.hpp"
#include "core/ids.hpp"
#include "core/messages.hpp"
#include "core/states.hpp"
#include "core/units.hpp"
#include "pilot/autoscaler.hpp"
#include "pilot/fit.hpp"
#include "pilot/output.hpp"
#include "pilot/scheduler.hpp"

namespace trireme::pilot {

class Services {
 public:
  struct Change {
    enum class Kind : std::uint8_t {
      ready,    ///< requests are answered: a replica is ready, or it is remote
      unready,  ///< no replica is ready at the moment
      over,     ///< and none will be
      stopped,  ///< the same, as somebody has asked for
    };
    ServiceIndex service;
    Kind kind = Kind::ready;
    std::string reason;  ///< that it is over: "failed: …", say
  };

  Services(Scheduler& scheduler, Output& output) : scheduler_(scheduler), output_(output) {}

  /// Adds services that may name each other in any order. Nothing is added if one is wrong.
  Status declare(std::vector<ServiceDescription> services);
  /// Before it takes seats: former runs have made that many lives of each of its replicas.
  void continue_lives(std::string_view name, std::vector<std::uint32_t> made);
  /// Takes back the service that was declared last, with its seats.
  void withdraw_last();
  /// Gives the replicas of a service their seats. It is an error if there is no room for all of
  /// them.
  Status take_seats(ServiceIndex service);
  Status take_all_seats();
  /// Announces a service whose replicas have seats, and starts them.
  void start(ServiceIndex service, MonoTime now);
  /// In this order, those that are declared are to be started.
  std::vector<ServiceIndex> start_order() const;
  /// Starts replicas whose seats have become free, and whose services' `after` are ready.
  void start_waiting(MonoTime now);

  void on_started(Rank rank, const ReplicaStarted& started, MonoTime now);
  void on_ready(Rank rank, const ReplicaReady& ready, MonoTime now);
  void on_ended(Rank rank, const ReplicaEnded& ended, MonoTime now);
  /// The scheduler no longer knows the node, which may still run what it had: replicas that have ranks on other nodes too are
  /// ended there.
  void on_node_silent(Rank rank, const std::string& reason);
  /// And now it does not run anything any more.
  void on_node_lost(Rank rank, const std::string& reason);
  void on_sample(Rank rank, const ServiceSample& sample);
  /// Adds and ends replicas as the load asks for it. `tasks_fit` says whether all tasks fit beside the seats.
  void scale(const std::function<bool()>& tasks_fit, MonoTime now);
  /// Ends all replicas that only the load had asked for; false if there are none.
  bool shrink_to_min();
  void on_time(MonoTime now);
  std::optional<MonoTime> next_deadline() const;

  /// From now on nothing is started, whatever ends.
  void freeze() { frozen_ = true; }
  /// Asks all replicas to end.
  void stop();
  /// Asks the replicas of one service to end, for good: somebody wants it, and nothing has gone wrong.
  void stop(ServiceIndex service, const std::string& reason) { end(service, Change::Kind::stopped, reason); }
  /// Nothing answers for it, and nothing will.
  bool is_dead(ServiceIndex service) const;
  /// Starts each replica anew, one after the other.
  Status restart(ServiceIndex service);
  /// Goes on without the answers of an agent, or of all: its replicas count as ended.
  void abandon(std::optional<Rank> rank, const std::string& reason);

  /// Publishes each service that has changed since the last call.
  void publish_changes();
  std::vector<Change> take_changes() { return std::exchange(changes_, {}); }
  bool all_ended() const { return living_ == 0; }
  /// Whether a service is still there (one with an `uptime`, where not `any`).
  bool keeps_up(bool any) const;
  Duration longest_drain() const;
  /// "service llama failed: …", of the first that failed for good; empty if none did.
  const std::string& first_failure() const { return first_failure_; }
  std::vector<ServiceNeed> needs() const;
  std::optional<ServiceIndex> find(std::string_view name) const;
  std::uint32_t size() const { return static_cast<std::uint32_t>(services_.size()); }
  const ServiceDescription& description(ServiceIndex service) const { return *services_[service.value].description; }

 private:
  /// Its ranks on one node.
  struct Part {
    Seat seat;
    bool lives = false;  ///< it was started, and has not ended
  };
  /// Why a replica is being ended that nobody asked to end.
  struct Breakage {
    AttemptEnd end;
    bool was_stable = false;
    bool lost_node = false;
  };
  struct Replica {
    ReplicaState state = ReplicaState::waiting;
    std::uint32_t attempt = 0;   ///< the life that it is in, or that comes next
    std::uint32_t restarts = 0;  ///< since it last counted anew
    std::vector<Part> parts;     ///< in the order of ranks; none where it has no seats
    std::optional<Breakage> broken;
    MonoTime asked = 0;  ///< when its start was asked for
    MonoTime ready_since = 0;
    WallTime spawned = 0;      ///< by its node's clock
    std::uint32_t active = 0;  ///< requests that it works on, as its node said last
    std::optional<MonoTime> restart_at;
    bool outdated = false;   ///< to be started anew, when its turn comes
    bool returning = false;  ///< it drains to be started anew
    bool unhurried = false;  ///< it drains for as long as its requests take
    ReplicaEndpoint endpoint;
  };
  struct Service {
    std::unique_ptr<const ServiceDescription> description;
    std::vector<std::uint32_t> former_lives;  ///< of each replica, in former runs
    std::vector<Replica> replicas;
    Rank home = pilot_rank;
    bool started = false;
    bool unpublished = false;              ///< it has changed since it was published
    bool ready = false;                    ///< as the last Change said
    bool stopped = false;                  ///< before the run's end
    bool was_ready = false;                ///< once
    bool restart_told = false;             ///< a warning has said that one of its replicas is started again
    bool rolling = false;                  ///< its replicas are being started anew, one after the other
    std::optional<MonoTime> expires;       ///< the end of its uptime
    std::map<Rank, std::uint32_t> queued;  ///< as each rank said last
    ScalingHistory scaling;
    std::optional<MonoTime> scale_at;  ///< when to look again
  };
  using ReplicaRef = std::pair<ServiceIndex, std::uint32_t>;

  /// The node of rank 0.
  static Rank node_of(const Replica& replica) { return replica.parts.empty() ? -1 : replica.parts.front().seat.rank; }
  static Part* part_on(Replica& replica, Rank rank);
  static bool any_lives(const Replica& replica) {
    return std::any_of(replica.parts.begin(), replica.parts.end(), [](const Part& part) { return part.lives; });
  }
  static bool answers(const Replica& replica) { return replica.state == ReplicaState::ready && !replica.broken; }
  /// That it will keep.
  static bool has_seats(const Replica& replica) {
    return !replica.parts.empty() && !replica.parts.front().seat.leaving;
  }
  static std::string why_ended(const AttemptEnd& end);
  static bool is_live(ReplicaState state) {
    return state == ReplicaState::starting || state == ReplicaState::ready || state == ReplicaState::draining;
  }
  static bool is_over(const Replica& replica) {
    return replica.state == ReplicaState::ended || replica.state == ReplicaState::failed;
  }
  /// It is not about to end for good.
  static bool goes_on(const Replica& replica) {
    return !is_over(replica) && (replica.state != ReplicaState::draining || replica.returning);
  }
  /// It is to end for good.
  bool is_leaving(const Replica& replica) const {
    return frozen_ || (replica.state == ReplicaState::draining && !replica.returning);
  }
  Service& at(ServiceIndex index) { return services_[index.value]; }
  Replica& at(ReplicaRef ref) { return at(ref.first).replicas[ref.second]; }
  std::optional<ReplicaRef> live_replica(ReplicaId id) const;
  bool take_seats(ReplicaRef ref);
  void give_up_seats(ReplicaRef ref);
  bool occupy_seats(ReplicaRef ref);
  bool has_its_nodes(const Replica& replica) const;
  void launch(ReplicaRef ref, MonoTime now);
  bool part_ended(ReplicaRef ref, Rank rank, const ReplicaEnded& ended, MonoTime now);
  void break_up(ReplicaRef ref, Breakage why);
  void end_parts(ReplicaRef ref);
  bool is_stable(ReplicaRef ref, MonoTime now);
  void all_ended(ReplicaRef ref, const Breakage& how, MonoTime now);
  void start_again_later(ReplicaRef ref, const std::string& why, MonoTime now);
  void miss_part(ReplicaRef ref, const Part& part, AttemptEnd why);
  bool lose_part(ReplicaRef ref, Rank rank, const std::string& why);
  void leave_nodes(ReplicaRef ref, const std::string& why);
  void note(ReplicaRef ref, ReplicaState state, const std::string& reason);
  void life_over(ReplicaRef ref, ReplicaState state, const std::string& reason);
  void fail(ReplicaRef ref, const std::string& reason);
  void fail_followers(ServiceIndex service);
  void resettle(ReplicaRef ref, bool was_live, const std::string& why);
  void end(ServiceIndex service, Change::Kind how, const std::string& reason);
  void stop_replicas(ServiceIndex service);
  void drain(ReplicaRef ref, Drain how);
  void hurry(ReplicaRef ref);
  void send_stop(ReplicaRef ref, Drain how);
  bool may_start(ServiceIndex service) const;
  std::uint32_t seated(ServiceIndex service) const;
  ServiceLoad load_of(ServiceIndex service) const;
  bool grow(ServiceIndex service, const std::function<bool()>& tasks_fit);
  void shrink(ServiceIndex service, Drain how);
  void roll(ServiceIndex service);
  void end_roll(ServiceIndex service);
  void changed(ServiceIndex service);
  void forget_plans(ReplicaRef ref);
  Rank home_of(ServiceIndex service) const;
  ServiceEndpoint endpoint_of(ServiceIndex service) const;

  Scheduler& scheduler_;
  Output& output_;
  std::vector<Service> services_;
  std::unordered_map<std::string, ServiceIndex> by_name_;
  std::vector<ReplicaRef> waiting_;                     ///< for their seats to be free
  std::set<std::pair<MonoTime, ReplicaRef>> restarts_;  ///< replicas in their backoff
  std::vector<Change> changes_;
  std::vector<ServiceIndex> unpublished_;
  std::uint64_t living_ = 0;  ///< replicas that have not ended for good
  bool frozen_ = false;
  std::string first_failure_;
};

}  // namespace trireme::pilot
