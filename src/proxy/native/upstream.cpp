#include "proxy/native/upstream.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/defaults.hpp"
#include "proxy/http/stream.hpp"
#include "proxy/native/frame.hpp"

namespace trireme::proxy::native {

namespace {

// Reads of one connection before the others get their turn.
constexpr int link_reads_per_turn = 8;

}  // namespace

class NativeCall;

/// The connection. Owned by its upstream and by its calls; destroyed between turns of the loop.
class Link final : public http::Resident {
 public:
  Link(http::Loop& loop, std::string name) : Resident(loop), name_(std::move(name)) {}
  ~Link() override {
    if (stream_.descriptor() >= 0) unwatch(stream_.descriptor());
  }

  void connect(const std::string& path, const std::string& key);
  bool broken() const { return failure_.has_value(); }
  std::uint64_t open(NativeCall& call, const http::RequestHead& head, std::string_view first, bool complete);
  void forget(std::uint64_t id, bool cancel);
  std::string& out() {
    at_tail();
    return welcomed_ ? stream_.pending() : held_;
  }

 private:
  friend class NativeCall;
  void on_ready(http::Ready ready) override {
    stream_.note(ready);
    serve();
  }
  void on_tail() override { serve(); }
  void on_deadline() override { fail(CallError::Blame::some, " did not say welcome in time"); }

  void serve();
  void flush();
  bool step();
  bool receive(const Frame& frame);
  NativeCall* find(std::uint64_t id) const;
  void fail(CallError::Blame blame, const std::string& what);
  void end_calls();

  const std::string name_;
  http::Stream stream_;
  http::InputBuffer in_;
  std::uint64_t next_ = 1;
  std::uint64_t written_ = 0;  ///< bytes that the kernel has taken
  bool welcomed_ = false;
  std::string held_;      ///< what leaves after the welcome
  bool invalid_ = false;  ///< it failed because the replica broke the rules
  bool serving_ = false;
  std::optional<CallError> failure_;
  std::unordered_map<std::uint64_t, NativeCall*> calls_;
  std::vector<std::uint64_t> refused_;  ///< whose heads fit no frame
};

class NativeCall final : public Call {
 public:
  NativeCall(std::shared_ptr<Link> link, CallObserver& observer) : link_(std::move(link)), observer_(observer) {}
  ~NativeCall() override {
    if (id_ != 0) link_->forget(id_, !over_);
  }

  std::size_t window() const override { return credit_; }
  void send(std::string_view data) override {
    credit_ -= std::min(credit_, data.size());
    if (!link_->broken()) append_data(link_->out(), id_, data, false);
  }
  void send_end() override {
    if (!link_->broken()) append_data(link_->out(), id_, {}, true);
  }
  void consumed(std::size_t bytes) override {
    held_ -= std::min(held_, bytes);
    untold_ += bytes;
    if (over_ || link_->broken() || untold_ < defaults::stream_window / 2) return;
    append_window(link_->out(), id_, std::exchange(untold_, 0));
  }

 private:
  friend class Link;
  friend class NativeUpstream;
  std::shared_ptr<Link> link_;
  CallObserver& observer_;
  std::uint64_t id_ = 0;
  std::uint64_t begin_ = 0;  ///< where its first byte is among those of the connection
  std::size_t credit_ = defaults::stream_window;
  std::size_t held_ = 0;    ///< of the answer, given to the observer and not consumed
  std::size_t untold_ = 0;  ///< consumed, and the replica has not been told
  bool head_only_ = false;
  bool head_seen_ = false;
  bool over_ = false;
};

void Link::connect(const std::string& path, const std::string& key) {
  http::Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  int result = -1;
  if (path.empty()) {
    return fail(CallError::Blame::some, " cannot be reached: a native service listens at {socket}");
  }
  if (path.size() >= sizeof to.sun_path) {
    errno = ENAMETOOLONG;
  } else if (socket) {
    std::memcpy(to.sun_path, path.data(), path.size());
    result = ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to);
  }
  if (result != 0 || !watch(socket.get())) {
    const bool nobody = errno == ECONNREFUSED || errno == ENOENT;
    return fail(nobody ? CallError::Blame::proof : CallError::Blame::none,
                std::string(" cannot be reached: ") + std::strerror(errno));
  }
  stream_ = http::Stream(std::move(socket));
  set_deadline(defaults::upstream_connect_timeout);
  stream_.pending().append(preface);
  append_hello(stream_.pending(), {.version = version, .token = key});
  at_tail();
}

NativeCall* Link::find(std::uint64_t id) const {
  const auto found = calls_.find(id);
  return found == calls_.end() ? nullptr : found->second;
}

std::uint64_t Link::open(NativeCall& call, const http::RequestHead& head, std::string_view first, bool complete) {
  const std::uint64_t id = next_++;
  calls_.emplace(id, &call);
  at_tail();
  if (failure_) return id;
  call.begin_ = written_ + stream_.unsent() + held_.size();
  call.head_only_ = head.method == "HEAD";
  http::RequestHead told = head;
  if (complete) told.body = {http::Body::Kind::length, first.size()};
  // A beginning that does not fit beside the head follows it.
  const bool together = first.size() <= max_payload / 2;
  const std::string_view beside = together ? first : std::string_view();
  if (!append_request(out(), id, told, beside, complete && together)) {
    refused_.push_back(id);
  } else if (!together) {
    append_data(out(), id, first, complete);
  }
  call.credit_ -= std::min(call.credit_, first.size());
  return id;
}

void Link::forget(std::uint64_t id, bool cancel) {
  if (calls_.erase(id) == 0 || !cancel || failure_) return;
  append(out(), {.type = Type::cancel, .end = true, .id = id, .payload = {}});
}

void Link::serve() {
  if (serving_) return;
  serving_ = true;
  for (int i = 0; !failure_; ++i) {
    flush();
    for (const std::uint64_t id : std::exchange(refused_, {})) {
      NativeCall* const call = find(id);
      if (call == nullptr) continue;
      calls_.erase(id);
      call->over_ = true;
      call->observer_.on_error(
          {CallError::Kind::not_delivered, "the head of the request is too long for " + name_, CallError::Blame::none});
    }
    if (failure_ || !step()) break;
    if (i == link_reads_per_turn) {
      at_tail();
      break;
    }
  }
  if (!failure_) flush();
  serving_ = false;
  if (failure_) end_calls();
}

void Link::flush() {
  const std::size_t before = stream_.unsent();
  if (before == 0) return;
  if (stream_.write() == http::Stream::Io::failed) {
    return fail(CallError::Blame::some, std::string(" broke the connection off: ") + std::strerror(stream_.error()));
  }
  written_ += before - stream_.unsent();
}

/// Takes what is here and reads once. False when there is nothing to do before the next edge.
bool Link::step() {
  for (;;) {
    Frame frame;
    std::size_t consumed = 0;
    const Parsed parsed = parse(in_.view(), frame, consumed);
    if (parsed == Parsed::more) break;
    if (parsed == Parsed::bad || !receive(frame)) {
      if (!failure_) {
        invalid_ = true;
        fail(CallError::Blame::some, " answered something that is not the native protocol");
      }
      return false;
    }
    in_.consume(consumed);
  }
  switch (stream_.read(in_, max_frame)) {
    case http::Stream::Io::progress:
      return true;
    case http::Stream::Io::eof:
      fail(CallError::Blame::some, " closed the connection");
      return false;
    case http::Stream::Io::failed:
      fail(CallError::Blame::some, std::string(" broke the connection off: ") + std::strerror(stream_.error()));
      return false;
    default:
      return false;
  }
}

/// False: the replica has broken the rules. Calls may go, and others come, from inside.
bool Link::receive(const Frame& frame) {
  if (frame.type == Type::welcome) {
    clear_deadline();
    stream_.pending().append(std::exchange(held_, {}));
    return !std::exchange(welcomed_, true) && read_welcome(frame.payload).has_value();
  }
  if (frame.type == Type::failure && frame.id == 0) {
    const auto failure = read_failure(frame.payload);
    if (!failure) return false;
    fail(CallError::Blame::some, " ended the connection: " + std::string(failure->words));
    return true;
  }
  if (!welcomed_ || frame.id == 0 || frame.id >= next_) return false;
  NativeCall* call = find(frame.id);
  if (call == nullptr) return true;  // it was cancelled
  std::string_view body = frame.payload;
  switch (frame.type) {
    case Type::window: {
      const auto bytes = read_window(frame.payload);
      if (!bytes) return false;
      call->credit_ += *bytes;
      call->observer_.on_window();
      return true;
    }
    case Type::failure: {
      const auto failure = read_failure(frame.payload);
      if (!failure) return false;
      calls_.erase(frame.id);
      call->over_ = true;
      call->observer_.on_error(
          {CallError::Kind::lost, name_ + " broke off: " + std::string(failure->words), CallError::Blame::some});
      return true;
    }
    case Type::response: {
      auto response = read_response(frame.payload);
      if (!response || call->head_seen_) return false;
      call->head_seen_ = true;
      body = response->body;
      if (frame.end && !call->head_only_) response->head.body = {http::Body::Kind::length, body.size()};
      call->observer_.on_head(std::move(response->head));
      break;
    }
    case Type::data:
      if (!call->head_seen_) return false;
      break;
    default:
      return false;
  }
  call = find(frame.id);
  if (call != nullptr && !body.empty()) {
    if (call->held_ + call->untold_ + body.size() > defaults::stream_window) return false;
    call->held_ += body.size();
    call->observer_.on_body(body);
    call = find(frame.id);
  }
  if (call != nullptr && frame.end) {
    calls_.erase(frame.id);
    call->over_ = true;
    call->observer_.on_end();
  }
  return true;
}

void Link::fail(CallError::Blame blame, const std::string& what) {
  failure_ = CallError{CallError::Kind::lost, name_ + what, blame};
  clear_deadline();
  if (stream_.descriptor() >= 0) {
    unwatch(stream_.descriptor());
    stream_.close();
  }
  at_tail();
}

void Link::end_calls() {
  while (!calls_.empty()) {
    const auto first = calls_.begin();
    NativeCall& call = *first->second;
    calls_.erase(first);
    call.over_ = true;
    CallError error = *failure_;
    if (invalid_) error.kind = CallError::Kind::bad_response;
    if (call.begin_ >= written_) error.kind = CallError::Kind::not_delivered;
    call.observer_.on_error(std::move(error));
  }
}

// ---- The upstream -------------------------------------------------------------------------------

NativeUpstream::NativeUpstream(http::Loop& loop, http::LocalAddress address, std::string key, std::string name)
    : loop_(loop), address_(std::move(address)), key_(std::move(key)), name_(std::move(name)) {}
NativeUpstream::~NativeUpstream() = default;

std::unique_ptr<Call> NativeUpstream::open(const http::RequestHead& head, std::string_view first, bool complete,
                                           CallObserver& observer) {
  if (!link_ || link_->broken()) {
    // Its last owner may let it go from inside its own callbacks, so it is buried.
    link_ = std::shared_ptr<Link>(new Link(loop_, name_),
                                  [&loop = loop_](Link* link) { loop.bury(std::unique_ptr<http::Resident>(link)); });
    link_->connect(address_.path, key_);
  }
  auto call = std::make_unique<NativeCall>(link_, observer);
  call->id_ = link_->open(*call, head, first, complete);
  return call;
}

}  // namespace trireme::proxy::native
