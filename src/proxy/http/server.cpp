#include "proxy/http/server.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cassert>
#include <string>

#include "core/defaults.hpp"

namespace trireme::proxy::http {

namespace {

// Pieces up to this size are worth copying so that several leave in one write.
constexpr std::size_t gather_below = 4u << 10;
constexpr std::size_t gather_most = 32u << 10;

// Steps of one connection before the others get their turn.
constexpr int steps_per_turn = 32;

}  // namespace

ServerLimits::ServerLimits()
    : head_timeout(defaults::http_head_timeout),
      idle_timeout(defaults::http_idle_timeout),
      stall_timeout(defaults::http_stall_timeout),
      linger(defaults::http_linger),
      drain_bytes(defaults::http_drain_bytes) {}

ServerConnection::ServerConnection(Loop& loop, Descriptor socket, Peer peer, ConnectionOwner& owner)
    : Resident(loop), owner_(owner), stream_(std::move(socket)), peer_(peer) {}

ServerConnection::~ServerConnection() {
  assert(exchange_ == nullptr);
}

bool ServerConnection::start() {
  if (!watch(stream_.descriptor())) return false;
  set_deadline(owner_.limits().idle_timeout);
  at_tail();
  return true;
}

// ---- Events -------------------------------------------------------------------------------------

void ServerConnection::on_ready(Ready ready) {
  stream_.note(ready);
  on_tail();
}

void ServerConnection::on_tail() {
  if (state_ == State::closed) return;
  if (stream_.unsent() > 0) flush();
  step();
}

void ServerConnection::on_deadline() {
  if (state_ == State::head && head_begun_) {
    refuse(408, "the head of the request took too long");
    step();
  } else {
    close();
  }
}

void ServerConnection::flush() {
  stream_.write();
  const std::size_t written = settle();
  if (written > 0 && exchange_ != nullptr && exchange_->observer_ != nullptr) {
    exchange_->observer_->on_written(written);
  }
}

/// How many body bytes are known to be written since it was last asked. What is pending holds framing too, so this may count
/// some too late but never too early.
std::size_t ServerConnection::settle() {
  const std::size_t left = std::min(unwritten_, stream_.unsent());
  const std::size_t written = unwritten_ - left;
  unwritten_ = left;
  return written;
}

/// The deadline for whatever the client owes us.
void ServerConnection::await_client() {
  const bool owes = stream_.unsent() > 0 || body_wanted_;
  if (state_ == State::finishing || (state_ == State::exchange && owes)) {
    set_deadline(owner_.limits().stall_timeout);
  } else if (state_ == State::exchange) {
    clear_deadline();
  }
}

// ---- Steps --------------------------------------------------------------------------------------

void ServerConnection::step() {
  if (stepping_) return;
  stepping_ = true;
  bool moved = true;
  for (int i = 0; moved; ++i) {
    if (i == steps_per_turn) {
      at_tail();
      break;
    }
    switch (state_) {
      case State::head:
        moved = step_head();
        break;
      case State::exchange:
        moved = step_exchange();
        break;
      case State::finishing:
        moved = step_finishing();
        break;
      case State::draining:
        moved = step_draining();
        break;
      case State::lingering:
        moved = step_lingering();
        break;
      case State::closed:
        moved = false;
        break;
    }
  }
  stepping_ = false;
  if (state_ != State::closed) await_client();
}

bool ServerConnection::step_head() {
  if (stream_.gone()) {
    close();
    return false;
  }
  if (!in_.empty()) {
    // No head of HTTP begins with a zero byte.
    if (in_.view().front() == '\0' && hand_over()) return false;
    if (!head_begun_) {
      head_begun_ = true;
      set_deadline(owner_.limits().head_timeout);
    }
    switch (parser_.parse_request(in_.view(), head_)) {
      case HeadParser::State::done:
        in_.consume(parser_.consumed());
        begin_exchange();
        return true;
      case HeadParser::State::error:
        refuse(parser_.error().status, parser_.error().what);
        return true;
      case HeadParser::State::more:
        break;
    }
  }
  switch (stream_.read(in_, defaults::http_head_bytes)) {
    case Stream::Io::progress:
      return true;
    case Stream::Io::eof:
    case Stream::Io::failed:
      close();
      return false;
    case Stream::Io::blocked:
    case Stream::Io::full:  // the parser refuses a head of that size
      return false;
  }
  return false;
}

/// The native protocol goes on with a descriptor of its own; this connection ends.
bool ServerConnection::hand_over() {
  Descriptor socket(::fcntl(stream_.descriptor(), F_DUPFD_CLOEXEC, 0));
  if (!socket || !owner_.take_native(socket, in_.view(), peer_)) return false;
  close();
  return true;
}

void ServerConnection::begin_exchange() {
  count_client();
  decoder_ = BodyDecoder(head_.body);
  piece_ = 0;
  body_wanted_ = false;
  continue_due_ = head_.expect_continue;
  http10_ = head_.http10;
  method_ = head_.method;
  keep_alive_ = head_.keep_alive && !owner_.stopping();
  unwritten_ = 0;
  decode();
  if (decoder_.failed()) return refuse(400, decoder_.error());
  if (decoder_.done() || piece_ > 0) continue_due_ = false;

  state_ = State::exchange;
  clear_deadline();
  auto exchange = std::make_unique<Exchange>(*this, std::move(head_), peer_);
  exchange_ = exchange.get();
  owner_.handle(std::move(exchange));
}

bool ServerConnection::step_exchange() {
  if (stream_.gone()) {
    close();
    return false;
  }
  if (decoder_.failed()) {
    refuse(400, decoder_.error());
    return true;
  }
  if (decoder_.done()) return false;
  switch (stream_.read(in_, defaults::stream_window)) {
    case Stream::Io::blocked:
    case Stream::Io::full:
      return false;
    case Stream::Io::eof:
    case Stream::Io::failed:
      return true;
    case Stream::Io::progress:
      break;
  }
  continue_due_ = false;
  if (decode() && !decoder_.failed()) {
    body_wanted_ = false;
    if (exchange_->observer_ != nullptr) exchange_->observer_->on_body();
  }
  return true;
}

bool ServerConnection::step_finishing() {
  if (stream_.error() != 0) {
    close();
    return false;
  }
  if (stream_.unsent() > 0) return false;
  const bool unread = !decoder_.done() || piece_ > 0;
  if (!keep_alive_) {
    // Closing on unread bytes would reset the connection and could take the answer from the client.
    if (unread || !in_.empty() || stream_.readable()) {
      linger();
    } else {
      close();
    }
  } else if (unread) {
    state_ = State::draining;
    set_deadline(owner_.limits().stall_timeout);
  } else {
    next_request();
  }
  return true;
}

/// What is left is short: respond_head() has seen to it.
bool ServerConnection::step_draining() {
  in_.consume(piece_);
  piece_ = 0;
  decode();
  if (piece_ > 0) return true;
  if (decoder_.done()) {
    next_request();
    return true;
  }
  switch (stream_.read(in_, defaults::stream_window)) {
    case Stream::Io::progress:
      return true;
    case Stream::Io::blocked:
      return false;
    default:
      close();
      return false;
  }
}

void ServerConnection::linger() {
  stream_.shut_down_writing();
  state_ = State::lingering;
  set_deadline(owner_.limits().linger);
}

/// Until the client ends or the time is over, however much it sends: many read the answer only when all of their body has left.
bool ServerConnection::step_lingering() {
  in_.consume(in_.size());
  const Stream::Io io = stream_.read(in_, defaults::stream_window);
  if (io == Stream::Io::progress) return true;
  if (io != Stream::Io::blocked) close();
  return false;
}

void ServerConnection::next_request() {
  state_ = State::head;
  parser_.reset();
  head_begun_ = false;
  if (in_.empty()) in_.shrink();
  if (owner_.stopping()) {
    close();
  } else {
    set_deadline(owner_.limits().idle_timeout);
  }
}

/// Answers in place of a handler; the connection ends with it.
void ServerConnection::refuse(int status, std::string_view what) {
  if (Exchange* exchange = detach(); exchange != nullptr) {
    const bool head_sent = exchange->head_sent_;
    if (head_sent) stream_.make_close_abortive();
    if (exchange->observer_ != nullptr) exchange->observer_->on_gone();
    if (state_ == State::closed) return;
    if (head_sent) return close();
  }
  const std::string text =
      std::to_string(status) + " " + std::string(reason_phrase(status)) + ": " + std::string(what) + "\n";
  ResponseHead head;
  head.status = status;
  head.headers = {{"Content-Type", "text/plain; charset=utf-8"}};
  head.body = {Body::Kind::length, text.size()};
  head.keep_alive = false;
  append_head(stream_.pending(), head, "", false);
  stream_.write({text});
  keep_alive_ = false;
  decoder_ = BodyDecoder({Body::Kind::until_close, 0});  // whatever the client still sends
  piece_ = 0;
  state_ = State::finishing;
}

/// Makes the most of in_ visible as body. True if there is more to see, or the body is complete.
bool ServerConnection::decode() {
  const std::size_t before = piece_;
  while (!decoder_.done() && in_.size() > piece_) {
    // A piece grows only by what lies next to it.
    if (piece_ > 0 && !decoder_.inside_data()) break;
    const auto [consumed, data] = decoder_.next(in_.view().substr(piece_));
    if (piece_ == 0) in_.consume(consumed - data.size());
    piece_ += data.size();
    if (decoder_.failed() || data.empty()) break;
  }
  return piece_ > before || decoder_.done();
}

/// What has not been taken of the body is known to be little enough to be passed over.
bool ServerConnection::rest_is_short() const {
  const auto left = decoder_.left();
  return left && *left <= owner_.limits().drain_bytes && piece_ <= owner_.limits().drain_bytes - *left;
}

// ---- For the Exchange ---------------------------------------------------------------------------

std::string_view ServerConnection::body() {
  if (piece_ == 0 && !decoder_.done()) {
    if (continue_due_) {
      continue_due_ = false;
      stream_.pending().append(continue_head);
      stream_.write();
    }
    body_wanted_ = true;
    if (stream_.readable()) at_tail();
    await_client();
  }
  return in_.view().substr(0, piece_);
}

void ServerConnection::take(std::size_t bytes) {
  assert(bytes <= piece_);
  in_.consume(bytes);
  piece_ -= bytes;
  if (piece_ == 0) decode();
  if (decoder_.failed() || (!decoder_.done() && stream_.readable())) at_tail();
}

void ServerConnection::respond_head(ResponseHead&& head) {
  assert(!exchange_->head_sent_);
  exchange_->head_sent_ = true;
  // A client that was never told to send its body may send it or not, so the next request could not be told from it.
  keep_alive_ = keep_alive_ && head.keep_alive && !continue_due_ && rest_is_short();
  answer_ = follows(head, method_);
  if (answer_.kind == Body::Kind::chunked || answer_.kind == Body::Kind::until_close) {
    answer_.kind = http10_ ? Body::Kind::until_close : Body::Kind::chunked;
    if (http10_) keep_alive_ = false;
    head.body = answer_;
  }
  answer_left_ = answer_.kind == Body::Kind::length ? answer_.length : 0;
  head.keep_alive = keep_alive_;
  append_head(stream_.pending(), head, method_, http10_);
  at_tail();
}

std::size_t ServerConnection::respond_body(std::string_view data) {
  assert(exchange_->head_sent_);
  count_client();
  if (answer_.kind == Body::Kind::none) return data.size();
  bool complete = false;
  std::size_t beyond = 0;
  if (answer_.kind == Body::Kind::length) {
    beyond = data.size() - static_cast<std::size_t>(std::min<std::uint64_t>(data.size(), answer_left_));
    data.remove_suffix(beyond);
    answer_left_ -= data.size();
    complete = answer_left_ == 0;
  }
  if (data.empty()) return beyond;

  const bool chunked = answer_.kind == Body::Kind::chunked;
  if (chunked) append_chunk_size(stream_.pending(), data.size());
  const std::string_view end = chunked ? crlf : std::string_view();
  unwritten_ += data.size();
  if (!complete && data.size() <= gather_below && stream_.unsent() <= gather_most) {
    stream_.pending().append(data).append(end);
    at_tail();
    return beyond;
  }
  if (stream_.write({data, end}) == Stream::Io::failed) at_tail();
  await_client();
  return settle() + beyond;
}

void ServerConnection::respond_end() {
  assert(exchange_->head_sent_);
  if (answer_.kind == Body::Kind::length && answer_left_ > 0) return abort();
  if (answer_.kind == Body::Kind::chunked) stream_.pending().append(last_chunk);
  detach();
  state_ = State::finishing;
  if (stream_.unsent() > 0) stream_.write();
  if (stepping_) return;

  const bool clean = stream_.unsent() == 0 && stream_.error() == 0 && keep_alive_ && decoder_.done() && piece_ == 0 &&
                     in_.empty() && !stream_.readable();
  if (clean) {
    next_request();
  } else {
    at_tail();
  }
}

void ServerConnection::abort() {
  const bool head_sent = exchange_->head_sent_;
  detach();
  if (head_sent && answer_.kind == Body::Kind::until_close) {
    stream_.make_close_abortive();  // an orderly end would look like the end of the answer
  } else {
    stream_.write();
  }
  close();
}

Exchange* ServerConnection::detach() {
  Exchange* const exchange = exchange_;
  if (exchange != nullptr) exchange->connection_ = nullptr;
  exchange_ = nullptr;
  return exchange;
}

void ServerConnection::close() {
  if (state_ == State::closed) return;
  state_ = State::closed;
  unwatch(stream_.descriptor());
  stream_.close();
  clear_deadline();
  Exchange* const exchange = detach();
  owner_.closed(*this);
  if (exchange != nullptr && exchange->observer_ != nullptr) exchange->observer_->on_gone();
}

void ServerConnection::close_if_idle() {
  if (state_ == State::head && !head_begun_) close();
}

}  // namespace trireme::proxy::http
