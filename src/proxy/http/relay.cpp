#include "proxy/http/relay.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "core/defaults.hpp"
#include "proxy/http/codec.hpp"

namespace trireme::proxy::http {

void RelayOwner::on_failed(Relay& relay, const CallError& error) {
  const int status = error.kind == CallError::Kind::timeout ? 504 : 502;
  relay.answer(status, "text/plain; charset=utf-8", error.what + "\n");
}

Relay::Relay(std::unique_ptr<Exchange> exchange, RequestHead&& head, RelayOwner& owner, std::string held)
    : exchange_(std::move(exchange)), head_(std::move(head)), owner_(owner), kept_(std::move(held)) {
  strip_hop_by_hop(head_.headers);
  exchange_->observe(this);
}

Relay::~Relay() {
  exchange_->observe(nullptr);
}

void Relay::attempt(Upstream& upstream) {
  assert(!call_ && outcome_.status == 0 && (replayable_ || outcome_.attempts == 0));
  ++outcome_.attempts;
  outcome_.error.reset();
  head_.fresh = outcome_.attempts > 1;
  if (!exchange_->live()) return;  // on_gone() has been called or is about to be

  const bool from_kept = !kept_.empty();
  const std::string_view first =
      from_kept ? std::string_view(kept_).substr(0, defaults::stream_window) : exchange_->body();
  const bool nothing_after =
      exchange_->body_complete() && (!from_kept || (first.size() == kept_.size() && exchange_->body().empty()));
  end_sent_ = nothing_after;
  call_ = upstream.open(head_, first, nothing_after, *this);
  outcome_.bytes_up += first.size();
  if (from_kept) {
    kept_sent_ = first.size();
  } else if (nothing_after) {
    in_place_ = first.size();
  } else {
    kept_.assign(first);
    kept_sent_ = kept_.size();
    exchange_->take(first.size());
  }
  if (!end_sent_) pump();
}

/// Moves request bytes as far as the call takes them.
void Relay::pump() {
  while (call_ && !end_sent_) {
    const std::size_t window = call_->window();
    if (kept_sent_ < kept_.size()) {
      const auto part = std::string_view(kept_).substr(kept_sent_, window);
      if (part.empty()) return;
      call_->send(part);
      kept_sent_ += part.size();
      outcome_.bytes_up += part.size();
      continue;
    }
    if (!replayable_) {
      kept_.clear();
      kept_sent_ = 0;
    }
    const std::string_view body = exchange_->body();
    if (body.empty()) {
      if (!exchange_->body_complete()) return;
      end_sent_ = true;
      call_->send_end();
      return;
    }
    const std::string_view part = body.substr(0, window);
    if (part.empty()) return;
    call_->send(part);
    outcome_.bytes_up += part.size();
    if (replayable_ && kept_.size() + part.size() <= defaults::replay_limit) {
      kept_.append(part);
      kept_sent_ = kept_.size();
    } else {
      replayable_ = false;
    }
    exchange_->take(part.size());
  }
}

/// No further attempt will need what was kept for one.
void Relay::release_body() {
  replayable_ = false;
  if (in_place_ > 0) exchange_->take(std::exchange(in_place_, 0));
  if (kept_sent_ == kept_.size()) {
    kept_ = std::string();
    kept_sent_ = 0;
  }
}

void Relay::answer(int status, std::string_view content_type, std::string_view body, Headers headers) {
  call_.reset();
  if (exchange_->head_sent()) {
    exchange_->abort();
  } else if (exchange_->live()) {
    outcome_.status = status;
    outcome_.bytes_down = body.size();
    exchange_->respond(status, content_type, body, std::move(headers));
  }
  done();
}

void Relay::done() {
  exchange_->observe(nullptr);
  call_.reset();
  owner_.on_done(*this, outcome_);
}

// ---- From the upstream --------------------------------------------------------------------------

void Relay::on_head(ResponseHead&& head) {
  release_body();
  outcome_.status = head.status;
  strip_hop_by_hop(head.headers);
  head.keep_alive = true;  // the upstream's connection is not the client's
  owner_.on_answer(*this, head);
  exchange_->respond_head(std::move(head));
}

void Relay::on_body(std::string_view data) {
  outcome_.bytes_down += data.size();
  owner_.on_piece(*this);
  if (const std::size_t written = exchange_->respond_body(data); written > 0) {
    call_->consumed(written);
  }
}

void Relay::on_end() {
  outcome_.served = call_->served();
  exchange_->respond_end();
  done();
}

void Relay::on_error(CallError error) {
  call_.reset();
  outcome_.error = std::move(error);
  if (exchange_->head_sent()) {
    exchange_->abort();
    done();
    return;
  }
  in_place_ = 0;
  const CallError failure = *outcome_.error;  // the outcome may go with the Relay
  owner_.on_failed(*this, failure);
}

void Relay::on_window() {
  pump();
}

// ---- From the client ----------------------------------------------------------------------------

void Relay::on_body() {
  pump();
}

void Relay::on_written(std::size_t bytes) {
  if (call_) call_->consumed(bytes);
}

void Relay::on_gone() {
  outcome_.client_gone = true;
  done();
}

}  // namespace trireme::proxy::http
