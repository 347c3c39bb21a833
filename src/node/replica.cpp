#include "node/replica.hpp"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdio>
#include <random>
#include <utility>

#include "core/defaults.hpp"
#include "node/end_words.hpp"
#include "node/log_tail.hpp"

namespace trireme {
namespace {

using boost::system::error_code;

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

Replica::Replica(NodeContext& node, StartReplica request, Over over)
    : node_(node),
      request_(std::move(request)),
      service_(request_.service),
      over_(std::move(over)),
      timers_(std::make_unique<Timers>(node.loop)),
      folder_(node.paths.replica(service_.name, request_.id.replica, request_.id.attempt)),
      uses_port_(mentioned("port")) {
  if (mentioned("key")) key_ = random_key();
  const std::string number = std::to_string(request_.id.service.value) + "." + std::to_string(request_.id.replica) +
                             "." + std::to_string(request_.id.attempt);
  if (mentioned("socket")) address_.socket = (node_.tmp_folder / number).string();
  if (mentioned("scratch")) scratch_ = node_.tmp_folder / ("scratch-" + number);
}

Replica::~Replica() = default;

bool Replica::mentioned(std::string_view name) const {
  return any_mentions(service_.command, name) || mentions(service_.script, name) || mentions(service_.env, name) ||
         mentions(service_.cwd, name) || mentions(service_.ready.argument, name) ||
         (service_.live && mentions(service_.live->argument, name));
}

Template::Lookup Replica::lookup() const {
  return [this](std::string_view name) -> std::optional<std::string> {
    if (name == "port") return std::to_string(address_.port);
    if (name == "socket") return address_.socket;
    if (name == "host") return "127.0.0.1";
    if (name == "key") return key_;
    if (name == "replica") return std::to_string(request_.id.replica);
    if (name == "attempt") return std::to_string(request_.id.attempt);
    if (name == "task_dir") return folder_.string();
    if (name == "run_dir") return node_.run.run_dir;
    if (name == "workflow_dir") return node_.run.workflow_dir;
    if (name == "scratch") return scratch_.string();
    return std::nullopt;
  };
}

void Replica::start() {
  const bool connects = service_.ready.kind == Probe::Kind::tcp || service_.ready.kind == Probe::Kind::http;
  if (connects && !uses_port_ && address_.socket.empty()) {
    return fail("its command names neither {port} nor {socket}, so nobody can reach it");
  }
  if (service_.environment.empty()) return ask_for_resources();
  node_.environments.get(service_.environment, [weak = weak_from_this()](Result<Environments::Made> made) {
    const auto self = weak.lock();
    if (!self || self->phase_ != Phase::environment) return;
    if (!made) return self->fail(made.error().text());
    self->changes_ = std::move(*made);
    self->ask_for_resources();
  });
}

void Replica::ask_for_resources() {
  phase_ = Phase::resources;
  if (!node_.resources.ever_fits(service_.per_replica, 1)) {
    return fail("it asks for " + to_string(service_.per_replica) + ", which this node does not have");
  }
  ticket_ = node_.resources.ask(service_.per_replica, 1, [weak = weak_from_this()](std::vector<Allocation> got) {
    // It is withdrawn before the replica goes, so there is one.
    const auto self = weak.lock();
    self->allocations_ = std::move(got);
    self->prepare_start();
  });
}

Result<spawner::Spawn> Replica::plan() {
  const auto values = lookup();
  preparation_ = {.folder = folder_, .folders = {}, .inputs = {}, .files = {}};
  if (!scratch_.empty()) preparation_.folders.push_back(scratch_);

  spawner::Spawn spawn;
  auto argv =
      make_program(service_.command, service_.script, folder_ / "script", node_.run.workflow_dir, values, preparation_);
  if (!argv) return std::move(argv).error();
  spawn.argv = std::move(*argv);
  auto cwd = service_.cwd.expand(values);
  auto ready = service_.ready.argument.expand(values);
  auto live = service_.live ? service_.live->argument.expand(values) : Result<std::string>(std::string());
  for (auto* text : {&cwd, &ready, &live}) {
    if (!*text) return std::move(*text).error();
  }
  probe_argument_ = std::move(*ready);
  watch_argument_ = std::move(*live);
  spawn.cwd = cwd->empty() ? folder_.string() : path_under(folder_, *cwd);
  spawn.stdout_path = (folder_ / stdout_file).string();
  spawn.stderr_path = (folder_ / stderr_file).string();
  spawn.append = starts_ > 1;
  spawn.cpus = cpus_of(node_.node, allocations_.front());
  spawn.grace_ms = static_cast<std::uint32_t>(defaults::stop_grace.count());

  const std::string attempt = node_.run.run_id + "/service/" + std::to_string(request_.id.service.value) + "/" +
                              std::to_string(request_.id.replica) + "/" + std::to_string(request_.id.attempt);
  Variables variables = make_variables(node_, changes_, allocations_.front(), attempt);
  // `ollama serve` binds to OLLAMA_HOST: only a service that calls others is told where they are.
  add_python(node_.python, variables);
  if (!service_.uses.empty()) add_proxy(node_.proxy, service_.uses, variables);
  variables.insert_or_assign("PWD", spawn.cwd);
  if (auto added = add_user(service_.env, values, variables); !added.ok()) return added.error();
  spawn.env = to_entries(variables);

  const bool watches_output = service_.ready.kind == Probe::Kind::stdout_regex ||
                              (service_.live && service_.live->kind == Probe::Kind::stdout_regex);
  if (watches_output) {
    const bool ready_by_it = service_.ready.kind == Probe::Kind::stdout_regex;
    auto watched = GrowingFile::watch(spawn.stdout_path, ready_by_it ? probe_argument_ : watch_argument_);
    if (!watched) return std::move(watched).error();
    output_ = std::move(*watched);
  }
  return spawn;
}

void Replica::prepare_start() {
  phase_ = Phase::preparing;
  ++starts_;
  if (uses_port_) {
    auto port = node_.ports.pick(mono_now());
    if (!port) return fail(port.error().text());
    address_.port = *port;
  }
  auto spawn = plan();
  if (!spawn) return fail(spawn.error().text());
  // Not on the loop: many replicas start at once, and a slow file system must not hold up what the others have to say.
  const bool posted = node_.files.run<Status>(
      [preparation = preparation_, token = stop_.get_token()] { return prepare(preparation, token); },
      [weak = weak_from_this(), spawn = std::move(*spawn)](Status prepared) mutable {
        const auto self = weak.lock();
        if (!self) return;
        if (self->asked_to_end_) return self->finish();
        if (!prepared.ok()) return self->fail(prepared.error().text());
        self->start_process(std::move(spawn));
      });
  if (!posted) fail("too much file work is waiting on this node");
}

void Replica::start_process(spawner::Spawn spawn) {
  phase_ = Phase::starting;
  end_.started = wall_now();
  process_ = node_.processes.start(std::move(spawn), *this);
}

void Replica::on_process_started(ProcessId, const spawner::Started& report) {
  pid_ = report.pid;
  started_at_ = mono_now();
  end_.started = report.at.wall_ns;
  if (!std::exchange(told_started_, true)) node_.hooks.send(ReplicaStarted{request_.id, pid_, report.at.wall_ns});
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
      return look_at_port(node_.loop, address_, deadline, std::move(callback));
    case Probe::Kind::http:
      return look_at_http(node_.loop, address_, argument.empty() ? "/" : argument, key_, deadline, std::move(callback));
    case Probe::Kind::stdout_regex:
      return look_into_file(node_.files, output_, std::move(callback));
    case Probe::Kind::file:
      break;
  }
  return look_for_file(node_.files, path_under(folder_, argument), std::move(callback));
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
    const Listener listener = uses_port_ ? listener_on(address_.port, pid_) : Listener::unknown;
    if (listener == Listener::foreign) return take_another_port("somebody else listens on its port");
    const bool connected = service_.ready.kind == Probe::Kind::tcp || service_.ready.kind == Probe::Kind::http;
    if (listener != Listener::none || connected) return become_ready();
    last_answer_ = "nothing listens on port " + std::to_string(address_.port) + " yet";
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
  endpoint.id = request_.id;
  endpoint.rank = node_.rank;
  endpoint.state = ReplicaState::ready;
  endpoint.port = address_.socket.empty() ? address_.port : 0;
  endpoint.socket = address_.socket;
  endpoint.key = key_;
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

void Replica::take_another_port(const std::string& why) {
  if (starts_ >= defaults::port_tries) {
    return give_up(why + ", " + std::to_string(starts_) + " times with different ports");
  }
  another_port_ = true;
  end_process();
}

void Replica::give_up(std::string why) {
  why_ = std::move(why);
  close_to_requests();
  end_process();
}

/// Nobody new is sent to it from now on, before the pilot knows and tells all.
void Replica::close_to_requests() {
  if (phase_ == Phase::ready) node_.hooks.drain_replica(request_.id, [] {});
}

void Replica::quiet() {
  look_.reset();
  timers_->probe.cancel();
  timers_->deadline.cancel();
}

void Replica::end_process() {
  quiet();
  phase_ = Phase::ending;
  node_.processes.stop(process_, defaults::stop_grace);
}

void Replica::stop() {
  if (phase_ != Phase::ready) return end_now();
  asked_to_end_ = true;
  quiet();
  phase_ = Phase::draining;
  const auto drained = [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (self && self->phase_ == Phase::draining) self->end_process();
  };
  timers_->deadline.expires_after(service_.drain);
  timers_->deadline.async_wait([drained](error_code cancelled) {
    if (!cancelled) drained();
  });
  node_.hooks.drain_replica(request_.id, drained);
}

void Replica::end_now() {
  asked_to_end_ = true;
  another_port_ = false;
  stop_.request_stop();
  switch (phase_) {
    case Phase::resources:
      node_.resources.withdraw(ticket_);
      [[fallthrough]];
    case Phase::environment:
      finish();
      break;
    case Phase::starting:
    case Phase::ready:
    case Phase::draining:
      end_process();
      break;
    case Phase::preparing:
    case Phase::ending:
    case Phase::over:
      break;
  }
}

void Replica::on_process_failed(ProcessId, const spawner::Failed& report) {
  const std::int64_t started = end_.started;
  end_ = end_of(report);
  end_.started = started;
  finish();
}

void Replica::on_process_lost(ProcessId, const Error& why) {
  end_.ended = wall_now();
  fail(why.text());
}

void Replica::on_process_ended(ProcessId, const spawner::Ended& report) {
  const Phase before = phase_;
  const Usage used = end_.usage;
  const std::int64_t started = end_.started;
  close_to_requests();
  quiet();
  phase_ = Phase::ending;
  end_ = end_of(report, Duration{0});
  end_.started = started;
  end_.usage.max_rss = std::max(end_.usage.max_rss, used.max_rss);
  end_.usage.user += used.user;
  end_.usage.system += used.system;
  if (asked_to_end_) return finish();

  // What cannot bind its port ends at once, mostly with words in its log that only a person understands.
  if (before == Phase::starting && uses_port_ && starts_ < defaults::port_tries &&
      listener_on(address_.port, pid_) != Listener::none) {
    another_port_ = true;
  }
  if (std::exchange(another_port_, false)) return prepare_start();
  end_.outcome = report.stopped && !why_ ? Outcome::lost : Outcome::failed;
  end_.reason =
      why_.value_or(words_for_end(report, Duration{0}) + (was_ready_ ? " while it served" : " before it was ready"));
  // What ends well has mostly left the work to a process that it put into the background, and that ends with it.
  if (!why_ && end_.exit_code == 0) end_.reason += " (a service has to stay in the foreground)";
  fail_with_log(end_);
}

void Replica::fail_with_log(AttemptEnd end) {
  end_ = std::move(end);
  const bool posted = node_.files.run<std::string>(
      [folder = folder_] {
        for (const std::string_view name : {stderr_file, stdout_file}) {
          std::string tail = tail_of_file(folder / name, defaults::log_tail_lines, defaults::log_tail_bytes);
          if (!tail.empty()) return "; the end of its " + std::string(name) + ":\n" + tail;
        }
        return std::string("; it wrote nothing to stdout and stderr");
      },
      [weak = weak_from_this()](std::string tail) {
        const auto self = weak.lock();
        if (!self) return;
        self->end_.reason += tail;
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
  node_.resources.give_back(std::exchange(allocations_, {}));
  std::error_code ignored;  // what stays here goes with the private folder at the end of the run
  if (!address_.socket.empty()) std::filesystem::remove(address_.socket, ignored);
  if (!scratch_.empty()) {
    const auto remove = [scratch = scratch_] {
      std::error_code unremoved;
      std::filesystem::remove_all(scratch, unremoved);
    };
    static_cast<void>(node_.files.post(remove, [] {}));
  }
  if (asked_to_end_) {
    end_.outcome = Outcome::cancelled;
    end_.reason = "stopped on request";
  }
  if (end_.started == 0) end_.started = wall_now();
  if (end_.ended == 0) end_.ended = wall_now();
  over_({request_.id, std::move(end_), was_ready_});
}

}  // namespace trireme
