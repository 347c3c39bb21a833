#include "proxy/proxy.hpp"

#include <optional>
#include <utility>

#include "core/defaults.hpp"
#include "proxy/admission/admission.hpp"
#include "proxy/forward/fabric_upstream.hpp"
#include "proxy/forward/forward_server.hpp"
#include "proxy/forward/wire.hpp"
#include "proxy/front/front_door.hpp"
#include "proxy/health/evidence.hpp"
#include "proxy/health/retry_budget.hpp"
#include "proxy/http/listener.hpp"
#include "proxy/http/loop.hpp"
#include "proxy/metrics.hpp"
#include "proxy/native/door.hpp"
#include "proxy/native/express.hpp"
#include "proxy/remote/curl_loop.hpp"
#include "proxy/request.hpp"
#include "proxy/runtime_calls.hpp"
#include "proxy/timer.hpp"
#include "proxy/upstreams.hpp"

namespace trireme::proxy {

namespace {

constexpr int client_closed_request = 499;

}  // namespace

class Proxy::Impl final : private http::Resident,
                          private AdmissionOutbox,
                          private ForwardHost,
                          private native::ExpressHost,
                          private FrontHost {
 public:
  Impl(http::Loop& loop, Transport& transport, const RunInfo& run, const ProxyOptions& options)
      : Resident(loop),
        transport_(transport),
        self_(transport.rank()),
        run_(run),
        curl_(loop.io()),
        upstreams_(self_, loop, curl_),
        admission_(self_, *this),
        tick_(loop.io(), [this] { turn(); }),
        calls_(loop.io(), transport,
               [this](const ReplicaId& replica, const LoadReport& load) {
                 admission_.dispatcher().on_load(replica, load, mono_now());
               }),
        server_(loop.io(), transport, *this),
        runtime_(loop, transport),
        front_(loop, run_, static_cast<FrontHost&>(*this)),
        express_(loop, self_, static_cast<native::ExpressHost&>(*this)),
        native_(
            loop, [this](std::unique_ptr<http::Exchange> exchange) { front_.handle(std::move(exchange)); }, express_,
            [this](http::Peer peer, std::string_view token) { return deny_connection(peer, token, run_); },
            options.client_limits) {
    if (options.dashboard) dashboard_.emplace(loop, run_, *options.dashboard);
  }

  Status listen(const ProxyOptions& options) {
    http::ListenerOptions limits;
    limits.limits = options.client_limits;
    limits.identify = options.identify;
    if (!limits.identify) {
      limits.identify = [check = std::make_shared<http::PeerCheck>()](int descriptor) { return (*check)(descriptor); };
    }
    const auto handler = [this](std::unique_ptr<http::Exchange> exchange) { front_.handle(std::move(exchange)); };
    auto port = http::Listener::on_loopback(loop(), options.port, handler, limits);
    if (!port) return port.error();
    listeners_.push_back(*std::move(port));
    if (options.socket.empty()) return {};
    limits.native = [this](http::Descriptor socket, std::string_view received, http::Peer peer) {
      native_.take(std::move(socket), received, peer);
    };
    auto socket = http::Listener::on_path(loop(), options.socket, handler, limits);
    if (!socket) return socket.error();
    listeners_.push_back(*std::move(socket));
    return {};
  }

  std::uint16_t port() const { return listeners_.empty() ? 0 : listeners_.front()->port(); }

  void on_message(Rank from, MessageKind kind, std::string_view payload) {
    switch (kind) {
      case MessageKind::call_open:
      case MessageKind::call_cancel:
        server_.on_message(from, kind, payload);
        break;
      case MessageKind::call_head:
      case MessageKind::call_error:
        calls_.on_message(from, kind, payload);
        break;
      case MessageKind::call_data:
      case MessageKind::call_window:
        server_.on_message(from, kind, payload);
        calls_.on_message(from, kind, payload);
        break;
      case MessageKind::runtime_answer:
        runtime_.on_answer(payload);
        break;
      default:
        if (const auto message = read_admission(kind, payload)) {
          admission_.on_message(from, *message, mono_now());
          poke();
        }
    }
    settle();
  }

  void on_endpoints(EndpointEpoch epoch) {
    std::vector<ServiceIndex> changed;
    for (const ServiceEndpoint& endpoint : epoch.changed) changed.push_back(endpoint.index);
    // Upstreams first: what waits is placed as soon as admission knows of a replica.
    EndpointTable next = admission_.table();
    if (!next.apply(epoch)) return;
    for (const ServiceIndex index : changed) upstreams_.apply(next, *next.find(index));
    const std::uint64_t number = epoch.number;
    admission_.apply(std::move(epoch), mono_now());
    front_.apply();
    runtime_.on_epoch(number);
    poke();
  }

  void on_rank_lost(Rank rank) {
    admission_.on_rank_lost(rank, mono_now());
    server_.on_rank_lost(rank);
    calls_.on_rank_lost(rank);
    runtime_.on_rank_lost(rank);
    poke();
  }

  void drain(const ReplicaId& replica, std::function<void()> done) {
    admission_.slots().drain(replica, std::move(done));
    settle();
  }

  void show(const dashboard::News& news) {
    if (dashboard_) dashboard_->show(news);
  }

  std::vector<ServiceSample> take_samples() { return metrics_.take_samples(gauges(), site_gauges()); }

  void close() {
    tick_.disarm();
    front_.close();
    if (dashboard_) dashboard_->close();
    native_.close();
    requests_.clear();
    server_.clear();
    runtime_.clear();
    listeners_.clear();
  }

 private:
  // From the loop.

  void on_tail() override { turn(); }

  /// Delivers what this rank sends to itself, and does what time has made due.
  void turn() {
    for (auto& message : std::exchange(to_self_, {})) {
      admission_.on_message(self_, message, mono_now());
    }
    if (const MonoTime next = admission_.tick(mono_now()); next != 0) tick_.arm_at(next);
    if (!to_self_.empty()) at_tail();
  }
  /// Admission changed otherwise than by poke(): looks whether a turn is needed for it.
  void settle() {
    if (admission_.pending()) at_tail();
  }

  // AdmissionOutbox

  void send(Rank to, AdmissionMessage message) override {
    if (to == self_) {
      to_self_.push_back(std::move(message));
      at_tail();
    } else {
      transport_.send(to, MessageClass::control, kind_of(message), write(message));
    }
  }

  // ForwardHost

  bool take_slot(Rank for_rank, const ReplicaId& replica, std::uint64_t reservation) override {
    admission_.reporter().used(for_rank, replica.service, mono_now());
    const MonoTime now = mono_now();
    return reservation == 0 ? admission_.slots().admit(replica, now)
                            : admission_.slots().redeem(replica, reservation, now);
  }
  void release_slot(const ReplicaId& replica) override {
    admission_.slots().release(replica);
    settle();
  }
  LoadReport load(const ReplicaId& replica) const override { return admission_.slots().load(replica); }
  Upstream* upstream(const ReplicaId& replica) override { return upstreams_.find(replica); }

  // ForwardHost and RequestHost

  void on_answered(const ReplicaId& replica, const http::ResponseHead& head) override {
    note_failure(replica.service, {});
    judge(replica, evidence_of(head, is_remote(replica)));
  }
  void on_served(const ReplicaId& replica, const CallError* error, Duration took) override {
    metrics_.served(replica, error != nullptr, took);
    if (error != nullptr) judge(replica, evidence_of(*error));
  }
  void judge(const ReplicaId& replica, const Evidence& evidence) {
    admission_.slots().judge(replica, evidence, mono_now());
    settle();
  }

  // RequestHost

  Dispatcher& dispatcher() override { return admission_.dispatcher(); }
  const EndpointTable& table() const override { return admission_.table(); }
  bool take_retry(ServiceIndex service) override { return retry_budgets_[service].take(mono_now()); }
  void note_failure(ServiceIndex service, std::string_view what) override {
    if (!what.empty()) {
      last_failures_.insert_or_assign(service, std::string(what));
    } else if (!last_failures_.empty()) {
      last_failures_.erase(service);
    }
  }
  std::string_view last_failure(ServiceIndex service) const override {
    const auto found = last_failures_.find(service);
    return found == last_failures_.end() ? std::string_view() : std::string_view(found->second);
  }
  void poke() override { at_tail(); }
  void on_piece_after(ServiceIndex service, Duration pause) override { metrics_.stream_pause(service, seconds(pause)); }

  bool attempt(http::Relay& relay, Placement& placement) override {
    if (placement.owner == self_) {
      Upstream* own = upstreams_.find(placement.replica);
      if (own != nullptr) relay.attempt(*own);
      return own != nullptr;
    }
    FabricUpstream other(calls_, placement.owner, placement.replica, placement.hold.use());
    relay.attempt(other);
    return true;
  }

  void on_done(Request& request) override {
    const auto& outcome = request.outcome();
    const MonoTime now = request.done_at();
    const Demand& demand = request.demand();
    RequestRecord record;
    record.service = demand.service;
    if (const auto& replica = request.replica()) record.replica = replica->replica;
    record.code = outcome.status != 0 ? outcome.status : client_closed_request;
    record.failed = request.failed();
    record.duration_s = seconds(Duration(now - demand.arrived));
    if (request.answered_at() != 0) {
      record.first_byte_s = seconds(Duration(request.answered_at() - demand.arrived));
    }
    record.bytes_up = outcome.bytes_up;
    record.bytes_down = outcome.bytes_down;
    record.retries = request.retries();
    if (request.answered_at() != 0 && !outcome.error && !outcome.client_gone) {
      const Duration last_attempt(now - request.placed_at());
      const Duration inference = std::min(outcome.served.value_or(last_attempt), last_attempt);
      record.parts = {.communication = last_attempt - inference,
                      .service = Duration(request.placed_at() - demand.arrived),
                      .inference = inference};
    }
    metrics_.record(record);
    std::unique_ptr<Request>& place = requests_[request.slot];
    std::swap(place, requests_.back());
    place->slot = request.slot;
    loop().bury(std::move(requests_.back()));
    requests_.pop_back();
    settle();
  }

  // ExpressHost

  native::NativeUpstream* native_upstream(const ReplicaId& replica) override { return upstreams_.find_native(replica); }
  void on_request(ServiceIndex service) override { retry_budgets_[service].on_request(); }
  void append_request_id(std::string& out) override { front_.append_request_id(out); }
  void record(const RequestRecord& record) override {
    metrics_.record(record);
    settle();
  }
  void go_on(Start&& start, Begun begun) override { keep(std::move(start)).go_on(std::move(begun)); }

  // FrontHost; table() above

  std::string metrics_text() override { return metrics_.text(gauges(), site_gauges(), front_.refused()); }

  void ask_pilot(std::unique_ptr<http::Exchange> exchange) override { runtime_.take(std::move(exchange)); }

  bool open_dashboard(std::unique_ptr<http::Exchange>& exchange) override {
    if (dashboard_) dashboard_->handle(std::move(exchange));
    return dashboard_.has_value();
  }

  void start(Start&& start) override {
    retry_budgets_[start.demand.service].on_request();
    keep(std::move(start)).start();
  }
  Request& keep(Start&& start) {
    const Service* service = admission_.table().find(start.demand.service);
    start.head.repeatable = http::changes_nothing(start.head.method) ||
                            (service != nullptr && service->endpoint.retry == RetryKind::always);
    auto& request = requests_.emplace_back(
        std::make_unique<Request>(loop(), static_cast<RequestHost&>(*this), self_, std::move(start)));
    request->slot = requests_.size() - 1;
    return *request;
  }

  std::vector<ServiceGauges> gauges() const {
    std::map<ServiceIndex, std::uint64_t> in_flight;
    for (const auto& request : requests_) {
      if (request->in_flight()) ++in_flight[request->demand().service];
    }
    express_.add_in_flight(in_flight);
    std::vector<ServiceGauges> out;
    for (const auto& [index, service] : admission_.table().services()) {
      out.push_back({.service = index,
                     .name = service.endpoint.name,
                     .in_flight = in_flight[index],
                     .waiting = admission_.dispatcher().waiting(index),
                     .queued = admission_.queued(index)});
    }
    return out;
  }

  std::vector<SiteGauges> site_gauges() const {
    std::vector<SiteGauges> out;
    for (const auto& [index, service] : admission_.table().services()) {
      for (const Site& site : service.sites) {
        if (site.owner != self_) continue;
        const SiteHealth health = admission_.slots().health(site.id);
        out.push_back({.service = service.endpoint.name,
                       .replica = site.id.replica,
                       .in_flight = admission_.slots().load(site.id).in_flight,
                       .healthy = health.open,
                       .breaker = static_cast<std::uint8_t>(health.breaker),
                       .times_opened = health.times_opened,
                       .index = index});
      }
    }
    return out;
  }

  Transport& transport_;
  const Rank self_;
  const RunInfo run_;
  CurlLoop curl_;
  Upstreams upstreams_;
  Admission admission_;
  Timer tick_;
  FabricCalls calls_;
  ForwardServer server_;
  RuntimeCalls runtime_;
  Metrics metrics_;
  FrontDoor front_;
  std::optional<dashboard::Door> dashboard_;
  native::Express express_;
  native::Door native_;
  std::map<ServiceIndex, RetryBudget> retry_budgets_;
  std::map<ServiceIndex, std::string> last_failures_;  ///< of services that nobody has been reached at since
  std::vector<AdmissionMessage> to_self_;
  std::vector<std::unique_ptr<Request>> requests_;
  std::vector<std::unique_ptr<http::Listener>> listeners_;
};

Proxy::Proxy(std::unique_ptr<http::Loop> loop, std::unique_ptr<Impl> impl)
    : loop_(std::move(loop)), impl_(std::move(impl)) {}
Proxy::~Proxy() {
  impl_->close();
}

Result<std::unique_ptr<Proxy>> Proxy::start(boost::asio::io_context& io, Transport& transport, const RunInfo& run,
                                            ProxyOptions options) {
  auto loop = std::make_unique<http::Loop>(io);
  auto impl = std::make_unique<Impl>(*loop, transport, run, options);
  if (const Status listening = impl->listen(options); !listening) return listening.error();
  return std::unique_ptr<Proxy>(new Proxy(std::move(loop), std::move(impl)));
}

std::uint16_t Proxy::port() const {
  return impl_->port();
}
std::string Proxy::url() const {
  return "http://127.0.0.1:" + std::to_string(port());
}

void Proxy::on_message(Rank from, MessageKind kind, std::string_view payload) {
  loop_->note_work();
  impl_->on_message(from, kind, payload);
}
void Proxy::on_endpoints(EndpointEpoch epoch) {
  impl_->on_endpoints(std::move(epoch));
}
void Proxy::on_rank_lost(Rank rank) {
  impl_->on_rank_lost(rank);
}
void Proxy::drain(const ReplicaId& replica, std::function<void()> done) {
  impl_->drain(replica, std::move(done));
}
void Proxy::show(const dashboard::News& news) {
  impl_->show(news);
}
std::vector<ServiceSample> Proxy::take_samples() {
  return impl_->take_samples();
}
bool Proxy::crowded() const {
  return loop_->crowded();
}

bool Proxy::busy(std::chrono::steady_clock::time_point now) const {
  return loop_->busy(now);
}

bool Proxy::poll() {
  return loop_->poll();
}

bool Proxy::lie_down() {
  return loop_->lie_down();
}
void Proxy::close() {
  impl_->close();
}

}  // namespace trireme::proxy
