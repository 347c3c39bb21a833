#include "services/mock/connection.hpp"

#include <charconv>

#include "services/mock/server.hpp"

namespace trireme::mock {

using namespace proxy::http;

namespace {

constexpr std::size_t read_ahead = 256u << 10;
constexpr std::size_t body_limit = 64u << 20;  // of a body that is kept; others are counted
constexpr int pieces_per_turn = 16;            // of /bytes, before the others get their turn
constexpr std::size_t missing_bytes = 64;      // that a short answer promises

const std::string& filler() {
  static const std::string bytes(64u << 10, 'x');
  return bytes;
}

std::string_view path_of(std::string_view target) {
  return target.substr(0, target.find('?'));
}

/// The number that `name` is given in the query; 0 where it is not.
double number_at(std::string_view target, std::string_view name) {
  const std::size_t query = target.find('?');
  if (query == std::string_view::npos) return 0;
  std::string_view rest = target.substr(query + 1);
  while (!rest.empty()) {
    const std::string_view part = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(part.size() + 1, rest.size()));
    if (!part.starts_with(name) || part.size() == name.size() || part[name.size()] != '=') continue;
    double value = 0;
    const std::string_view text = part.substr(name.size() + 1);
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value > 0 ? value : 0;
  }
  return 0;
}

bool body_is_kept(std::string_view target) {
  return target.starts_with("/v1/") || target.starts_with("/api/");
}

}  // namespace

Connection::Connection(Loop& loop, Descriptor socket, Server& server)
    : Resident(loop), server_(server), stream_(std::move(socket)), timer_(loop.io()) {}

bool Connection::start() {
  if (!watch(stream_.descriptor())) return false;
  at_tail();
  return true;
}

// ---- Reading ------------------------------------------------------------------------------------

void Connection::on_ready(Ready ready) {
  stream_.note(ready);
  on_tail();
}

void Connection::on_tail() {
  if (state_ == State::closed) return;
  if (stream_.unsent() > 0) stream_.write();
  if (bulk_left_ > 0) feed();
  step();
}

void Connection::step() {
  if (stepping_) return;
  stepping_ = true;
  while (state_ == State::head || state_ == State::body) {
    if (state_ == State::head ? step_head() : step_body()) continue;
    const Stream::Io io = stream_.read(in_, read_ahead);
    if (io == Stream::Io::blocked || io == Stream::Io::full) break;
    if (io != Stream::Io::progress) close();
  }
  if (state_ == State::answering && (stream_.gone() || stream_.error() != 0)) close();
  if (state_ == State::finishing && (stream_.unsent() == 0 || stream_.error() != 0)) close();
  stepping_ = false;
}

/// True when there is more to do before the next read.
bool Connection::step_head() {
  if (in_.empty()) return false;
  switch (parser_.parse_request(in_.view(), head_)) {
    case HeadParser::State::more:
      return false;
    case HeadParser::State::error:
      fault_.reset();
      head_.keep_alive = false;
      respond(parser_.error().status, "text/plain", parser_.error().what);
      return true;
    case HeadParser::State::done:
      break;
  }
  in_.consume(parser_.consumed());
  parser_.reset();
  decoder_ = BodyDecoder(head_.body);
  body_.clear();
  body_bytes_ = 0;
  state_ = State::body;
  if (head_.expect_continue) {
    stream_.pending().append(continue_head);
    stream_.write();
  }
  return true;
}

bool Connection::step_body() {
  const auto [consumed, data] = decoder_.next(in_.view());
  body_bytes_ += data.size();
  if (body_is_kept(head_.target) && body_.size() + data.size() <= body_limit) body_.append(data);
  in_.consume(consumed);
  if (decoder_.failed()) {
    close();
  } else if (decoder_.done()) {
    begin_answer();
  }
  return consumed > 0 || decoder_.done();
}

// ---- Answering ----------------------------------------------------------------------------------

void Connection::begin_answer() {
  state_ = State::answering;
  fault_.reset();
  dialect_ = dialect_at(path_of(head_.target));
  if (path_of(head_.target) != "/health") {
    if (!server_.count_request()) return;
    if (const auto header = find(head_.headers, "X-Mock-Fault")) {
      const auto faults = parse_faults(*header);
      if (!faults) return respond(400, "text/plain", faults.error().text());
      fault_ = server_.draw_fault(*faults);
    } else {
      fault_ = server_.draw_fault(server_.options().faults);
    }
  }
  if (strikes(Fault::Kind::hang)) return;
  if (strikes(Fault::Kind::slow)) return after(fault_->delay, [this] { route(); });
  route();
}

void Connection::route() {
  const std::string_view path = path_of(head_.target);
  const ServerOptions& options = server_.options();
  if (strikes(Fault::Kind::garbage)) {
    stream_.pending().append("\x16\x03\x01 this is no HTTP\r\n");
    stream_.write();
    return close();
  }
  if (strikes(Fault::Kind::status)) {
    const int status = static_cast<int>(fault_->value);
    return respond(status, "application/json",
                   (dialect_ ? *dialect_ : *dialect_at("/v1/completions")).error(status, "a fault made on purpose"));
  }
  if (path == "/health")
    return respond(server_.ready() ? 200 : 503, "text/plain", server_.ready() ? "ok\n" : "loading\n");
  if (!options.key.empty() && find(head_.headers, "Authorization") != "Bearer " + options.key) {
    return respond(401, "text/plain", "wrong key\n");
  }
  if (path == "/noop") return respond(200, "text/plain", "ok\n");
  if (path == "/work") {
    const std::chrono::duration<double, std::milli> time(number_at(head_.target, "ms") / options.speed);
    return after(std::chrono::duration_cast<Duration>(time), [this] { respond(200, "text/plain", "done\n"); });
  }
  if (path == "/sink") return respond(200, "text/plain", std::to_string(body_bytes_) + "\n");
  if (path == "/bytes") {
    bulk_left_ = static_cast<std::uint64_t>(number_at(head_.target, "n"));
    respond_head(200, "application/octet-stream", {Body::Kind::length, bulk_left_});
    return feed();
  }
  if (path == "/stats") return respond(200, "application/json", server_.stats());
  if (dialect_ != nullptr) return ask(*dialect_);
  std::string page = openai_page(path, options.model);
  if (page.empty()) page = ollama_page(path, options.model);
  if (!page.empty()) return respond(200, "application/json", page);
  respond(404, "text/plain", "nothing here\n");
}

void Connection::ask(const Dialect& dialect) {
  auto question = dialect.read(body_, server_.options().model);
  if (!question) return respond(400, "application/json", dialect.error(400, question.error().what));
  if (!server_.engine().fits(question->job)) {
    return respond(400, "application/json", dialect.error(400, "prompt and answer exceed the model's memory"));
  }
  question_ = std::move(*question);
  streamed_ = 0;
  job_ = server_.engine().start(question_.job, *this);
}

void Connection::on_tokens(const Progress& progress) {
  if (progress.finished) job_ = 0;
  if (question_.stream) {
    while (state_ == State::answering && streamed_ < progress.tokens) stream_token(streamed_);
    if (state_ == State::answering && progress.finished && !strikes(Fault::Kind::stall)) {
      if (strikes(Fault::Kind::cut)) return close();
      const std::string ending = dialect_->ending(question_);
      append_chunk_size(stream_.pending(), ending.size());
      stream_.pending().append(ending).append(crlf).append(last_chunk);
      stream_.write();
      end_answer();
    }
  } else if (strikes_at(Fault::Kind::reset, progress.tokens)) {
    reset();
  } else if (progress.finished && !strikes(Fault::Kind::stall)) {
    respond(200, "application/json", dialect_->whole(question_, server_.options().model));
  }
}

void Connection::stream_token(std::size_t index) {
  if (index == 0) respond_head(200, dialect_->stream_type(), {Body::Kind::chunked, 0});
  if (strikes_at(Fault::Kind::reset, index)) return reset();
  ++streamed_;
  if (strikes_at(Fault::Kind::stall, index)) {
    stream_.write();
    return;
  }
  const std::string event = dialect_->token(question_, index);
  append_chunk_size(stream_.pending(), event.size());
  stream_.write({event, crlf});
}

void Connection::after(Duration time, std::function<void()> then) {
  timer_.expires_after(time);
  // A handler that is already due runs although its timer has been cancelled: hence the guard.
  timer_.async_wait(
      [then = std::move(then), here = std::weak_ptr<bool>(alive_)](const boost::system::error_code& error) {
        if (!error && !here.expired()) then();
      });
}

/// A whole answer.
void Connection::respond(int status, std::string_view type, std::string_view body) {
  if (strikes(Fault::Kind::reset)) return reset();
  if (strikes(Fault::Kind::stall)) return;
  const bool cut = strikes(Fault::Kind::cut);
  respond_head(status, type, {Body::Kind::length, body.size() + (cut ? missing_bytes : 0)});
  stream_.write({head_.method == "HEAD" ? std::string_view() : body});
  if (cut) return close();
  end_answer();
}

/// Leaves the head pending, so that it goes out with what follows.
void Connection::respond_head(int status, std::string_view type, Body body) {
  ResponseHead head;
  head.status = status;
  head.headers = {{"Content-Type", type}, {"X-Mock-Server", server_.options().name}};
  head.body = body;
  head.keep_alive = head_.keep_alive;
  append_head(stream_.pending(), head, head_.method, head_.http10);
}

/// Writes as much of /bytes as the client takes.
void Connection::feed() {
  for (int i = 0; stream_.unsent() < filler().size(); ++i) {
    if (i == pieces_per_turn) return at_tail();
    const std::size_t size = std::min<std::uint64_t>(bulk_left_, filler().size());
    bulk_left_ -= size;
    const Stream::Io io = stream_.write({std::string_view(filler()).substr(0, size)});
    if (bulk_left_ == 0) return end_answer();
    if (io == Stream::Io::failed) return close();
  }
}

void Connection::end_answer() {
  state_ = head_.keep_alive ? State::head : State::finishing;
  at_tail();  // what the client has pipelined, or the end
}

void Connection::reset() {
  stream_.make_close_abortive();
  close();
}

void Connection::close() {
  if (state_ == State::closed) return;
  state_ = State::closed;
  bulk_left_ = 0;
  timer_.cancel();
  alive_.reset();
  if (job_ != 0) server_.engine().stop(std::exchange(job_, 0));
  unwatch(stream_.descriptor());
  stream_.close();
  server_.closed(*this);
}

}  // namespace trireme::mock
