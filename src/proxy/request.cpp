#include "proxy/request.hpp"

#include <algorithm>
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

}  // namespace

Request::Request(http::Loop& loop, RequestHost& host, Rank self, Start start)
    : Resident(loop),
      host_(host),
      self_(self),
      affinity_(std::move(start.affinity)),
      demand_(with(start.demand, affinity_)),
      id_(std::move(start.id)),
      dialect_(start.dialect),
      held_(std::move(start.held)),
      stream_(start.stream),
      relay_(std::move(start.exchange), std::move(start.head), *this, std::move(start.body)) {
  if (const Service* service = host_.table().find(demand_.service)) retry_ = service->endpoint.retry;
}

Request::~Request() = default;

void Request::start() {
  set_deadline(Duration(demand_.deadline - demand_.arrived));
  decide(host_.dispatcher().place(demand_, tried_, *this, demand_.arrived));
}

void Request::decide(Dispatcher::Decision decision) {
  if (auto* placement = std::get_if<Placement>(&decision)) {
    on_placed(std::move(*placement));
  } else if (auto* ticket = std::get_if<Ticket>(&decision)) {
    ticket_ = std::move(*ticket);
    host_.poke();
  } else {
    on_refused(std::get<Refusal>(decision));
  }
}

void Request::on_placed(Placement placement) {
  ticket_.reset();
  replica_ = placement.replica;
  placement_ = std::move(placement);
  if (!host_.attempt(relay_, *placement_)) {
    on_failed(relay_, {CallError::Kind::not_delivered, "the replica has ended"});
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
      return refuse(504, "no replica of " + name + " was free before the request's deadline");
  }
}

void Request::on_deadline() {
  if (done_ || answered_at_ != 0) return;
  const Service* service = host_.table().find(demand_.service);
  const std::string name = service == nullptr ? "the service" : service->endpoint.name;
  refuse(504, ticket_ ? "no replica of " + name + " was free before the request's deadline"
                      : name + " did not answer before the request's deadline");
}

void Request::on_failed(http::Relay&, const CallError& error) {
  end_attempt(&error);
  if (error.kind == CallError::Kind::refused && relay_.replayable()) {
    return decide(host_.dispatcher().wait(demand_, *replica_, *this, mono_now()));
  }
  if (!may_retry(error)) {
    const int status = error.kind == CallError::Kind::timeout ? 504 : 502;
    return refuse(status, error.what);
  }
  ++retries_;
  tried_.push_back(*replica_);
  decide(host_.dispatcher().place(demand_, tried_, *this, mono_now()));
}

bool Request::may_retry(const CallError& error) const {
  if (!relay_.replayable() || retries_ + 1 >= defaults::request_attempts) return false;
  return error.kind == CallError::Kind::not_delivered || retry_ == RetryKind::always;
}

void Request::on_answer(http::Relay&, http::ResponseHead& head) {
  answered_at_ = mono_now();
  clear_deadline();
  held_.release();
  stream_ = stream_ || is_stream(head.headers);
  http::set(head.headers, "X-Trireme-Replica", host_.table().name(*replica_));
  http::set(head.headers, "X-Request-Id", id_);
}

void Request::on_piece(http::Relay&) {
  if (!stream_) return;
  const MonoTime now = mono_now();
  if (piece_at_ != 0) host_.on_piece_after(demand_.service, Duration(now - piece_at_));
  piece_at_ = now;
}

void Request::on_done(http::Relay&, const http::RelayOutcome& outcome) {
  done_ = true;
  clear_deadline();
  held_.release();
  outcome_ = outcome;
  if (outcome.error && answered_at_ != 0) failed_ = true;
  end_attempt(outcome.error ? &*outcome.error : nullptr);
  ticket_.reset();
  host_.on_done(*this);
}

void Request::refuse(int status, std::string_view message, http::Headers headers) {
  failed_ = true;
  headers.push_back({"X-Request-Id", id_});
  relay_.answer(status, "application/json", error_body(dialect_, status, message), std::move(headers));
}

void Request::end_attempt(const CallError* error) {
  if (!placement_) return;
  if (placement_->owner == self_) host_.on_served(placement_->replica, error);
  placement_.reset();
}

}  // namespace trireme::proxy
