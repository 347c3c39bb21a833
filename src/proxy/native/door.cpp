#include "proxy/native/door.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/defaults.hpp"
#include "native/id_table.hpp"
#include "proxy/native/express.hpp"
#include "proxy/native/frame.hpp"
#include "proxy/native/memory.hpp"

namespace trireme::proxy::native {

/// One request of a connection.
class Carried final : public http::ExchangeCarrier {
 public:
  Carried(ClientConnection& connection, std::uint64_t id, http::Body body, bool head_only)
      : connection_(connection), id_(id), declared_(body), head_only_(head_only) {}

  std::unique_ptr<http::Exchange> make_exchange(http::RequestHead head, http::Peer peer) {
    auto exchange = std::make_unique<http::Exchange>(*this, std::move(head), peer);
    exchange_ = exchange.get();
    return exchange;
  }

  // From the client. False: it has broken the rules.
  bool receive(std::string_view bytes, bool end);
  void grant(std::uint64_t bytes) {
    credit_ += bytes;
    moved_ = true;
  }
  /// Nothing has come from the client or gone to it since the last call, and this is what is waited for.
  bool waits_in_vain() {
    const bool waits = !out_.empty() || (!complete_ && exchange_ != nullptr && taken_ == in_.size());
    return !std::exchange(moved_, false) && waits;
  }
  /// Sends what waits, as far as the client takes it.
  void flush();
  void gone();

  bool over() const { return exchange_ == nullptr && out_.empty() && !end_due_; }

 private:
  std::string_view body() override { return arriving_.empty() ? std::string_view(in_).substr(taken_) : arriving_; }
  bool body_complete() const override { return complete_; }
  void take(std::size_t bytes) override;
  void respond_head(http::ResponseHead&& head) override;
  std::size_t respond_body(std::string_view data) override;
  void respond_end() override;
  void abort() override;

  http::ExchangeObserver* observer() const { return exchange_ == nullptr ? nullptr : observer_of(*exchange_); }
  std::size_t send(std::string_view data);
  void let_go();

  ClientConnection& connection_;
  const std::uint64_t id_;
  const http::Body declared_;
  const bool head_only_;  ///< of HEAD: the answer has no body
  http::Exchange* exchange_ = nullptr;
  std::string_view arriving_;  ///< of the body, what is in the frame at hand: it is all that is here
  std::string in_;             ///< of the body, what is here otherwise
  std::size_t taken_ = 0;
  std::uint64_t received_ = 0;
  std::size_t untold_ = 0;  ///< taken, and the client has not been told that it may send as much again
  bool complete_ = false;
  std::string head_;  ///< of the answer, until its first bytes or its end
  http::ResponseHead answer_;
  std::uint64_t answer_left_ = unknown_length;  ///< of its body, where it said how long that is
  bool head_due_ = false;
  std::string out_;  ///< of the answer, what the client's window has no room for
  std::uint64_t credit_ = defaults::stream_window;
  bool end_due_ = false;
  bool moved_ = true;  ///< for waits_in_vain()
};

class ClientConnection final : public http::Resident, private PassageClient {
 public:
  ClientConnection(http::Loop& loop, http::Descriptor socket, std::string_view received, http::Peer peer, Door& door)
      : Resident(loop), door_(door), stream_(std::move(socket)), peer_(peer) {
    const auto [room, size] = in_.room(max_frame);
    const std::size_t held = std::min(size, received.size());
    std::memcpy(room, received.data(), held);
    in_.commit(held);
  }
  ~ClientConnection() override = default;

  bool start() {
    if (!watch(stream_.descriptor())) return false;
    set_deadline(door_.limits_.head_timeout);
    at_tail();
    return true;
  }
  void close();

  std::string& out() override {
    at_tail();
    return stream_.pending();
  }
  /// Of an answer's body; long ones are written at once, and not copied as far as the client takes them.
  void send_data(std::uint64_t id, std::string_view data, bool end) override {
    if (data.size() < defaults::native_written_at_once || data.size() > max_payload)
      return append_data(out(), id, data, end);
    std::string header;
    append_header(header, Type::data, end, id, data.size());
    stream_.write({header, data});
    at_tail();  // where its failure is seen
  }
  bool has_room() const override { return !closed_ && stream_.unsent() < defaults::native_unsent; }
  /// Requests that have ended are forgotten at the end of the turn.
  void note_over(std::uint64_t id) {
    ended_.push_back(id);
    if (!closed_) at_tail();
  }
  bool closed() const { return closed_; }

 private:
  void on_ready(http::Ready ready) override {
    if (memory_ != nullptr) {
      ready = memory_->heard(stream_.descriptor(), ready);
      stay_awake();
    }
    stream_.note(ready);
    serve();
  }
  void on_tail() override { serve(); }
  void on_deadline() override {
    if (!greeted_) return fail(408, "no hello came");
    const bool took = std::exchange(takes_, false);
    if (std::exchange(waits_, stream_.unsent() > 0) && !took) return close();
    end_stalled();
    set_deadline(door_.limits_.stall_timeout);
  }

  /// A request in progress, one way or the other.
  struct Entry {
    std::unique_ptr<Carried> carried;
    Passage* passage = nullptr;
  };

  bool has_bytes() override { return memory_ != nullptr && memory_->has_bytes(stream_); }
  bool lie_down() override { return memory_ == nullptr || memory_->lie_down(stream_); }

  // PassageClient
  void flush_later(std::uint64_t id) override { note_over(id); }
  void on_over(std::uint64_t id) override { requests_.take(id); }
  std::unique_ptr<http::Exchange> to_exchange(std::uint64_t id, http::RequestHead& head,
                                              std::string_view body) override;

  void serve();
  void write();
  bool step();
  bool receive(const Frame& frame);
  bool greet(const Frame& frame);
  bool share_memory(const Welcome& welcome);
  bool begin(const Frame& frame);
  void forget_ended();
  void end_stalled();
  void fail(std::uint16_t status, std::string_view words);

  Door& door_;
  http::Stream stream_;
  Memory* memory_ = nullptr;  ///< the stream's, where the client can use it
  const http::Peer peer_;
  http::InputBuffer in_;
  bool prefaced_ = false;
  bool greeted_ = false;
  bool closed_ = false;
  bool serving_ = false;
  bool waits_ = false;  ///< something waited to be taken, when stalled requests were last looked for …
  bool takes_ = false;  ///< … and some was, since then
  std::uint64_t last_ = 0;
  IdTable<Entry> requests_;
  std::vector<std::uint64_t> ended_;
  std::vector<std::uint64_t> flushing_;
};

// ---- A request ----------------------------------------------------------------------------------

bool Carried::receive(std::string_view bytes, bool end) {
  if (complete_) return false;
  moved_ = true;
  received_ += bytes.size();
  const bool known = declared_.kind == http::Body::Kind::length;
  if (known && (received_ > declared_.length || (end && received_ != declared_.length))) return false;
  if (in_.size() - taken_ + untold_ + bytes.size() > defaults::stream_window) return false;
  complete_ = end;
  auto* observer = this->observer();
  if (observer != nullptr && in_.empty()) {
    // What is taken at once need not be copied.
    arriving_ = bytes;
    observer->on_body();
    bytes = std::exchange(arriving_, {});
    observer = nullptr;
  }
  if (exchange_ == nullptr) return true;
  if (taken_ > 0) {
    in_.erase(0, taken_);
    taken_ = 0;
  }
  in_.append(bytes);
  if (observer != nullptr) observer->on_body();
  return true;
}

void Carried::take(std::size_t bytes) {
  untold_ += bytes;
  if (!arriving_.empty()) {
    arriving_.remove_prefix(bytes);
  } else {
    taken_ += bytes;
    if (taken_ == in_.size()) {
      in_.clear();
      taken_ = 0;
    }
  }
  if (complete_ || untold_ < defaults::stream_window / 2) return;
  append_window(connection_.out(), id_, untold_);
  untold_ = 0;
}

void Carried::respond_head(http::ResponseHead&& head) {
  note_head_sent(*exchange_);
  if (head.status == 204 || head.status == 304) head.body = {};
  answer_ = std::move(head);
  if (answer_.body.kind == http::Body::Kind::length) answer_left_ = answer_.body.length;
  if (head_only_ || answer_.body.kind == http::Body::Kind::none) answer_left_ = 0;
  head_due_ = true;
  connection_.note_over(id_);  // goes out at the tail, unless bytes come before
}

std::size_t Carried::send(std::string_view data) {
  const std::size_t sent = connection_.has_room() ? std::min<std::uint64_t>(data.size(), credit_) : 0;
  if (sent == 0) return 0;
  credit_ -= sent;
  moved_ = true;
  connection_.send_data(id_, data.substr(0, sent), false);
  return sent;
}

std::size_t Carried::respond_body(std::string_view data) {
  if (head_only_) return data.size();
  const std::size_t beyond = data.size() - std::min<std::uint64_t>(data.size(), answer_left_);
  data.remove_suffix(beyond);
  if (answer_left_ != unknown_length) answer_left_ -= data.size();
  std::size_t sent = 0;
  if (!head_due_ && out_.empty()) sent = send(data);
  out_.append(data.substr(sent));
  return sent + beyond;
}

void Carried::flush() {
  if (std::exchange(head_due_, false)) {
    // Where the answer is complete and short, all of it is one frame.
    const bool whole = end_due_ && out_.size() <= credit_ && out_.size() <= max_payload / 2;
    if (!append_response(connection_.out(), id_, answer_, whole ? std::string_view(out_) : std::string_view(), whole)) {
      append_failure(connection_.out(), id_, 502, "the head of the answer is too long");
      out_.clear();
      end_due_ = false;
      return;
    }
    if (whole) {
      out_.clear();
      end_due_ = false;
      return;
    }
  }
  if (!out_.empty()) {
    const std::size_t sent = send(out_);
    out_.erase(0, sent);
    if (sent > 0) {
      if (auto* observer = this->observer()) observer->on_written(sent);
    }
  }
  if (out_.empty() && std::exchange(end_due_, false)) append_data(connection_.out(), id_, {}, true);
}

void Carried::respond_end() {
  const bool short_of = !head_only_ && answer_left_ != unknown_length && answer_left_ > 0;
  if (short_of) return abort();
  let_go();
  end_due_ = true;
  connection_.note_over(id_);
}

void Carried::abort() {
  let_go();
  out_.clear();
  head_due_ = end_due_ = false;
  append_failure(connection_.out(), id_, 502, "the answer broke off");
  connection_.note_over(id_);
}

void Carried::let_go() {
  release(*exchange_);
  exchange_ = nullptr;
}

void Carried::gone() {
  out_.clear();
  head_due_ = end_due_ = false;
  if (exchange_ == nullptr) return;
  auto* const observer = this->observer();
  let_go();
  if (observer != nullptr) observer->on_gone();
}

// ---- The connection -----------------------------------------------------------------------------

void ClientConnection::serve() {
  if (closed_ || serving_) return;
  serving_ = true;
  for (int i = 0;; ++i) {
    write();
    forget_ended();
    if (closed_) break;
    write();
    if (stream_.error() != 0) {
      serving_ = false;
      return close();
    }
    if (!step()) break;
    if (i == defaults::native_reads_per_turn) {
      at_tail();
      break;
    }
  }
  serving_ = false;
  if (!closed_ && !ended_.empty() && has_room()) at_tail();
}

void ClientConnection::write() {
  const std::size_t before = stream_.unsent();
  if (before == 0) return;
  stream_.write();
  takes_ = takes_ || stream_.unsent() < before;
}

/// Takes what is here and reads once. False when there is nothing to do before the next edge, or it has ended.
bool ClientConnection::step() {
  if (closed_) return false;
  if (!prefaced_ && in_.size() >= preface.size()) {
    if (!in_.view().starts_with(preface)) return fail(400, "this is no beginning of the native protocol"), false;
    in_.consume(preface.size());
    prefaced_ = true;
  }
  bool moved = false;
  while (prefaced_ && has_room()) {
    Frame frame;
    std::size_t consumed = 0;
    const Parsed parsed = parse(in_.view(), frame, consumed);
    if (parsed == Parsed::more) break;
    const bool good = parsed == Parsed::done && receive(frame);
    if (closed_) return false;
    if (!good) return fail(400, "a frame that has no place here"), false;
    in_.consume(consumed);
    moved = true;
  }
  if (!has_room()) return moved;
  switch (stream_.read(in_, max_frame)) {
    case http::Stream::Io::progress:
      return true;
    case http::Stream::Io::eof:
    case http::Stream::Io::failed:
      close();
      return false;
    default:
      return moved;
  }
}

bool ClientConnection::greet(const Frame& frame) {
  const auto hello = read_hello(frame.payload);
  if (frame.type != Type::hello || !hello) return false;
  if (hello->version < first_version)
    return fail(426, "this proxy speaks versions 1 and 2 of the native protocol"), true;
  if (const std::string_view denial = door_.check_(peer_, hello->token); !denial.empty()) {
    return fail(401, denial), true;
  }
  greeted_ = true;
  set_deadline(door_.limits_.stall_timeout);
  const Welcome welcome{.version = first_version,
                        .window = static_cast<std::uint32_t>(defaults::stream_window),
                        .requests = static_cast<std::uint32_t>(defaults::native_requests)};
  if (hello->version >= version && share_memory(welcome)) return true;
  append_welcome(out(), welcome);
  return true;
}

/// Welcomes a client that can send and receive through memory. False: there is none for it.
bool ClientConnection::share_memory(const Welcome& welcome) {
  if (door_.memories_ >= defaults::native_memories) return false;
  int made = -1;
  auto rings = Rings::make(made);
  if (rings == nullptr) return false;
  const http::Descriptor descriptor(made);
  std::string bytes;
  append_welcome(bytes, {.version = version, .window = welcome.window, .requests = welcome.requests});
  if (!send_with_descriptor(stream_.descriptor(), bytes, made)) return false;
  auto memory = std::make_unique<Memory>(std::move(rings));
  memory_ = memory.get();
  stream_.use(std::move(memory));
  ++door_.memories_;
  stay_awake();
  return true;
}

/// False: the client has broken the rules.
bool ClientConnection::receive(const Frame& frame) {
  if (!greeted_) return greet(frame);
  if (frame.type == Type::request) {
    if (frame.id <= last_ || requests_.size() >= defaults::native_requests) return false;
    return begin(frame);
  }
  // Of a request that is over, frames may still be under way.
  if (frame.id == 0 || frame.id > last_) return false;
  const Entry* const entry = requests_.find(frame.id);
  Carried* const carried = entry == nullptr ? nullptr : entry->carried.get();
  Passage* const passage = entry == nullptr ? nullptr : entry->passage;
  switch (frame.type) {
    case Type::data:
      if (passage != nullptr) return false;  // it was whole
      if (carried == nullptr) return true;
      return carried->receive(frame.payload, frame.end);
    case Type::window: {
      const auto bytes = read_window(frame.payload);
      if (!bytes) return false;
      if (entry == nullptr) return true;
      if (passage != nullptr) {
        passage->grant(*bytes);
      } else {
        carried->grant(*bytes);
      }
      note_over(frame.id);
      return true;
    }
    case Type::cancel:
      if (entry == nullptr) return true;
      if (passage != nullptr) {
        requests_.take(frame.id);
        passage->gone();
        return true;
      }
      carried->gone();
      requests_.take(frame.id);  // now: the client may ask another in its place
      return true;
    default:
      return false;
  }
}

bool ClientConnection::begin(const Frame& frame) {
  const auto view = view_request(frame.payload);
  if (!view) return false;
  last_ = frame.id;
  const bool offered = view->method != "CONNECT";  // as over HTTP: what follows its answer would be no message
  if (Passage* const passage = offered ? door_.express_.take(frame, *view) : nullptr) {
    requests_.insert(frame.id, Entry{.carried = nullptr, .passage = passage});
    door_.express_.begin(*passage, *this, frame, *view);
    return true;
  }
  Request request = *read_request(frame.payload);
  auto owned = std::make_unique<Carried>(*this, frame.id, request.head.body, request.head.method == "HEAD");
  Carried& carried = *owned;
  auto exchange = carried.make_exchange(std::move(request.head), http::Peer::ours);
  const bool good = carried.receive(request.body, frame.end);
  requests_.insert(frame.id, Entry{.carried = std::move(owned), .passage = nullptr});
  if (!good) {
    exchange->respond(400, "text/plain; charset=utf-8", "the body is not as long as it says\n");
  } else if (!offered) {
    exchange->respond(501, "text/plain; charset=utf-8", "CONNECT is not offered\n");
  } else {
    door_.handler_(std::move(exchange));
  }
  return true;
}

std::unique_ptr<http::Exchange> ClientConnection::to_exchange(std::uint64_t id, http::RequestHead& head,
                                                              std::string_view body) {
  Entry& entry = *requests_.find(id);
  entry.passage = nullptr;
  entry.carried =
      std::make_unique<Carried>(*this, id, http::Body{http::Body::Kind::length, body.size()}, head.method == "HEAD");
  head.body = {http::Body::Kind::length, body.size()};
  auto exchange = entry.carried->make_exchange(head, http::Peer::ours);
  entry.carried->receive(body, true);
  return exchange;
}

/// Sends what requests have to send, and forgets those that are over.
void ClientConnection::forget_ended() {
  flushing_.swap(ended_);
  for (const std::uint64_t id : flushing_) {
    Entry* const entry = requests_.find(id);
    if (entry == nullptr) continue;
    if (entry->passage != nullptr) {
      entry->passage->flush();
      if (!closed_ && !has_room() && requests_.find(id) != nullptr) ended_.push_back(id);
      continue;
    }
    Carried& carried = *entry->carried;
    carried.flush();
    if (closed_) break;
    if (carried.over()) {
      requests_.take(id);
    } else if (!has_room()) {
      ended_.push_back(id);
    }
  }
  flushing_.clear();
}

/// Ends requests that have waited for the client since the last look.
void ClientConnection::end_stalled() {
  std::vector<std::uint64_t> stalled;
  requests_.for_each([&](std::uint64_t id, Entry& entry) {
    if (entry.passage != nullptr ? entry.passage->waits_in_vain() : entry.carried->waits_in_vain()) {
      stalled.push_back(id);
    }
  });
  for (const std::uint64_t id : stalled) {
    append_failure(out(), id, 408, "the client neither sent what was awaited nor took its answer");
    if (Passage* const passage = requests_.find(id)->passage) {
      requests_.take(id);
      passage->gone();
    } else {
      requests_.find(id)->carried->gone();
      note_over(id);
    }
  }
}

void ClientConnection::fail(std::uint16_t status, std::string_view words) {
  append_failure(stream_.pending(), 0, status, words);
  stream_.write();
  close();
}

void ClientConnection::close() {
  if (closed_) return;
  closed_ = true;
  clear_deadline();
  unwatch(stream_.descriptor());
  stream_.close();
  if (memory_ != nullptr) --door_.memories_;
  std::vector<Passage*> passages;
  requests_.for_each([&](std::uint64_t, Entry& entry) {
    if (entry.passage != nullptr) {
      passages.push_back(std::exchange(entry.passage, nullptr));
    } else if (entry.carried != nullptr) {
      entry.carried->gone();
    }
  });
  for (Passage* const passage : passages) passage->gone();
  door_.closed(*this);
}

// ---- The door -----------------------------------------------------------------------------------

Door::Door(http::Loop& loop, http::Handler handler, Express& express, Check check, const http::ServerLimits& limits)
    : loop_(loop), express_(express), handler_(std::move(handler)), check_(std::move(check)), limits_(limits) {}
Door::~Door() {
  close();
}

void Door::take(http::Descriptor socket, std::string_view received, http::Peer peer) {
  if (connections_.size() >= defaults::http_connections) return;
  auto connection = std::make_unique<ClientConnection>(loop_, std::move(socket), received, peer, *this);
  if (connection->start()) connections_.push_back(std::move(connection));
}

void Door::close() {
  while (!connections_.empty()) connections_.back()->close();
}

void Door::closed(ClientConnection& connection) {
  const auto found = std::find_if(connections_.begin(), connections_.end(),
                                  [&](const auto& other) { return other.get() == &connection; });
  if (found == connections_.end()) return;
  loop_.bury(std::move(*found));
  connections_.erase(found);
}

}  // namespace trireme::proxy::native
