#include "runtime/rank.hpp"

#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <deque>
#include <map>
#include <set>

#include "core/run_paths.hpp"
#include "fabric/fabric.hpp"
#include "fabric/progress.hpp"
#include "fabric/serialize.hpp"
#include "node/agent.hpp"
#include "node/spawner/environment.hpp"
#include "node/spawner_factory.hpp"
#include "node/tmp_folder.hpp"
#include "node/topology.hpp"
#include "proxy/proxy.hpp"
#include "runtime/affinity.hpp"
#include "runtime/launcher.hpp"
#include "runtime/log.hpp"
#include "runtime/time_slice.hpp"

namespace trireme {
namespace {

constexpr auto tend_every = std::chrono::seconds(1);
static_assert(defaults::lease + defaults::lease_grace <= defaults::heartbeat_lost,
              "a rank that is lost by silence has ended what it had");
// A rank that has nothing more to send waits for the others to say so too: rank 0 may still be writing its log.
constexpr Duration goodbye_deadline = std::chrono::minutes(1);

}  // namespace

class RankLoop::Impl final : public TransportHandler {
 public:
  Impl(const Place& place, const RunConfig& config, RunInfo info)
      : place_(place),
        config_(config),
        info_(std::move(info)),
        log_(make_logger(info_.run_dir, place.rank, config.log_level)) {}

  Status prepare(MPI_Comm comm, std::unique_ptr<JournalWriter> journal);
  RankEnd serve();

  PilotEdge* pilot() { return pilot_.get(); }
  const std::string& proxy_socket() const { return proxy_socket_; }

 private:
  // TransportHandler
  void on_message(Rank from, MessageKind kind, std::string_view payload) override;
  void on_rank_lost(Rank rank, std::string_view reason) override;
  void on_epoch(std::uint64_t number, std::string_view payload) override;
  void on_epoch_acknowledged(std::uint64_t number) override;

  bool is_pilot() const { return place_.rank == pilot_rank; }
  Status start_agent();
  void handle_signals();
  void on_signal(int signal);
  void on_orders(std::string_view payload);
  bool may_pass_on(std::uint64_t epoch) const;
  void pass_on_orders();
  void on_batch(PilotBatch batch);
  void publish(std::vector<ServiceEndpoint> changed);
  void tell_dashboard_key();
  void tend_later();
  void send_samples();
  void renew_lease();
  void report(FromAgent message);
  void send_reports();
  void begin_close();

  const Place place_;
  const RunConfig config_;
  const RunInfo info_;
  const std::shared_ptr<spdlog::logger> log_;

  boost::asio::io_context io_;
  std::unique_ptr<Fabric> fabric_;
  std::optional<TmpFolder> tmp_;
  std::unique_ptr<proxy::Proxy> proxy_;
  std::string proxy_socket_;
  std::set<std::string> service_names_;
  std::unique_ptr<Agent> agent_;
  boost::asio::signal_set signals_{io_};
  boost::asio::steady_timer tend_timer_{io_};
  std::chrono::steady_clock::time_point lease_until_;
  std::deque<std::pair<std::uint64_t, ToAgent>> held_orders_;  ///< those before their time, in order, and their epochs
  std::uint64_t epoch_ = 0;                                    ///< the last that came here
  std::string reports_;                                        ///< of the agent, that are not sent yet

  // On rank 0.
  std::unique_ptr<PilotEdge> pilot_;
  std::string dashboard_key_;  ///< that opens the page next
  struct Epoch {
    MonoTime published;
    std::vector<ReplicaId> ready;
  };
  std::uint64_t published_ = 0;  ///< the last epoch
  std::map<std::uint64_t, Epoch> unacknowledged_;
  std::set<ReplicaId> announced_;  ///< replicas that an epoch has made known as ready

  bool closing_ = false;
  RankEnd end_;
};

// --- beginning -------------------------------------------------------------------------------------------------------

Status RankLoop::Impl::prepare(MPI_Comm comm, std::unique_ptr<JournalWriter> journal) {
  auto fabric = Fabric::create(comm);
  if (!fabric) return fabric.error();
  fabric_ = std::move(*fabric);

  auto tmp = TmpFolder::create();
  if (!tmp) return tmp.error();
  tmp_ = std::move(*tmp);

  proxy_socket_ = tmp_->proxy_socket();
  proxy::ProxyOptions options;
  options.socket = proxy_socket_;
  if (is_pilot() && config_.dashboard) {
    options.port = *config_.dashboard;
    dashboard_key_ = make_token();
    options.dashboard = proxy::DashboardOptions{
        .keys = {.once = dashboard_key_, .session = make_token()},
        .next_key =
            [this] {
              dashboard_key_ = make_token();
              tell_dashboard_key();
              return dashboard_key_;
            },
        .on_viewers = [this](std::size_t viewers, bool fresh) { pilot_->on_dashboard_viewers(viewers, fresh); }};
  }
  auto proxy = proxy::Proxy::start(io_, *fabric_, info_, std::move(options));
  if (!proxy) return proxy.error();
  proxy_ = std::move(*proxy);

  if (is_pilot()) {
    pilot_ = std::make_unique<PilotEdge>(config_, info_, place_.size, std::move(journal), [this](PilotBatch batch) {
      boost::asio::post(io_, [this, batch = std::move(batch)]() mutable { on_batch(std::move(batch)); });
    });
    if (config_.dashboard) tell_dashboard_key();
  }
  if (config_.handle_signals) handle_signals();
  if (!is_pilot() || !config_.dedicated_pilot) {
    if (auto started = start_agent(); !started) return started;
  }
  tend_later();
  return {};
}

Status RankLoop::Impl::start_agent() {
  auto machine = discover_node();
  if (!machine) return machine.error();
  if (!config_.reserve_cores.empty()) {
    if (auto reserved = reserve_cores(*machine, config_.reserve_cores); !reserved) return reserved;
    if (config_.keep_to_reserved && !machine->reserved.empty()) {
      const auto core = static_cast<std::size_t>(place_.local_index) % machine->reserved.size();
      if (auto kept = keep_to(machine->reserved[core]); !kept) log_->warn("{}", kept.error().text());
    }
  }
  AgentOptions options;
  options.run = info_;
  options.rank = place_.rank;
  options.host = host_name();
  options.hosts = Hosts(place_.host_of, place_.host_names, config_.dedicated_pilot);
  options.node = share(*machine, place_.local_index, place_.local_count,
                       {config_.worker_cores, config_.worker_gpus, config_.worker_memory});
  options.proxy_url = proxy_->url();
  options.proxy_socket = proxy_socket_;
  options.tmp_folder = tmp_->path();
  options.base_environment = scrub(environ);
  options.launcher_environment = launcher_entries(environ);
  options.environments = info_.environments;
  options.make_attempt = config_.make_attempt;
  AgentHooks hooks;
  hooks.send = [this](FromAgent message) { report(std::move(message)); };
  hooks.drain_replica = [this](ReplicaId replica, std::function<void()> done) {
    proxy_->drain(replica, std::move(done));
  };
  hooks.service_names = [this] { return std::vector<std::string>(service_names_.begin(), service_names_.end()); };
  hooks.send_peer = [this](Rank to, std::string message) {
    fabric_->send(to, MessageClass::control, MessageKind::wireup, std::move(message));
  };
  hooks.warn = [this](const std::string& text) { log_->warn("{}", text); };
  const auto spawner_log = RunPaths(info_.run_dir).node(place_.rank) / "spawner.log";
  agent_ = std::make_unique<Agent>(
      io_, std::move(options), std::move(hooks),
      spawner_factory(io_,
                      {.log_file = spawner_log, .remove = tmp_->path(), .run_id = info_.run_id, .rank = place_.rank}));
  if (auto started = agent_->start(); !started) return started;
  renew_lease();
  return {};
}

void RankLoop::Impl::handle_signals() {
  // The other ranks hear the same signals; rank 0 decides for all, so they only must not die of them.
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) signals_.add(signal);
  // The terminal is gone, or the connection to it; under nohup that is ignored, and stays so.
  struct sigaction hangup {};
  if (::sigaction(SIGHUP, nullptr, &hangup) == 0 && hangup.sa_handler != SIG_IGN) signals_.add(SIGHUP);
  signals_.async_wait([this](const boost::system::error_code& error, int signal) {
    if (error) return;
    on_signal(signal);
    handle_signals();
  });
}

void RankLoop::Impl::on_signal(int signal) {
  if (!is_pilot()) return;
  const auto launcher = find_launcher(process_environment);
  if (signal == SIGUSR1 && launcher && launcher->signals_dead_ranks) return;
  // Where there is a second left, it is for ending what runs and saying how far the run has come.
  const bool at_once = signal == SIGTERM && launcher && launcher->kills_soon;
  pilot_->interrupt(signal == SIGINT ? ExitCode::interrupted : ExitCode::drained,
                    signal == SIGINT ? "interrupted" : "asked to end by signal " + std::to_string(signal), at_once);
}

// --- serving ---------------------------------------------------------------------------------------------------------

void RankLoop::Impl::on_message(Rank from, MessageKind kind, std::string_view payload) {
  if (kind == MessageKind::to_agent) return on_orders(payload);
  if (kind == MessageKind::wireup) {
    if (agent_) agent_->on_peer_message(from, payload);
    return;
  }
  const bool for_pilot =
      kind == MessageKind::from_agent || kind == MessageKind::runtime_request || kind == MessageKind::runtime_drop;
  if (!for_pilot) return proxy_->on_message(from, kind, payload);
  if (!is_pilot()) return;
  if (kind == MessageKind::runtime_request) {
    if (auto request = decode<RuntimeRequest>(payload)) pilot_->on_runtime_request(from, std::move(*request));
    return;
  }
  if (kind == MessageKind::runtime_drop) {
    if (auto drop = decode<RuntimeDrop>(payload)) pilot_->on_runtime_drop(from, drop->number);
    return;
  }
  pilot_->on_reports(from, std::string(payload));
}

void RankLoop::Impl::on_orders(std::string_view payload) {
  if (!agent_) return;
  pass_on_orders();
  const std::uint64_t epoch = epoch_of(payload).value_or(0);
  const bool at_once = held_orders_.empty() && may_pass_on(epoch);
  const Status read = read_orders(payload, [&](ToAgent order) {
    if (std::holds_alternative<ShutdownAgent>(order)) {
      send_samples();
      held_orders_.clear();
      agent_->on_message(std::move(order));
    } else if (at_once) {
      agent_->on_message(std::move(order));
    } else {
      held_orders_.emplace_back(epoch, std::move(order));
    }
  });
  if (!read) log_->error("{}", read.error().text());
}

/// Orders go to the agent in the order in which they came. After the lease none does: it may be old, the pilot may have
/// given up this rank meanwhile, and ordered the same from another. And no task starts before the endpoints that were
/// published before it was placed are known here.
bool RankLoop::Impl::may_pass_on(std::uint64_t epoch) const {
  return epoch <= epoch_ && std::chrono::steady_clock::now() < lease_until_;
}

void RankLoop::Impl::pass_on_orders() {
  while (!held_orders_.empty() && may_pass_on(held_orders_.front().first)) {
    ToAgent order = std::move(held_orders_.front().second);
    held_orders_.pop_front();
    agent_->on_message(std::move(order));
  }
}

/// What the agent says in one turn of the loop is one message.
void RankLoop::Impl::report(FromAgent message) {
  const bool first = reports_.empty();
  append(reports_, message);
  if (std::holds_alternative<AgentDone>(message)) {
    send_reports();
    // Rank 0 says goodbye when its pilot is done.
    if (!is_pilot()) begin_close();
  } else if (reports_.size() >= defaults::message_batch) {
    send_reports();
  } else if (first) {
    boost::asio::post(io_, [this] { send_reports(); });
  }
}

void RankLoop::Impl::send_reports() {
  if (reports_.empty()) return;
  fabric_->send(pilot_rank, MessageClass::control, MessageKind::from_agent, std::exchange(reports_, {}));
}

void RankLoop::Impl::on_rank_lost(Rank rank, std::string_view reason) {
  log_->warn("rank {} is lost: {}", rank, reason);
  proxy_->on_rank_lost(rank);
  if (agent_) agent_->on_rank_lost(rank);
  if (is_pilot()) {
    const auto harmless_at = fabric_->last_heard(rank) + defaults::lease + defaults::lease_grace;
    pilot_->on_rank_lost(rank, std::string(reason), Duration(harmless_at.time_since_epoch()).count());
  } else if (rank == pilot_rank) {
    end_.code = ExitCode::runtime_failed;
    end_.error = Error{"rank 0 is lost: " + std::string(reason), "rank " + std::to_string(place_.rank),
                       "continue the run with --resume", ExitCode::runtime_failed};
    agent_->shutdown();
  }
}

void RankLoop::Impl::on_batch(PilotBatch batch) {
  if (!batch.endpoints.empty()) publish(std::move(batch.endpoints));
  for (auto& [to, orders] : batch.orders) {
    stamp_epoch(orders, published_);
    fabric_->send(to, MessageClass::control, MessageKind::to_agent, std::move(orders));
  }
  for (auto& [to, answer] : batch.answers) {
    answer.epoch = published_;
    fabric_->send(to, MessageClass::control, MessageKind::runtime_answer, encode(answer));
  }
  if (batch.dashboard) {
    proxy_->show({std::move(batch.dashboard->history), std::move(batch.dashboard->snapshot), batch.dashboard->over});
  }
  if (batch.over) begin_close();
}

void RankLoop::Impl::tell_dashboard_key() {
  pilot_->on_dashboard_key({host_name(), proxy_->port()}, dashboard_key_);
}

void RankLoop::Impl::begin_close() {
  if (closing_) return;
  closing_ = true;
  tend_timer_.cancel();
  fabric_->begin_close(is_pilot() ? Duration(defaults::finalize_deadline) : goodbye_deadline);
}

// --- endpoints -------------------------------------------------------------------------------------------------------

void RankLoop::Impl::publish(std::vector<ServiceEndpoint> changed) {
  Epoch epoch{mono_now(), {}};
  for (const ServiceEndpoint& service : changed) {
    for (const ReplicaEndpoint& replica : service.replicas) {
      if (replica.state == ReplicaState::ready && announced_.insert(replica.id).second) {
        epoch.ready.push_back(replica.id);
      }
    }
  }
  published_ = fabric_->publish(encode(EndpointEpoch{0, std::move(changed)}));
  unacknowledged_.emplace(published_, std::move(epoch));
}

void RankLoop::Impl::on_epoch(std::uint64_t number, std::string_view payload) {
  auto epoch = decode<EndpointEpoch>(payload);
  if (!epoch) {
    log_->error("endpoint epoch {} cannot be read: {}", number, epoch.error().text());
    return;
  }
  epoch->number = number;
  for (const ServiceEndpoint& service : epoch->changed) service_names_.insert(service.name);
  proxy_->on_endpoints(std::move(*epoch));
  epoch_ = number;
  if (agent_) pass_on_orders();
}

void RankLoop::Impl::on_epoch_acknowledged(std::uint64_t number) {
  const auto epoch = unacknowledged_.find(number);
  if (epoch == unacknowledged_.end()) return;
  pilot_->on_epoch_acknowledged(number, Duration(mono_now() - epoch->second.published), epoch->second.ready);
  unacknowledged_.erase(epoch);
}

// --- every second ----------------------------------------------------------------------------------------------------

void RankLoop::Impl::tend_later() {
  tend_timer_.expires_after(tend_every);
  tend_timer_.async_wait([this](const boost::system::error_code& error) {
    if (error || closing_) return;
    send_samples();
    renew_lease();
    tend_later();
  });
}

/// What this rank runs may go on while rank 0 hears this rank, and for `lease` after it did so last.
void RankLoop::Impl::renew_lease() {
  const auto until = fabric_->heard_by_pilot() + defaults::lease;
  const auto left = until - std::chrono::steady_clock::now();
  if (!agent_ || until <= lease_until_ || left <= Duration::zero()) return;
  lease_until_ = until;
  agent_->renew_lease(std::chrono::ceil<std::chrono::milliseconds>(left));
  pass_on_orders();
}

void RankLoop::Impl::send_samples() {
  for (ServiceSample& sample : proxy_->take_samples()) report(std::move(sample));
}

// --- the end ---------------------------------------------------------------------------------------------------------

RankEnd RankLoop::Impl::serve() {
  const ShortSlices sooner;
  const auto over = [this] {
    if (closing_) return fabric_->closed();
    return end_.error.has_value() && agent_->done();  // without its pilot, a rank only cleans up
  };
  run_until(io_, *fabric_, *this, over, {},
            {.look = [this] { return proxy_->poll(); },
             .lie_down = [this] { return proxy_->lie_down(); },
             .crowded = [this] { return proxy_->crowded(); },
             .awaited = [this](auto now) { return proxy_->busy(now); }});
  end_.clean = closing_ && fabric_->clean();
  proxy_->close();
  // The summary first: what follows may take long, and the other ranks wait in MPI_Finalize for a few seconds only.
  if (pilot_) {
    PilotEnd end = pilot_->finish();
    end_.code = end.code;
    end_.text = std::move(end.text);
    end_.json = std::move(end.json);
    end_.error = std::move(end.error);
  }
  agent_.reset();
  return end_;
}

// ---------------------------------------------------------------------------------------------------------------------

RankLoop::RankLoop(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RankLoop::~RankLoop() = default;

Result<std::unique_ptr<RankLoop>> RankLoop::create(MPI_Comm comm, const Place& place, const RunConfig& config,
                                                   const RunInfo& info, std::unique_ptr<JournalWriter> journal) {
  auto impl = std::make_unique<Impl>(place, config, info);
  if (auto prepared = impl->prepare(comm, std::move(journal)); !prepared) return prepared.error();
  return std::unique_ptr<RankLoop>(new RankLoop(std::move(impl)));
}

PilotEdge* RankLoop::pilot() {
  return impl_->pilot();
}
const std::string& RankLoop::proxy_socket() const {
  return impl_->proxy_socket();
}
RankEnd RankLoop::serve() {
  return impl_->serve();
}

}  // namespace trireme
