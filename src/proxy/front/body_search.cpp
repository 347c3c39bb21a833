#include "proxy/front/body_search.hpp"

#include <utility>

#include "core/defaults.hpp"

namespace trireme::proxy {

BodySearch::BodySearch(http::Loop& loop, std::unique_ptr<http::Exchange> exchange, Manner manner,
                       std::shared_ptr<std::size_t> together, Duration deadline, BodySearchOwner& owner)
    : Resident(loop), owner_(owner), exchange_(std::move(exchange)), manner_(manner), held_(std::move(together)) {
  if (manner == Manner::form) form_.emplace(boundary_of(exchange_->head().headers).value_or(""));
  set_deadline(deadline);
}

BodySearch::~BodySearch() {
  if (exchange_) exchange_->observe(nullptr);
}

void BodySearch::start() {
  exchange_->observe(this);
  on_body();
}

void BodySearch::on_body() {
  for (;;) {
    const std::string_view piece = exchange_->body();
    if (piece.empty()) break;
    if (manner_ == Manner::lenient && body_.size() + piece.size() > defaults::replay_limit) return found();
    if (body_.size() + piece.size() > defaults::max_request_held) {
      return manner_ == Manner::form ? found() : refuse(413, too_long);
    }
    if (held_.together() + piece.size() > defaults::max_held_together) {
      return refuse(429, "this node holds too many large requests now; try again in 1 s");
    }
    body_.append(piece);
    held_.add(piece.size());
    const BodyScan::State state = form_ ? form_->look(body_) : scan_.feed(piece);
    exchange_->take(piece.size());
    if (state == BodyScan::State::failed) {
      if (manner_ == Manner::lenient) return found();
      return refuse(400, form_ ? form_->failure() : scan_.failure());
    }
  }
  if (!exchange_->body_complete()) return;
  const BodyScan::State state = form_ ? form_->state() : scan_.state();
  if (state == BodyScan::State::complete || manner_ == Manner::lenient) return found();
  refuse(400, form_ ? form_cut_short : cut_short);
}

void BodySearch::found() {
  end();
  owner_.on_found(*this);
}

void BodySearch::on_gone() {
  end();
  held_.release();
  owner_.on_gone(*this);
}

void BodySearch::on_deadline() {
  refuse(408, "the request's body did not come before its deadline");
}

void BodySearch::refuse(int status, std::string_view message) {
  end();
  held_.release();
  owner_.on_refused(*this, status, message);
}

void BodySearch::end() {
  clear_deadline();
  exchange_->observe(nullptr);
}

}  // namespace trireme::proxy
