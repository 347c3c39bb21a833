#include "node/replica.hpp"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdio>
#include <random>
#include <utility>

#include "core/defaults.hpp"
#include "node/end_words.hpp"

namespace trireme {
namespace {

using boost::system::error_code;
namespace fs = std::filesystem;

std::string random_key() {
  std::random_device random;
  std::string key;
  for (int i = 0; i < 4; ++i) {
    char word[9];
    std::snprintf(word, sizeof(word), "%08x", static_cast<unsigned>(random()));
    key += word;
  }
  return key;
}

/// Readiness probes become rarer as the start goes on, so that what they add to its time stays a small share of it.
Duration next_probe(Duration passed) {
  return std::clamp<Duration>(passed / defaults::probe_share, defaults::probe_interval, defaults::probe_interval_max);
}

}  // namespace

struct Replica::Timers {
  explicit Timers(boost::asio::io_context& loop) : probe(loop), deadline(loop) {}
  boost::asio::steady_timer probe;     ///< until the next look
  boost::asio::steady_timer deadline;  ///< for readiness, then for draining
};

Replica::Replica(NodeContext& node, StartReplica order, Over over)
    : node_(node),
      order_(std::move(order)),
      service_(order_.service),
      over_(std::move(over)),
      timers_(std::make_unique<Timers>(node.loop)),
      uses_port_(mentions(service_, "port")),
      values_(replica_values(node, order_)),
      provision_(node) {
  wireup::HeadAddress& head = values_.head;
  if (mentions(service_, "key")) head.key = random_key();
  const std::string number = std::to_string(order_.id.service.value) + "." + std::to_string(order_.id.replica) + "." +
                             std::to_string(order_.id.attempt);
  if (mentions(service_, "socket")) head.socket = (node_.tmp_folder / number).string();
}

Replica::~Replica() = default;

void Replica::start() {
  const bool connects = service_.ready.kind == Probe::Kind::tcp || service_.ready.kind == Probe::Kind::http;
  if (connects && !uses_port_ && values_.head.socket.empty()) {
    return fail("its command names neither {port} nor {socket}, so nobody can reach it");
  }
  provision_.ask(service_.environment, service_.per_rank, order_.local_ranks, [weak = weak_from_this()](Status status) {
    const auto self = weak.lock();
    if (!self) return;
    status.ok() ? self->prepare_start() : self->fail(status.error().text());
  });
}

/// A port for requests, and one where the ranks meet.
Status Replica::choose_ports() {
  const auto choose = [this](std::uint16_t& port) -> Status {
    auto picked = node_.ports.pick(mono_now());
    if (!picked) return picked.error();
    port = *picked;
    return {};
  };
  if (uses_port_) {
    if (Status chosen = choose(values_.head.port); !chosen.ok()) return chosen;
  }
  return mentions(service_, "head_port") ? choose(values_.head.meeting_port) : Status{};
}

/// Where its other ranks meet rank 0.
void Replica::tell_others() {
  const auto here = node_.hosts.host_of(node_.rank);
  const bool one_host = std::all_of(order_.layout.begin(), order_.layout.end(),
                                    [&](const RankBlock& block) { return node_.hosts.host_of(block.node) == here; });
  values_.head.host = one_host ? "127.0.0.1" : node_.host;
  for (const RankBlock& block : order_.layout) {
    if (block.node != node_.rank) node_.hooks.send_peer(block.node, wireup::encode(values_.head));
  }
}

void Replica::prepare_start() {
  phase_ = Phase::preparing;
  ++starts_;
  if (Status chosen = choose_ports(); !chosen.ok()) return fail(chosen.error().text());
  tell_others();
  auto plan = plan_replica(node_, order_, provision_, values_, starts_ > 1);
  if (!plan) return fail(plan.error().text());
  probe_argument_ = plan->ready_argument;
  watch_argument_ = plan->live_argument;
  if (Status watched = watch_output(plan->ranks.front().spawn.stdout_path); !watched.ok()) {
    return fail(watched.error().text());
  }
  Preparation preparation = std::move(plan->preparation);
  // Not on the loop: many replicas start at once, and a slow file system must not hold up what the others have to say.
  const bool posted = node_.files.run<Status>(
      [preparation = std::move(preparation), token = stop_.get_token()] { return prepare(preparation, token); },
      [weak = weak_from_this(), plan = std::move(*plan)](Status prepared) mutable {
        const auto self = weak.lock();
        if (!self) return;
        if (self->asked_to_end_) return self->finish();
        if (!prepared.ok()) return self->fail(prepared.error().text());
        self->start_processes(std::move(plan));
      });
  if (!posted) fail("too much file work is waiting on this node");
}

/// What a probe looks for in the stdout of rank 0.
Status Replica::watch_output(const std::string& path) {
  const bool ready_by_it = service_.ready.kind == Probe::Kind::stdout_regex;
  if (!ready_by_it && !(service_.live && service_.live->kind == Probe::Kind::stdout_regex)) return {};
  auto watched = GrowingFile::watch(path, ready_by_it ? probe_argument_ : watch_argument_);
  if (!watched) return std::move(watched).error();
  output_ = std::move(*watched);
  return {};
}

void Replica::start_processes(ReplicaPlan plan) {
  phase_ = Phase::starting;
  end_.started = wall_now();
  pid_ = 0;
  was_starting_ = false;
  const auto weak = weak_from_this();
  group_ = std::make_shared<RankGroup>(
      node_,
      RankGroup::Options{.part = {order_.id, 0, order_.local_ranks, service_.ranks, order_.layout},
                         .method = plan.method,
                         .lasting = true},
      RankGroup::Events{.started =
                            [weak, launch = plan.method.why](std::uint32_t rank, const spawner::Started& report) {
                              const auto self = weak.lock();
                              if (self && rank == 0) self->started(report, launch);
                            },
                        .ending =
                            [weak] {
                              if (const auto self = weak.lock()) self->ending();
                            },
                        .over =
                            [weak](GroupEnd over) {
                              if (const auto self = weak.lock()) self->processes_over(std::move(over));
                            }});
  group_->start(std::move(plan.ranks));
}

void Replica::started(const spawner::Started& report, const std::string& launch) {
  pid_ = report.pid;
  started_at_ = mono_now();
  if (!std::exchange(told_started_, true)) {
    node_.hooks.send(ReplicaStarted{order_.id, pid_, report.at.wall_ns, launch});
  }
  if (phase_ != Phase::starting) return;
  timers_->deadline.expires_after(service_.ready.timeout);
  timers_->deadline.async_wait([weak = weak_from_this()](error_code cancelled) {
    const auto self = weak.lock();
    if (cancelled || !self || self->phase_ != Phase::starting) return;
    self->give_up("it was not ready within " + format_duration(self->service_.ready.timeout) +
                  (self->last_answer_.empty() ? "" : ": " + self->last_answer_));
  });
  probe();
}

std::unique_ptr<Look> Replica::look(Probe::Kind kind, const std::string& argument, Duration deadline,
                                    Look::Callback callback) {
  switch (kind) {
    case Probe::Kind::tcp:
      return look_at_port(node_.loop, address(), deadline, std::move(callback));
    case Probe::Kind::http:
      return look_at_http(node_.loop, address(), argument.empty() ? "/" : argument, values_.head.key, deadline,
                          std::move(callback));
    case Probe::Kind::stdout_regex:
      return look_into_file(node_.files, output_, std::move(callback));
    case Probe::Kind::file:
      break;
  }
  return look_for_file(node_.files, path_under(values_.folder, argument), std::move(callback));
}

void Replica::probe() {
  look_ = look(service_.ready.kind, probe_argument_, defaults::probe_timeout, [this](const auto& why_not) {
    const auto keep = shared_from_this();
    on_probed(why_not);
  });
}

void Replica::on_probed(const std::optional<std::string>& why_not) {
  if (phase_ != Phase::starting) return;
  last_answer_ = why_not.value_or("");
  if (!why_not) {
    const Listener listener = sees_listener() ? listener_on(values_.head.port, pid_) : Listener::unknown;
    if (listener == Listener::foreign) return take_another_port("somebody else listens on its port");
    const bool connected = service_.ready.kind == Probe::Kind::tcp || service_.ready.kind == Probe::Kind::http;
    if (listener != Listener::none || connected) return become_ready();
    last_answer_ = "nothing listens on port " + std::to_string(values_.head.port) + " yet";
  }
  const bool behind = output_ && output_->behind();
  timers_->probe.expires_after(behind ? Duration::zero() : next_probe(Duration(mono_now() - started_at_)));
  timers_->probe.async_wait([weak = weak_from_this()](error_code cancelled) {
    const auto self = weak.lock();
    if (!cancelled && self && self->phase_ == Phase::starting) self->probe();
  });
}

void Replica::become_ready() {
  phase_ = Phase::ready;
  was_ready_ = true;
  quiet();
  ReplicaEndpoint endpoint;
  endpoint.id = order_.id;
  endpoint.rank = node_.rank;
  endpoint.state = ReplicaState::ready;
  endpoint.port = values_.head.socket.empty() ? values_.head.port : 0;
  endpoint.socket = values_.head.socket;
  endpoint.key = values_.head.key;
  node_.hooks.send(ReplicaReady{std::move(endpoint), wall_now()});
  watch();
}

void Replica::watch() {
  if (!service_.live) return;
  timers_->probe.expires_after(service_.live->every);
  timers_->probe.async_wait([weak = weak_from_this()](error_code cancelled) {
    const auto self = weak.lock();
    if (cancelled || !self || self->phase_ != Phase::ready) return;
    self->look_ = self->look(self->service_.live->kind, self->watch_argument_, defaults::probe_timeout,
                             [replica = self.get()](const auto& why_not) {
                               const auto keep = replica->shared_from_this();
                               replica->on_watched(why_not);
                             });
  });
}

void Replica::on_watched(const std::optional<std::string>& why_not) {
  if (phase_ != Phase::ready) return;
  failures_ = why_not ? failures_ + 1 : 0;
  if (failures_ >= service_.live->failures) {
    return give_up("liveness probe failed " + std::to_string(failures_) + " times: " + *why_not);
  }
  watch();
}

ListenAddress Replica::address() const {
  return {values_.head.port, values_.head.socket};
}

/// Whether who listens on its port can be told from others: it is a process below the one that we started.
bool Replica::sees_listener() const {
  return uses_port_ && !group_->started_elsewhere();
}

/// Only where no other rank has been told the port.
bool Replica::may_take_another_port() const {
  return uses_port_ && service_.ranks == 1 && service_.mpi == MpiKind::none && starts_ < defaults::port_tries;
}

void Replica::take_another_port(const std::string& why) {
  if (!may_take_another_port()) {
    return give_up(starts_ == 1 ? why : why + ", " + std::to_string(starts_) + " times with different ports");
  }
  another_port_ = true;
  end_processes();
}

void Replica::give_up(std::string why) {
  why_ = std::move(why);
  close_to_requests();
  end_processes();
}

/// Nobody new is sent to it from now on, before the pilot knows and tells all.
void Replica::close_to_requests() {
  if (phase_ == Phase::ready) node_.hooks.drain_replica(order_.id, [] {});
}

void Replica::quiet() {
  look_.reset();
  timers_->probe.cancel();
  timers_->deadline.cancel();
}

void Replica::end_processes() {
  quiet();
  phase_ = Phase::ending;
  group_->stop(std::string(stopped_on_request));
}

void Replica::stop(Drain drain) {
  if (drain == Drain::none) close_to_requests();
  const bool drains = phase_ == Phase::ready || phase_ == Phase::draining;
  if (drain == Drain::none || !drains) return end_now();
  asked_to_end_ = true;
  const auto drained = [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (self && self->phase_ == Phase::draining) self->end_processes();
  };
  const bool begins = phase_ == Phase::ready;
  if (begins) {
    quiet();
    phase_ = Phase::draining;
  }
  if (drain == Drain::limited) {
    timers_->deadline.expires_after(service_.drain);
    timers_->deadline.async_wait([drained](error_code cancelled) {
      if (!cancelled) drained();
    });
  }
  if (begins) node_.hooks.drain_replica(order_.id, drained);
}

void Replica::end_now() {
  asked_to_end_ = true;
  another_port_ = false;
  stop_.request_stop();
  switch (phase_) {
    case Phase::provision:
      finish();
      break;
    case Phase::starting:
    case Phase::ready:
    case Phase::draining:
      end_processes();
      break;
    case Phase::preparing:
    case Phase::ending:
    case Phase::over:
      break;
  }
}

/// Of processes that end without having been asked to: nobody is to be sent to what is left of them.
void Replica::ending() {
  if (phase_ != Phase::starting && phase_ != Phase::ready) return;
  was_starting_ = phase_ == Phase::starting;
  close_to_requests();
  quiet();
  phase_ = Phase::ending;
}

void Replica::processes_over(GroupEnd over) {
  ending();
  quiet();
  phase_ = Phase::ending;
  const Usage used = end_.usage;
  end_ = over.end;
  end_.usage.max_rss = std::max(end_.usage.max_rss, used.max_rss);
  end_.usage.user += used.user;
  end_.usage.system += used.system;
  if (asked_to_end_ || pid_ == 0) return finish();

  // What cannot bind its port ends at once, mostly with words in its log that only a person understands.
  if (was_starting_ && over.report && may_take_another_port() &&
      listener_on(values_.head.port, pid_) != Listener::none) {
    another_port_ = true;
  }
  if (std::exchange(another_port_, false)) return prepare_start();
  const bool left = over.report && !over.report->stopped && over.report->signo == 0 && over.report->exit_code == 0;
  if (end_.outcome != Outcome::lost || why_) {
    end_.outcome = Outcome::failed;
    end_.reason = why_.value_or(end_.reason + (was_ready_ ? " while it served" : " before it was ready"));
  }
  // What ends well has mostly left the work to a process that it put into the background, and that ends with it.
  if (!why_ && left) end_.reason += " (a service has to stay in the foreground)";
  add_words_of_logs(over);
}

void Replica::add_words_of_logs(const GroupEnd& over) {
  const bool is_known = !over.stderr_path.empty();
  const fs::path err = is_known ? fs::path(over.stderr_path) : values_.folder / stderr_file;
  const fs::path out = is_known ? fs::path(over.stdout_path) : values_.folder / stdout_file;
  const bool posted = node_.files.run<std::string>(
      [err, out] {
        return words_of_logs({err, out});
      },
      [weak = weak_from_this()](const std::string& words) {
        const auto self = weak.lock();
        if (!self) return;
        self->end_.reason += words;
        self->finish();
      });
  if (!posted) finish();
}

void Replica::fail(const std::string& why) {
  end_.outcome = Outcome::failed;
  end_.reason = why;
  finish();
}

void Replica::finish() {
  if (phase_ == Phase::over) return;
  const auto keep = shared_from_this();
  phase_ = Phase::over;
  quiet();
  provision_.give_back();
  std::error_code ignored;  // what stays here goes with the private folder at the end of the run
  if (!values_.head.socket.empty()) std::filesystem::remove(values_.head.socket, ignored);
  over_({order_.id, finished(node_, values_, std::move(end_), asked_to_end_), was_ready_});
}

}  // namespace trireme
