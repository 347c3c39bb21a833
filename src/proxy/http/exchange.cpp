#include "proxy/http/exchange.hpp"

#include <utility>

namespace trireme::proxy::http {

ExchangeObserver* ExchangeCarrier::observer_of(const Exchange& exchange) {
  return exchange.observer_;
}
void ExchangeCarrier::note_head_sent(Exchange& exchange) {
  exchange.head_sent_ = true;
}
void ExchangeCarrier::release(Exchange& exchange) {
  exchange.connection_ = nullptr;
}

Exchange::Exchange(ExchangeCarrier& carrier, RequestHead&& head, Peer peer)
    : connection_(&carrier), head_(std::move(head)), peer_(peer) {}

Exchange::~Exchange() {
  abort();
}

std::string_view Exchange::body() {
  return live() ? connection_->body() : std::string_view();
}

bool Exchange::body_complete() const {
  return live() && connection_->body_complete();
}

void Exchange::take(std::size_t bytes) {
  if (live()) connection_->take(bytes);
}

void Exchange::respond_head(ResponseHead&& head) {
  if (live()) connection_->respond_head(std::move(head));
}

std::size_t Exchange::respond_body(std::string_view data) {
  return live() ? connection_->respond_body(data) : data.size();
}

void Exchange::respond_end() {
  if (live()) connection_->respond_end();
}

void Exchange::respond(int status, std::string_view content_type, std::string_view body, Headers headers) {
  ResponseHead head;
  head.status = status;
  head.headers = std::move(headers);
  if (!content_type.empty()) {
    head.headers.push_back({"Content-Type", content_type});
  }
  head.body = {Body::Kind::length, body.size()};
  respond_head(std::move(head));
  static_cast<void>(respond_body(body));
  respond_end();
}

void Exchange::abort() {
  if (live()) connection_->abort();
}

}  // namespace trireme::proxy::http
