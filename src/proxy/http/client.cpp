#include "proxy/http/client.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <optional>
#include <vector>

#include "core/defaults.hpp"
#include "proxy/http/codec.hpp"
#include "proxy/http/stream.hpp"

namespace trireme::proxy::http {

using namespace std::chrono_literals;

class UpstreamConnection;

namespace {

// A unix socket whose backlog is full refuses at once instead of waiting, so we ask again.
constexpr auto backlog_retry = 10ms;

// Reads of one connection before the others get their turn.
constexpr int reads_per_turn = 16;

/// What a connection that could not be made says of the server: that nobody listens, or that we lack something ourselves.
CallError::Blame blame_for(int error) {
  return error == ECONNREFUSED || error == ENOENT ? CallError::Blame::proof : CallError::Blame::none;
}

}  // namespace

LocalUpstreamOptions::LocalUpstreamOptions()
    : connect_timeout(defaults::upstream_connect_timeout),
      idle_timeout(defaults::upstream_idle_timeout),
      max_idle(defaults::upstream_idle),
      stale(defaults::upstream_stale) {}

struct LocalUpstream::Pool {
  Loop& loop;
  LocalAddress address;
  LocalUpstreamOptions options;
  bool closed = false;
  std::vector<std::unique_ptr<UpstreamConnection>> idle;  ///< the one used last is at the end

  /// An idle connection that is not known to be closed, or nothing.
  std::unique_ptr<UpstreamConnection> take(bool repeatable);
};

/// The caller's handle on a connection at work.
class LocalCall final : public Call {
 public:
  explicit LocalCall(std::unique_ptr<UpstreamConnection> connection);
  ~LocalCall() override;
  std::size_t window() const override;
  void send(std::string_view data) override;
  void send_end() override;
  void consumed(std::size_t bytes) override;

 private:
  friend class UpstreamConnection;
  std::unique_ptr<UpstreamConnection> connection_;  ///< nullptr once the call has ended
};

/// One connection to the server, over its calls. While it works, the call owns it; while it is idle, the pool.
class UpstreamConnection final : public Resident {
 public:
  UpstreamConnection(Loop& loop, std::shared_ptr<LocalUpstream::Pool> pool) : Resident(loop), pool_(std::move(pool)) {}

  bool usable() const { return state_ == State::idle && !stream_.gone(); }
  bool used_lately() const { return loop().now() - idle_since_ < pool_->options.stale; }
  void begin(const RequestHead& head, std::string_view first, bool complete, CallObserver& observer);
  void attach(LocalCall& call) { call_ = &call; }
  void close();
  static void bury(std::unique_ptr<UpstreamConnection> connection);

  std::size_t window() const;
  void send(std::string_view data);
  void send_end();
  void consumed(std::size_t bytes);

 private:
  enum class State { fresh, connecting, head, body, idle, closed };

  void on_ready(Ready ready) override;
  void on_tail() override;
  void on_deadline() override;

  void connect();
  void connected();
  void write(std::initializer_list<std::string_view> pieces);
  void await_head();
  void pump();
  bool take_head();
  bool take_body();
  void ended(bool orderly);
  void finish();
  void fail(CallError::Kind kind, const std::string& what, CallError::Blame blame = CallError::Blame::some);
  std::unique_ptr<UpstreamConnection> leave_call();
  void leave_pool();
  /// The kind of a failure over a connection that took nothing.
  CallError::Kind undelivered() const {
    return possibly_seen_ ? CallError::Kind::lost : CallError::Kind::not_delivered;
  }
  bool working() const { return state_ == State::head || state_ == State::body; }

  std::shared_ptr<LocalUpstream::Pool> pool_;
  Stream stream_;
  State state_ = State::fresh;
  LocalCall* call_ = nullptr;
  CallObserver* observer_ = nullptr;
  Loop::Clock::time_point connect_until_;
  Loop::Clock::time_point sent_at_;
  Loop::Clock::time_point idle_since_;
  std::optional<CallError> failure_;  ///< to be told at the tail

  // The request.
  std::string method_;
  std::string replay_;  ///< all of it, while it may have to be written once more
  bool reused_ = false;
  bool chunked_ = false;
  bool request_complete_ = false;
  bool delivered_ = false;      ///< the kernel took some of it
  bool possibly_seen_ = false;  ///< by the server, over an earlier connection

  // The answer.
  InputBuffer in_;
  HeadParser parser_;
  ResponseHead head_;  ///< its memory serves from call to call
  BodyDecoder decoder_;
  bool answer_begun_ = false;
  bool keep_alive_ = false;
  std::size_t unconsumed_ = 0;
};

// ---- The request --------------------------------------------------------------------------------

void UpstreamConnection::begin(const RequestHead& head, std::string_view first, bool complete, CallObserver& observer) {
  observer_ = &observer;
  method_ = head.method;
  reused_ = state_ == State::idle;
  request_complete_ = complete || head.body.kind == Body::Kind::none;
  chunked_ = head.body.kind == Body::Kind::chunked && !complete;
  delivered_ = possibly_seen_ = answer_begun_ = keep_alive_ = false;
  unconsumed_ = 0;
  parser_.reset();

  // A body that is all here needs no chunks.
  const bool now_known = head.body.kind == Body::Kind::chunked && complete;
  const Body body = now_known ? Body{Body::Kind::length, first.size()} : head.body;
  replay_.clear();
  if (!reused_) {
    std::string& out = stream_.pending();
    append_head(out, head, body);
    if (chunked_ && !first.empty()) append_chunk_size(out, first.size());
    out.append(first);
    if (chunked_ && !first.empty()) out.append(crlf);
    connect();
    return;
  }
  state_ = State::head;
  if (request_complete_ && head.repeatable) {
    append_head(replay_, head, body);
    replay_.append(first);
    write({replay_});
  } else {
    append_head(stream_.pending(), head, body);
    if (chunked_ && !first.empty()) append_chunk_size(stream_.pending(), first.size());
    write({first, chunked_ && !first.empty() ? crlf : std::string_view()});
  }
  await_head();
}

void UpstreamConnection::connect() {
  state_ = State::connecting;
  if (connect_until_ == Loop::Clock::time_point{}) {
    connect_until_ = loop().now() + pool_->options.connect_timeout;
  }
  const LocalAddress& address = pool_->address;
  const bool unix_socket = !address.path.empty();
  Descriptor socket(::socket(unix_socket ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  int result = -1;
  if (!socket) {
    // errno says why
  } else if (unix_socket) {
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    if (address.path.size() < sizeof to.sun_path) {
      std::memcpy(to.sun_path, address.path.data(), address.path.size());
      result = ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to);
    } else {
      errno = ENAMETOOLONG;
    }
  } else {
    const int on = 1;
    ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(address.port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    result = ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to);
  }

  if (result != 0 && errno == EAGAIN && unix_socket) {
    set_deadline(backlog_retry);
    return;
  }
  const bool in_progress = result != 0 && errno == EINPROGRESS;
  if ((result != 0 && !in_progress) || !watch(socket.get())) {
    const int error = errno;
    failure_ =
        CallError{undelivered(), pool_->options.name + " cannot be reached: " + std::strerror(error), blame_for(error)};
    at_tail();
    return;
  }
  Stream stream(std::move(socket), !in_progress);
  stream.pending() = std::move(stream_.pending());
  stream_ = std::move(stream);
  if (in_progress) {
    set_deadline(connect_until_ - loop().now());
  } else {
    connected();
  }
}

void UpstreamConnection::connected() {
  state_ = State::head;
  connect_until_ = {};
  write({});
  await_head();
}

void UpstreamConnection::write(std::initializer_list<std::string_view> pieces) {
  sent_at_ = loop().now();
  std::size_t offered = stream_.unsent();
  for (std::string_view piece : pieces) offered += piece.size();
  if (stream_.write(pieces) == Stream::Io::failed) {
    at_tail();  // there may still be an answer to read
  } else if (stream_.unsent() < offered) {
    delivered_ = true;
  }
}

void UpstreamConnection::await_head() {
  if (pool_->options.head_timeout > 0s && request_complete_ && state_ == State::head) {
    set_deadline(pool_->options.head_timeout);
  } else {
    clear_deadline();
  }
}

std::size_t UpstreamConnection::window() const {
  if (stream_.error() != 0 || stream_.unsent() >= defaults::stream_window) return 0;
  return defaults::stream_window - stream_.unsent();
}

void UpstreamConnection::send(std::string_view data) {
  if (data.empty() || stream_.error() != 0 || failure_) return;
  if (chunked_) append_chunk_size(stream_.pending(), data.size());
  write({data, chunked_ ? crlf : std::string_view()});
}

void UpstreamConnection::send_end() {
  if (request_complete_) return;
  request_complete_ = true;
  if (chunked_ && stream_.error() == 0 && !failure_) write({last_chunk});
  if (state_ == State::head) await_head();
}

// ---- Events -------------------------------------------------------------------------------------

void UpstreamConnection::on_ready(Ready ready) {
  stream_.note(ready);
  switch (state_) {
    case State::idle:
      if (ready.in || ready.gone) leave_pool();
      return;
    case State::connecting: {
      int error = 0;
      socklen_t size = sizeof error;
      ::getsockopt(stream_.descriptor(), SOL_SOCKET, SO_ERROR, &error, &size);
      if (error != 0) {
        return fail(undelivered(), std::string("cannot be reached: ") + std::strerror(error), blame_for(error));
      }
      if (!ready.out) return;
      connected();
      if (stream_.error() == 0) observer_->on_window();
      break;
    }
    case State::head:
    case State::body:
      if (const std::size_t before = stream_.unsent(); before > 0) {
        write({});
        if (stream_.unsent() < before && stream_.error() == 0) observer_->on_window();
      }
      break;
    case State::fresh:
    case State::closed:
      return;
  }
  pump();
}

void UpstreamConnection::on_tail() {
  if (failure_) {
    const CallError failure = std::move(*failure_);
    failure_.reset();
    CallObserver* const observer = observer_;
    bury(leave_call());
    observer->on_error(failure);
    return;
  }
  pump();
}

void UpstreamConnection::on_deadline() {
  if (state_ == State::idle) return leave_pool();
  if (state_ == State::connecting) {
    if (loop().now() < connect_until_) return connect();
    // Its backlog is full, of connections that it has not got round to.
    return fail(undelivered(), "takes no connection in time", CallError::Blame::none);
  }
  if (working()) fail(CallError::Kind::timeout, "gave no answer in time");
}

// ---- The answer ---------------------------------------------------------------------------------

void UpstreamConnection::consumed(std::size_t bytes) {
  const bool was_full = unconsumed_ >= defaults::stream_window;
  unconsumed_ -= std::min(bytes, unconsumed_);
  if (was_full && unconsumed_ < defaults::stream_window) at_tail();
}

void UpstreamConnection::pump() {
  for (int reads = 0; working();) {
    if (!in_.empty()) {
      const bool moved = state_ == State::head ? take_head() : take_body();
      if (!working()) return;
      if (moved) continue;
    }
    if (unconsumed_ >= defaults::stream_window) return;
    if (++reads > reads_per_turn) return at_tail();
    switch (stream_.read(in_, defaults::stream_window)) {
      case Stream::Io::progress:
        break;
      case Stream::Io::blocked:
      case Stream::Io::full:
        return;
      case Stream::Io::eof:
        return ended(true);
      case Stream::Io::failed:
        return ended(false);
    }
  }
}

/// True if bytes were taken.
bool UpstreamConnection::take_head() {
  answer_begun_ = true;
  switch (parser_.parse_response(in_.view(), head_)) {
    case HeadParser::State::more:
      return false;
    case HeadParser::State::error:
      fail(CallError::Kind::bad_response, "sent no HTTP response: " + std::string(parser_.error().what));
      return false;
    case HeadParser::State::done:
      break;
  }
  in_.consume(parser_.consumed());
  parser_.reset();
  if (head_.status == 101) {
    fail(CallError::Kind::bad_response, "changed the protocol, which nobody asked for");
    return false;
  }
  if (head_.status < 200) return true;  // informational

  clear_deadline();
  replay_.clear();
  const Body body = follows(head_, method_);
  decoder_ = BodyDecoder(body);
  keep_alive_ = head_.keep_alive && body.kind != Body::Kind::until_close;
  state_ = State::body;
  observer_->on_head(std::move(head_));
  if (state_ == State::body && decoder_.done()) finish();
  return true;
}

bool UpstreamConnection::take_body() {
  if (unconsumed_ >= defaults::stream_window) return false;
  const auto [consumed, data] = decoder_.next(in_.view().substr(0, defaults::stream_window - unconsumed_));
  if (!data.empty()) {
    unconsumed_ += data.size();
    observer_->on_body(data);
    if (state_ != State::body) return false;
  }
  in_.consume(consumed);
  if (decoder_.failed()) {
    fail(CallError::Kind::bad_response, "sent a broken body: " + std::string(decoder_.error()));
  } else if (decoder_.done()) {
    finish();
  }
  return consumed > 0;
}

/// The server sends no more.
void UpstreamConnection::ended(bool orderly) {
  if (state_ == State::body) {
    if (orderly && decoder_.at_eof()) return finish();
    return fail(CallError::Kind::lost, "closed the connection in the middle of its answer");
  }
  const bool had_been_closed = loop().now() - sent_at_ < pool_->options.stale;
  if (reused_ && !answer_begun_ && !replay_.empty() && had_been_closed) {
    reused_ = false;
    possibly_seen_ = possibly_seen_ || delivered_;
    unwatch(stream_.descriptor());
    stream_ = Stream();
    stream_.pending() = std::move(replay_);
    replay_.clear();
    return connect();
  }
  fail(delivered_ ? CallError::Kind::lost : undelivered(), "closed the connection before it answered");
}

void UpstreamConnection::finish() {
  CallObserver* const observer = observer_;
  auto self = leave_call();
  LocalUpstream::Pool& pool = *pool_;
  const bool clean = keep_alive_ && request_complete_ && stream_.unsent() == 0 && in_.empty() && !stream_.gone() &&
                     stream_.error() == 0;
  if (clean && !pool.closed && pool.idle.size() < pool.options.max_idle) {
    state_ = State::idle;
    in_.shrink();
    idle_since_ = loop().now();
    set_deadline(pool.options.idle_timeout);
    pool.idle.push_back(std::move(self));
  } else {
    bury(std::move(self));
  }
  observer->on_end();
}

void UpstreamConnection::fail(CallError::Kind kind, const std::string& what, CallError::Blame blame) {
  CallObserver* const observer = observer_;
  bury(leave_call());
  observer->on_error({kind, pool_->options.name + " " + what, blame});
}

// ---- Owners -------------------------------------------------------------------------------------

std::unique_ptr<UpstreamConnection> UpstreamConnection::leave_call() {
  observer_ = nullptr;
  assert(call_ != nullptr);
  auto self = std::move(std::exchange(call_, nullptr)->connection_);
  return self;
}

void UpstreamConnection::leave_pool() {
  auto& idle = pool_->idle;
  const auto self = std::find_if(idle.begin(), idle.end(), [this](const auto& other) { return other.get() == this; });
  assert(self != idle.end());
  auto owned = std::move(*self);
  idle.erase(self);
  bury(std::move(owned));
}

void UpstreamConnection::close() {
  if (stream_.descriptor() >= 0) {
    unwatch(stream_.descriptor());
    stream_.close();
  }
  state_ = State::closed;
  failure_.reset();
  clear_deadline();
}

void UpstreamConnection::bury(std::unique_ptr<UpstreamConnection> connection) {
  connection->close();
  Loop& loop = connection->loop();
  loop.bury(std::move(connection));
}

LocalCall::LocalCall(std::unique_ptr<UpstreamConnection> connection) : connection_(std::move(connection)) {
  connection_->attach(*this);
}

LocalCall::~LocalCall() {
  if (connection_) UpstreamConnection::bury(std::move(connection_));
}

std::size_t LocalCall::window() const {
  return connection_ ? connection_->window() : 0;
}
void LocalCall::send(std::string_view data) {
  if (connection_) connection_->send(data);
}
void LocalCall::send_end() {
  if (connection_) connection_->send_end();
}
void LocalCall::consumed(std::size_t bytes) {
  if (connection_) connection_->consumed(bytes);
}

LocalUpstream::LocalUpstream(Loop& loop, LocalAddress address, LocalUpstreamOptions options)
    : pool_(std::make_shared<Pool>(Pool{loop, std::move(address), std::move(options), false, {}})) {}

LocalUpstream::~LocalUpstream() {
  pool_->closed = true;
  for (auto& connection : std::exchange(pool_->idle, {})) {
    UpstreamConnection::bury(std::move(connection));
  }
}

std::unique_ptr<Call> LocalUpstream::open(const RequestHead& head, std::string_view first, bool complete,
                                          CallObserver& observer) {
  std::unique_ptr<UpstreamConnection> connection;
  if (!head.fresh) connection = pool_->take(head.repeatable);
  if (!connection) connection = std::make_unique<UpstreamConnection>(pool_->loop, pool_);
  UpstreamConnection& working = *connection;
  auto call = std::make_unique<LocalCall>(std::move(connection));
  working.begin(head, first, complete, observer);
  return call;
}

std::unique_ptr<UpstreamConnection> LocalUpstream::Pool::take(bool repeatable) {
  while (!idle.empty()) {
    auto connection = std::move(idle.back());
    idle.pop_back();
    if (connection->usable() && (repeatable || connection->used_lately())) return connection;
    UpstreamConnection::bury(std::move(connection));
  }
  return nullptr;
}

std::size_t LocalUpstream::idle() const {
  return pool_->idle.size();
}

}  // namespace trireme::proxy::http
