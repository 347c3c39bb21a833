#include "proxy/runtime_calls.hpp"

#include <algorithm>
#include <utility>

#include "archive/bounded.hpp"
#include "core/defaults.hpp"
#include "proxy/front/dialect.hpp"

namespace trireme::proxy {

/// One request in progress. A Resident only so that it can be buried: it may end inside its own callbacks.
class RuntimeCalls::Pending final : public http::Resident, public http::ExchangeObserver {
 public:
  Pending(http::Loop& loop, RuntimeCalls& owner, std::uint64_t number, std::unique_ptr<http::Exchange> exchange)
      : Resident(loop), owner_(owner), exchange_(std::move(exchange)) {
    request.number = number;
    request.method = exchange_->head().method;
    request.target = exchange_->head().target;
  }

  void start() {
    exchange_->observe(this);
    on_body();
  }
  http::Exchange& exchange() { return *exchange_; }

  RuntimeRequest request;  ///< its body is given away once it is sent
  std::size_t bytes = 0;   ///< of the body
  bool sent = false;

  void on_body() override {
    if (sent) return;
    const std::string_view piece = exchange_->body();
    bytes += piece.size();
    owner_.bytes_ += piece.size();
    if (bytes > defaults::runtime_body) {
      return owner_.answer(
          *this, 413, error_body(Dialect::openai, 413, "a request to the runtime is at most 8 MiB long: send several"));
    }
    if (owner_.bytes_ > defaults::runtime_bytes) {
      return owner_.answer(
          *this, 429,
          error_body(Dialect::openai, 429, "too much is being asked of the runtime by this node: try again"));
    }
    request.body.append(piece);
    exchange_->take(piece.size());
    if (exchange_->body_complete()) owner_.send(*this);
  }
  void on_written(std::size_t) override {}
  void on_gone() override { owner_.drop(*this); }

 private:
  RuntimeCalls& owner_;
  std::unique_ptr<http::Exchange> exchange_;
};

RuntimeCalls::RuntimeCalls(http::Loop& loop, Transport& transport) : loop_(loop), transport_(transport) {}

RuntimeCalls::~RuntimeCalls() {
  clear();
}

void RuntimeCalls::take(std::unique_ptr<http::Exchange> exchange) {
  if (pending_.size() >= defaults::runtime_requests) {
    exchange->respond(429, "application/json",
                      error_body(Dialect::openai, 429, "too many requests to the runtime wait on this node"),
                      {{"Retry-After", "1"}});
    return;
  }
  if (transport_.is_lost(pilot_rank)) {
    exchange->respond(503, "application/json", error_body(Dialect::openai, 503, "the pilot of this run is lost"));
    return;
  }
  const std::uint64_t number = ++last_number_;
  auto pending = std::make_unique<Pending>(loop_, *this, number, std::move(exchange));
  Pending& started = *pending;
  pending_.emplace(number, std::move(pending));
  started.start();
}

void RuntimeCalls::send(Pending& pending) {
  pending.sent = true;
  transport_.send(pilot_rank, MessageClass::control, MessageKind::runtime_request, archive::write(pending.request));
  pending.request.body = {};
}

void RuntimeCalls::answer(Pending& pending, int status, std::string_view body) {
  pending.exchange().observe(nullptr);
  http::Headers headers;
  if (status == 429) headers.push_back({"Retry-After", "1"});
  pending.exchange().respond(status, "application/json", body, std::move(headers));
  forget(pending);
}

void RuntimeCalls::drop(Pending& pending) {
  if (pending.sent) {
    transport_.send(pilot_rank, MessageClass::control, MessageKind::runtime_drop,
                    archive::write(RuntimeDrop{pending.request.number}));
  }
  forget(pending);
}

void RuntimeCalls::forget(Pending& pending) {
  bytes_ -= pending.bytes;
  const auto found = pending_.find(pending.request.number);
  loop_.bury(std::move(found->second));
  pending_.erase(found);
}

void RuntimeCalls::on_answer(std::string_view payload) {
  auto message = archive::read<RuntimeAnswer>(payload);
  if (!message) return;
  const std::uint64_t needed = message->epoch;
  held_.emplace(needed, std::move(*message));
  on_epoch(epoch_);
}

void RuntimeCalls::on_epoch(std::uint64_t epoch) {
  epoch_ = std::max(epoch_, epoch);
  while (!held_.empty() && held_.begin()->first <= epoch_) {
    const RuntimeAnswer message = std::move(held_.extract(held_.begin()).mapped());
    const auto found = pending_.find(message.number);
    if (found != pending_.end()) answer(*found->second, message.status, message.body);
  }
}

void RuntimeCalls::on_rank_lost(Rank rank) {
  if (rank != pilot_rank) return;
  while (!pending_.empty()) {
    answer(*pending_.begin()->second, 503, error_body(Dialect::openai, 503, "the pilot of this run is lost"));
  }
}

void RuntimeCalls::clear() {
  for (auto& [number, pending] : pending_) pending->exchange().observe(nullptr);
  pending_.clear();
  held_.clear();
  bytes_ = 0;
}

}  // namespace trireme::proxy
