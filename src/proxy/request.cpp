#include "proxy/request.hpp"

#include <algorithm>
#include <random>
#include <utility>

#include "core/defaults.hpp"

namespace trireme::proxy {

namespace {

bool is_stream(const http::Headers& headers) {
  const std::string_view type = http::find(headers, "Content-Type").value_or("");
  return type.starts_with("text/event-stream") || type.starts_with("application/x-ndjson");
}

Demand with(Demand demand, const Affinity& affinity) {
  demand.affinity = &affinity;
  return demand;
}

/// Between half of it and one and a half, so that those who failed together do not come again together.
Duration jittered(Duration wait) {
  thread_local std::minstd_rand random{std::random_device{}()};
  return wait / 2 + Duration(std::uniform_int_distribution<std::int64_t>(0, wait.count())(random));
}

}  // namespace

Request::Request(http::Loop& loop, RequestHost& host, Rank self, Start&& start)
    : Resident(loop),
      host_(host),
      self_(self),
      affinity_(std::move(start.affinity)),
      demand_(with(start.demand, affinity_)),
      dialect_(start.dialect),
      held_(std::move(start.held)),
      stream_(start.stream),
      relay_(std::move(start.exchange), std::move(start.head), *this, std::move(start.body)) {
  if (const Service* service = host_.table().find(demand_.service)) retry_ = service->endpoint.retry;
}

Request::~Request() = default;

void Request::start() {
  set_deadline(Duration(demand_.deadline - demand_.arrived));
  decide(host_.dispatcher().place(demand_, tried_, *this, demand_.arrived), demand_.arrived);
}

void Request::go_on(Begun begun) {
  set_deadline(Duration(std::max<MonoTime>(demand_.deadline - mono_now(), 0)));
  if (auto* placement = std::get_if<Placement>(&begun)) return on_placed(std::move(*placement));
  if (const auto* refusal = std::get_if<Refusal>(&begun)) return on_refused(*refusal);
  if (const auto* late = std::get_if<PastDeadline>(&begun)) return past_deadline(late->waited);
  auto& failed = std::get<FailedAttempt>(begun);
  replica_ = failed.replica;
  on_failed(relay_, failed.error);
}

void Request::decide(Dispatcher::Decision decision, MonoTime now) {
  if (auto* placement = std::get_if<Placement>(&decision)) {
    attempt(std::move(*placement), now);
  } else if (auto* ticket = std::get_if<Ticket>(&decision)) {
    ticket_ = std::move(*ticket);
    host_.poke();
  } else {
    on_refused(std::get<Refusal>(decision));
  }
}

void Request::on_placed(Placement placement) {
  ticket_.reset();
  attempt(std::move(placement), mono_now());
}

void Request::attempt(Placement placement, MonoTime now) {
  replica_ = placement.replica;
  placement_ = std::move(placement);
  placed_at_ = now;
  if (!host_.attempt(relay_, *placement_)) {
    on_failed(relay_, {CallError::Kind::not_delivered, "the replica has ended", CallError::Blame::none});
  }
}

void Request::on_refused(Refusal refusal) {
  ticket_.reset();
  const Service* service = host_.table().find(demand_.service);
  const std::string name = service == nullptr ? "the service" : service->endpoint.name;
  switch (refusal.why) {
    case Refusal::Why::full: {
      const std::string seconds = std::to_string(std::max(1u, refusal.retry_after_s));
      return refuse(429, "the queue of " + name + " is full; try again in " + seconds + " s",
                    {{"Retry-After", seconds}});
    }
    case Refusal::Why::dead:
      return refuse(503, "no replica of " + name + " lives and none will be started again");
    case Refusal::Why::deadline:
      return refuse(504, none_was_free(name));
  }
}

void Request::on_deadline() {
  if (done_at_ == 0 && answered_at_ == 0) past_deadline(ticket_.has_value());
}

void Request::past_deadline(bool waited) {
  const Service* service = host_.table().find(demand_.service);
  const std::string name = service == nullptr ? "the service" : service->endpoint.name;
  refuse(504, waited ? none_was_free(name) : name + " did not answer before the request's deadline");
}

std::string Request::none_was_free(const std::string& name) const {
  const std::string_view failure = host_.last_failure(demand_.service);
  std::string text = "no replica of " + name + " was free before the request's deadline";
  return failure.empty() ? text : text.append("; the last that was tried failed: ").append(failure);
}

void Request::on_failed(http::Relay&, const CallError& error) {
  const MonoTime now = mono_now();
  end_attempt(&error, now);
  if (error.kind == CallError::Kind::not_delivered) host_.note_failure(demand_.service, error.what);
  if (error.kind == CallError::Kind::refused && relay_.replayable()) {
    return decide(host_.dispatcher().wait(demand_, *replica_, *this, now), now);
  }
  if (error.kind != CallError::Kind::not_delivered) ++seen_;
  if (may_retry(error)) return retry(error);
  refuse(error.kind == CallError::Kind::timeout ? 504 : 502, error.what);
}

bool Request::may_retry(const CallError& error) const {
  if (!relay_.replayable()) return false;
  if (seen_ >= defaults::request_attempts || retries_ + 1 >= defaults::request_tries) return false;
  return error.kind == CallError::Kind::not_delivered || retry_ == RetryKind::always;
}

/// On another replica at once; where there is none, on any after a back-off.
void Request::retry(const CallError& error) {
  tried_.push_back(*replica_);
  if (!host_.take_retry(demand_.service)) {
    return refuse(502, error.what + "; it is not tried again, because too many of the service's requests were");
  }
  const std::uint32_t before = retries_++;
  if (any_untried()) return place_again();
  if (++rounds_ >= defaults::request_attempts) return refuse(502, error.what);
  tried_.clear();
  backoff_ = std::make_unique<Timer>(loop().io(), [this] { place_again(); });
  backoff_->arm(jittered(Duration(defaults::retry_backoff) * (1u << std::min(before, 6u))));
}

void Request::place_again() {
  const MonoTime now = mono_now();
  decide(host_.dispatcher().place(demand_, tried_, *this, now), now);
}

/// A replica is ready that has not failed this request.
bool Request::any_untried() const {
  const Service* service = host_.table().find(demand_.service);
  if (service == nullptr) return false;
  return std::any_of(service->sites.begin(), service->sites.end(), [&](const Site& site) {
    return site.ready && std::find(tried_.begin(), tried_.end(), site.id) == tried_.end();
  });
}

void Request::on_answer(http::Relay&, http::ResponseHead& head) {
  answered_at_ = mono_now();
  clear_deadline();
  held_.release();
  stream_ = stream_ || is_stream(head.headers);
  if (placement_->owner == self_) {
    host_.on_answered(placement_->replica, head);
  } else {
    host_.note_failure(demand_.service, {});
  }
  http::set(head.headers, "X-Trireme-Replica", host_.table().name(*replica_));
  http::set(head.headers, "X-Request-Id", id());
}

void Request::on_piece(http::Relay&) {
  if (!stream_) return;
  const MonoTime now = mono_now();
  if (piece_at_ != 0) host_.on_piece_after(demand_.service, Duration(now - piece_at_));
  piece_at_ = now;
}

void Request::on_done(http::Relay&, const http::RelayOutcome& outcome) {
  done_at_ = mono_now();
  clear_deadline();
  held_.release();
  backoff_.reset();
  outcome_ = outcome;
  if (outcome.error && answered_at_ != 0) failed_ = true;
  end_attempt(outcome.error ? &*outcome.error : nullptr, done_at_);
  ticket_.reset();
  host_.on_done(*this);
}

void Request::refuse(int status, std::string_view message, http::Headers headers) {
  failed_ = true;
  headers.push_back({"X-Request-Id", id()});
  relay_.answer(status, "application/json", error_body(dialect_, status, message), std::move(headers));
}

std::string_view Request::id() const {
  return http::find(relay_.head().headers, "X-Request-Id").value_or("");
}

void Request::end_attempt(const CallError* error, MonoTime now) {
  if (!placement_) return;
  if (placement_->owner == self_) {
    host_.on_served(placement_->replica, error, Duration(now - placed_at_));
  }
  placement_.reset();
}

}  // namespace trireme::proxy
