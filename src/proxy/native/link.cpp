#include "proxy/native/link.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "core/defaults.hpp"

namespace trireme::proxy::native {

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
  auto awaited = std::make_unique<AwaitedMemory>();
  awaited_ = awaited.get();
  stream_.use(std::move(awaited));
  set_deadline(defaults::upstream_connect_timeout);
  stream_.pending().append(preface);
  append_hello(stream_.pending(), {.version = version, .token = key});
  at_tail();
}

std::uint64_t Link::begin(LinkCall& call) {
  const std::uint64_t id = next_++;
  calls_.insert(id, &call);
  call.waits_ = !waiting_.empty() || !has_room();
  if (call.waits_) {
    waiting_.push_back(id);
  } else {
    set_out(call);
  }
  at_tail();
  return id;
}

void Link::set_out(LinkCall& call) {
  ++working_;
  call.begin_ = written_ + stream_.unsent();
  if (std::exchange(call.waits_, false)) stream_.pending().append(std::exchange(call.kept_, {}));
}

/// Null: it is not known.
LinkCall* Link::let_go(std::uint64_t id) {
  LinkCall* const call = calls_.take(id);
  if (call == nullptr) return nullptr;
  if (call->waits_) {
    call->kept_ = {};
    std::erase(waiting_, id);
  } else {
    --working_;
    if (!waiting_.empty()) at_tail();
  }
  return call;
}

void Link::forget(std::uint64_t id, bool cancel) {
  const LinkCall* const call = let_go(id);
  if (call == nullptr || call->waits_ || !cancel || failure_) return;
  append(stream_.pending(), {.type = Type::cancel, .end = true, .id = id, .payload = {}});
  at_tail();
}

void Link::send_data(LinkCall& call, std::uint64_t id, std::string_view data, bool end) {
  if (failure_) return;
  if (call.waits_ || data.size() < defaults::native_written_at_once || data.size() > max_payload)
    return append_data(out(call), id, data, end);
  std::string header;
  append_header(header, Type::data, end, id, data.size());
  const std::size_t before = stream_.unsent() + header.size() + data.size();
  if (stream_.write({header, data}) == http::Stream::Io::failed) {
    return fail(CallError::Blame::some, std::string(" broke the connection off: ") + std::strerror(stream_.error()));
  }
  written_ += before - stream_.unsent();
  if (starved_) at_tail();
}

void Link::on_ready(http::Ready ready) {
  if (memory_ != nullptr) {
    ready = memory_->heard(stream_.descriptor(), ready);
    stay_awake();
  }
  stream_.note(ready);
  serve();
}

void Link::serve() {
  if (serving_) return;
  serving_ = true;
  for (int i = 0; !failure_; ++i) {
    write();
    for (const std::uint64_t id : std::exchange(refused_, {})) {
      LinkCall* const call = let_go(id);
      if (call == nullptr) continue;
      call->on_failed(
          {CallError::Kind::not_delivered, "the head of the request is too long for " + name_, CallError::Blame::none});
    }
    if (failure_ || !step()) break;
    if (i == defaults::native_reads_per_turn) {
      at_tail();
      break;
    }
  }
  if (!failure_) write();
  serving_ = false;
  if (failure_) end_calls();
}

/// Writes what there is, and lets calls set out, as far as the replica takes them.
void Link::write() {
  do {
    while (!waiting_.empty() && has_room()) {
      const std::uint64_t id = waiting_.front();
      waiting_.pop_front();
      set_out(**calls_.find(id));
    }
    flush();
  } while (!waiting_.empty() && has_room());
  if (!starved_ || failure_ || is_full()) return;
  starved_ = false;
  std::vector<std::uint64_t> ids;
  calls_.for_each([&](std::uint64_t id, LinkCall*) { ids.push_back(id); });
  for (const std::uint64_t id : ids) {
    if (LinkCall** const call = calls_.find(id)) (*call)->on_room();  // another may have ended it
  }
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
    if (failure_) return false;
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

/// False: the replica has broken the rules.
bool Link::receive(const Frame& frame) {
  if (frame.type == Type::welcome) return welcome(frame);
  if (frame.type == Type::failure && frame.id == 0) {
    const auto failure = read_failure(frame.payload);
    if (!failure) return false;
    fail(CallError::Blame::some, " ended the connection: " + std::string(failure->words));
    return true;
  }
  if (!welcomed_ || frame.id == 0 || frame.id >= next_) return false;
  LinkCall** const call = calls_.find(frame.id);
  if (call == nullptr) return true;  // it was cancelled
  return !(*call)->waits_ && (*call)->on_frame(frame);
}

bool Link::welcome(const Frame& frame) {
  clear_deadline();
  const auto said = read_welcome(frame.payload);
  if (std::exchange(welcomed_, true) || !said) return false;
  if (said->window != defaults::stream_window) {
    fail(CallError::Blame::some, " says a window of " + std::to_string(said->window) + " bytes, which is to be " +
                                     std::to_string(defaults::stream_window));
    return true;
  }
  limit_ = std::max<std::size_t>(1, said->requests);
  auto rings = said->version >= version ? awaited_->take() : nullptr;
  awaited_ = nullptr;
  if (rings == nullptr) {
    stream_.use(nullptr);
    if (said->version >= version) fail(CallError::Blame::some, " passed no memory that can be used");
  } else {
    auto memory = std::make_unique<Memory>(std::move(rings));
    memory_ = memory.get();
    stream_.use(std::move(memory));
    stay_awake();
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
  waiting_.clear();
  while (const std::uint64_t id = calls_.any()) {
    LinkCall& call = *let_go(id);
    CallError error = *failure_;
    if (invalid_) error.kind = CallError::Kind::bad_response;
    if (call.waits_ || call.begin_ >= written_) error.kind = CallError::Kind::not_delivered;
    call.on_failed(std::move(error));
  }
}

}  // namespace trireme::proxy::native
