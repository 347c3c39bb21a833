#include "node/agent.hpp"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <deque>
#include <map>
#include <unordered_map>
#include <utility>

#include "core/backlog.hpp"
#include "core/defaults.hpp"
#include "launch/wireup/exchange.hpp"
#include "node/child_listener.hpp"
#include "node/executors.hpp"
#include "node/replica.hpp"
#include "node/replica_part.hpp"
#include "node/spawner/locate.hpp"
#include "node/task_attempt.hpp"

namespace trireme {
namespace {

std::shared_ptr<Attempt> make_task_attempt(NodeContext& node, StartTask part, Attempt::Over over) {
  return std::make_shared<TaskAttempt>(node, std::move(part), std::move(over));
}

}  // namespace

class Agent::Impl {
 public:
  Impl(boost::asio::io_context& loop, AgentOptions options, AgentHooks hooks, SpawnerFactory spawner)
      : hooks_(std::move(hooks)),
        resources_(options.node),
        processes_(loop, std::move(spawner), [this](const Error& trouble) { hooks_.warn(trouble.text()); }),
        files_(loop),
        output_(loop, RunPaths(options.run.run_dir).output(options.rank),
                RunPaths(options.run.run_dir).output_index(options.rank)),
        listener_(loop, options.tmp_folder / "wireup"),
        hosts_(options.hosts ? *options.hosts : Hosts(options.host)),
        exchange_(options.rank, [this](Rank to, wireup::Message message) { send_peer(to, std::move(message)); }),
        methods_(built_launch_methods(launch_context(loop, options))),
        environments_(processes_, files_, environment_options(options)),
        context_{.loop = loop,
                 .hooks = hooks_,
                 .run = options.run,
                 .paths = RunPaths(options.run.run_dir),
                 .rank = options.rank,
                 .node = std::move(options.node),
                 .host = std::move(options.host),
                 .tmp_folder = std::move(options.tmp_folder),
                 .proxy = {options.proxy_url, options.proxy_socket, options.run.inference_token},
                 .python = locate_python(),
                 .base = base_variables(options.base_environment),
                 .processes = processes_,
                 .files = files_,
                 .output = output_,
                 .resources = resources_,
                 .environments = environments_,
                 .ports = ports_,
                 .hosts = hosts_,
                 .methods = methods_,
                 .surroundings = look_around(base_variables(options.base_environment),
                                             base_variables(options.launcher_environment), options.run.dvm_uri),
                 .programs = programs_},
        executors_(context_),
        make_attempt_(options.make_attempt ? std::move(options.make_attempt) : make_task_attempt),
        end_deadline_(loop) {
    for (EnvironmentDescription& environment : options.environments) environments_.define(std::move(environment));
  }

  Status start() {
    if (auto opened = processes_.open(); !opened.ok()) return opened;
    hooks_.send(NodeJoined{context_.host, context_.node.amount(), context_.proxy.url, context_.node.warnings});
    return {};
  }

  void define_environment(EnvironmentDescription environment) { environments_.define(std::move(environment)); }
  void renew_lease(std::chrono::milliseconds duration) {
    lease_until_ = Clock::now() + duration;
    processes_.renew_lease(duration);
  }
  bool done() const { return state_ == State::done; }

  void on_peer_message(Rank from, std::string_view bytes) {
    auto message = wireup::decode(bytes);
    if (!message) return hooks_.warn(message.error().text());
    on_wireup(from, std::move(*message));
  }

  void on_rank_lost(Rank rank) {
    hosts_.lose(rank);
    for (const auto& method : methods_) method->on_rank_lost(rank);
  }

  void on(StartTask&& order) {
    const AttemptId id = order.id;
    if (tasks_.contains(id) || executors_.contains(id)) return;  // a repeated order
    if (order.ahead) {
      if (state_ != State::working || !backlog_.add(order)) hooks_.send(TasksReturned{{id}});
      return;
    }
    if (state_ != State::working) return hooks_.send(TaskEnded{id, refused()});
    if (order.task.function) {
      return executors_.start(std::move(order), [this, id](AttemptEnd end) {
        hooks_.send(TaskEnded{id, std::move(end)});
        check_end();
      });
    }
    start(std::move(order));
  }

  void on(RecallTasks&& order) {
    auto ids = backlog_.withdraw(order.ids);
    if (!ids.empty()) hooks_.send(TasksReturned{std::move(ids)});
  }

  void on(CancelTask&& order) {
    const auto found = tasks_.find(order.id);
    const std::string reason = order.reason.empty() ? "cancelled" : order.reason;
    if (found == tasks_.end()) {
      executors_.cancel(order.id, reason);
      return;
    }
    const auto attempt = found->second;
    attempt->cancel(reason);
  }

  void on(StartReplica&& order) {
    const ReplicaId id = order.id;
    if (state_ != State::working) return hooks_.send(ReplicaEnded{id, refused(), false});
    if (replicas_.contains(id) || replica_parts_.contains(id)) return;
    if (order.first_rank > 0) return start_part(std::move(order));
    auto replica = std::make_shared<Replica>(context_, std::move(order), [this, id](ReplicaEnded end) {
      replicas_.erase(id);
      hooks_.send(std::move(end));
      check_end();
    });
    replicas_.emplace(id, replica);
    replica->start();
  }

  void on(StopReplica&& order) {
    if (const auto found = replicas_.find(order.id); found != replicas_.end()) {
      const auto replica = found->second;
      replica->stop(order.drain);
    } else if (const auto part = replica_parts_.find(order.id); part != replica_parts_.end()) {
      const auto ending = part->second;
      ending->end_now();
    }
  }

  void on(ShutdownAgent&&) { shutdown(); }

  void shutdown() {
    if (state_ != State::working) return;
    state_ = State::ending;
    end_deadline_.expires_after(defaults::stop_grace + defaults::unkillable_after + defaults::agent_end_extra);
    end_deadline_.async_wait([this](boost::system::error_code cancelled) {
      if (!cancelled) close();
    });
    environments_.stop(defaults::stop_grace);
    if (auto ids = backlog_.clear(); !ids.empty()) hooks_.send(TasksReturned{std::move(ids)});
    for (const auto& [id, attempt] : std::unordered_map(tasks_)) attempt->cancel("the run is over");
    for (const auto& [id, replica] : std::map(replicas_)) replica->end_now();
    for (const auto& [id, part] : std::map(replica_parts_)) part->end_now();
    executors_.cancel_all("the run is over");
    check_end();
  }

 private:
  enum class State { working, ending, closing, done };
  using Clock = std::chrono::steady_clock;

  static Environments::Options environment_options(const AgentOptions& options) {
    const RunPaths paths(options.run.run_dir);
    return {.base = base_variables(options.base_environment),
            .log_folder = paths.node(options.rank) / "environments",
            .tmp_folder = options.tmp_folder,
            .workflow_dir = options.run.workflow_dir,
            .lookup = [run = options.run, host = options.host](std::string_view name) -> std::optional<std::string> {
              if (name == "run_dir") return run.run_dir;
              if (name == "workflow_dir") return run.workflow_dir;
              if (name == "host") return host;
              return std::nullopt;
            }};
  }

  LaunchContext launch_context(boost::asio::io_context& loop, const AgentOptions& options) {
    const auto& cores = options.node.cores;
    return {.loop = loop,
            .processes = processes_,
            .listener = listener_,
            .exchange = exchange_,
            .hosts = hosts_,
            .send = [this](Rank to, wireup::Message message) { send_peer(to, std::move(message)); },
            .self = options.rank,
            .run = options.run,
            .tmp_folder = options.tmp_folder,
            .log_folder = RunPaths(options.run.run_dir).node(options.rank),
            .base = base_variables(options.base_environment),
            .launcher = base_variables(options.launcher_environment),
            .shared_cores = std::any_of(cores.begin(), cores.end(), [](auto& core) { return core.cpus.empty(); })};
  }

  /// To the own rank by way of the loop, so that no method is called from inside itself.
  void send_peer(Rank to, wireup::Message message) {
    if (to != context_.rank) return hooks_.send_peer(to, wireup::encode(message));
    boost::asio::post(context_.loop, [this, alive = std::weak_ptr(alive_), message = std::move(message)]() mutable {
      if (!alive.expired()) on_wireup(context_.rank, std::move(message));
    });
  }

  void on_wireup(Rank from, wireup::Message message) {
    if (auto* up = std::get_if<wireup::Contribution>(&message)) return exchange_.on(std::move(*up), mono_now());
    if (auto* down = std::get_if<wireup::Gathered>(&message)) return exchange_.on(std::move(*down));
    if (auto* head = std::get_if<wireup::HeadAddress>(&message)) return on_head(std::move(*head));
    for (const auto& method : methods_) method->on_message(from, message);
  }

  void start_part(StartReplica&& order) {
    const ReplicaId id = order.id;
    auto part = std::make_shared<ReplicaPart>(context_, std::move(order), [this, id](ReplicaEnded end) {
      replica_parts_.erase(id);
      hooks_.send(std::move(end));
      check_end();
    });
    replica_parts_.emplace(id, part);
    auto head = early_heads_.extract({id.service, id.replica});
    if (head && head.mapped().replica == id) part->on_head(std::move(head.mapped()));
    part->start();
  }

  /// The order to start may come later than this, from another rank.
  void on_head(wireup::HeadAddress&& head) {
    const ReplicaId id = head.replica;
    if (const auto found = replica_parts_.find(id); found != replica_parts_.end()) {
      const auto part = found->second;
      part->on_head(std::move(head));
    } else if (state_ == State::working) {
      const auto [known, is_new] = early_heads_.try_emplace({id.service, id.replica}, head);
      if (!is_new && known->second.replica.attempt < id.attempt) known->second = std::move(head);
    }
  }

  /// One after the other and not one inside the other: an attempt may be over before its start() returns, and so may be the
  /// one that takes its place.
  void start(StartTask&& order) {
    to_start_.push_back(std::move(order));
    if (to_start_.size() > 1) return;
    for (; !to_start_.empty(); to_start_.pop_front()) make_and_start(std::move(to_start_.front()));
  }

  void make_and_start(StartTask&& order) {
    const AttemptId id = order.id;
    const bool hands_on = may_be_ahead(order.task);
    const Resources each = order.task.per_rank;
    auto attempt = make_attempt_(context_, std::move(order), [this, id, hands_on, each](AttemptEnd end) {
      tasks_.erase(id);
      auto next = hands_on ? successor(end, each) : std::nullopt;
      hooks_.send(TaskEnded{id, std::move(end), next ? next->id : AttemptId{}});
      if (next) start(std::move(*next));
      check_end();
    });
    tasks_.emplace(id, attempt);
    attempt->start();
  }

  /// Who takes the place of an attempt that has ended. Nobody after the lease: the pilot may have given up this rank, and
  /// ordered the same from another.
  std::optional<StartTask> successor(const AttemptEnd& end, const Resources& each) {
    if (backlog_.size() == 0 || state_ != State::working) return std::nullopt;
    if (end.outcome == Outcome::lost || Clock::now() >= lease_until_) return std::nullopt;
    return backlog_.next(each);
  }

  static AttemptEnd refused() {
    AttemptEnd end;
    end.outcome = Outcome::cancelled;
    end.reason = "the run is over";
    end.started = end.ended = wall_now();
    return end;
  }

  /// Goes on to the end when all is gone.
  void check_end() {
    if (state_ == State::ending && tasks_.empty() && replicas_.empty() && replica_parts_.empty() && executors_.empty())
      close();
  }

  void close() {
    if (state_ != State::ending) return;
    state_ = State::closing;
    end_deadline_.cancel();
    for (const auto& method : methods_) method->close();
    processes_.close(defaults::stop_grace, [this] {
      state_ = State::done;
      hooks_.send(AgentDone{});
    });
  }

  // In this order: what is named further up outlives what is made of it.
  AgentHooks hooks_;
  ResourceQueue resources_;
  PortPicker ports_;
  Processes processes_;
  FileWorker files_;
  OutputCollector output_;
  ChildListener listener_;
  Hosts hosts_;
  wireup::Exchange exchange_;
  ProgramKinds programs_;
  LaunchMethods methods_;
  Environments environments_;
  NodeContext context_;
  Executors executors_;
  AttemptMaker make_attempt_;
  std::unordered_map<AttemptId, std::shared_ptr<Attempt>> tasks_;
  Backlog backlog_;
  std::deque<StartTask> to_start_;                            ///< the first is being started
  Clock::time_point lease_until_ = Clock::time_point::max();  ///< until there is one
  std::map<ReplicaId, std::shared_ptr<Replica>> replicas_;
  std::map<ReplicaId, std::shared_ptr<ReplicaPart>> replica_parts_;
  /// Of each replica the latest that came before its order to start.
  std::map<std::pair<ServiceIndex, std::uint32_t>, wireup::HeadAddress> early_heads_;
  boost::asio::steady_timer end_deadline_;
  State state_ = State::working;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

Agent::Agent(boost::asio::io_context& loop, AgentOptions options, AgentHooks hooks, SpawnerFactory spawner)
    : impl_(std::make_unique<Impl>(loop, std::move(options), std::move(hooks), std::move(spawner))) {}

Agent::~Agent() = default;

Status Agent::start() {
  return impl_->start();
}
void Agent::on_message(ToAgent message) {
  std::visit([this](auto&& order) { impl_->on(std::move(order)); }, std::move(message));
}
void Agent::on_peer_message(Rank from, std::string_view message) {
  impl_->on_peer_message(from, message);
}
void Agent::on_rank_lost(Rank rank) {
  impl_->on_rank_lost(rank);
}
void Agent::define_environment(EnvironmentDescription environment) {
  impl_->define_environment(std::move(environment));
}
void Agent::renew_lease(std::chrono::milliseconds duration) {
  impl_->renew_lease(duration);
}
void Agent::shutdown() {
  impl_->shutdown();
}
bool Agent::done() const {
  return impl_->done();
}

}  // namespace trireme
